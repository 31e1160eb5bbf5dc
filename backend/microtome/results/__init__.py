"""The result kinds: the common language of methods and views (DESIGN section 4)."""

from microtome.results.base import Result
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
    Scatter,
    Scorecard,
    Tree,
    UnitTable,
)
from microtome.results.language import Generation, Graph, LensGrid, TokenMap

__all__ = [
    "KINDS",
    "Column",
    "ColumnHead",
    "ColumnType",
    "Curves",
    "Distribution",
    "Gallery",
    "Generation",
    "Graph",
    "ImageMap",
    "LensGrid",
    "MapSet",
    "Matrix",
    "Result",
    "Scatter",
    "Scorecard",
    "TokenMap",
    "Tree",
    "UnitTable",
]
