"""The result kinds: the common language of methods and views (DESIGN section 4)."""

from microtome.results.kinds import (
    KINDS,
    Column,
    ColumnHead,
    ColumnType,
    Curves,
    Distribution,
    Gallery,
    ImageMap,
    MapSet,
    Matrix,
    Result,
    Scatter,
    Scorecard,
    Tree,
    UnitTable,
)

__all__ = [
    "KINDS",
    "Column",
    "ColumnHead",
    "ColumnType",
    "Curves",
    "Distribution",
    "Gallery",
    "ImageMap",
    "MapSet",
    "Matrix",
    "Result",
    "Scatter",
    "Scorecard",
    "Tree",
    "UnitTable",
]
