"""One class per result kind.

A result is a small JSON document plus named arrays. Small things (titles, units, chance levels, how many draws) stand in
the document; arrays are kept beside it as raw little-endian bytes, addressed by content. Every class names the arrays it
holds, with shape and dtype, in ``ARRAYS`` and refuses others, so that a view can rely on them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

Array = npt.NDArray[Any]


class Result(BaseModel):
    """Base of all kinds. ``arrays`` is not part of the JSON document."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
    #: name -> (number of axes, allowed dtypes); names in ``OPTIONAL`` may be absent
    ARRAYS: ClassVar[dict[str, tuple[int, tuple[str, ...]]]] = {}
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()

    kind: str
    title: str
    note: str = Field("", description="What a reader must know to read it rightly: chance, draws, scale.")
    arrays: dict[str, Array] = Field(default_factory=dict, exclude=True, repr=False)

    @model_validator(mode="after")
    def _check_arrays(self) -> Result:
        missing = self.ARRAYS.keys() - self.arrays.keys() - self.OPTIONAL
        unknown = self.arrays.keys() - self.ARRAYS.keys()
        if missing or unknown:
            raise ValueError(f"{self.kind}: missing arrays {sorted(missing)}, unknown arrays {sorted(unknown)}")
        for name, array in self.arrays.items():
            axes, dtypes = self.ARRAYS[name]
            if array.ndim != axes or array.dtype.name not in dtypes:
                raise ValueError(
                    f"{self.kind}.{name} is {array.dtype.name} with {array.ndim} axes; needs {' or '.join(dtypes)} with {axes} axes"
                )
        return self


FLOAT = ("float32",)
INT = ("int32", "int64")


class ImageMap(Result):
    """Signed maps over one image, one per target.

    ``maps`` float32 [targets, height, width] in the geometry of the model's input: positive speaks for the target.
    """

    kind: Literal["image-map"] = "image-map"
    ARRAYS: ClassVar = {"maps": (3, FLOAT)}
    targets: list[str] = Field(description="Name of each target, in order of the first axis.")
    target_indices: list[int]
    quantity: str = Field(description="What a value is, with its unit: 'logit per pixel'.")
    signed: bool = True
    completeness: list[dict[str, float]] = Field(
        default_factory=list,
        description="Per target: total of the map, expected total, gap, steps. Empty if it has none.",
    )
    score: list[float] = Field(default_factory=list, description="The model's output for each target, in logits.")


class Column(BaseModel):
    """One typed column of a table."""

    model_config = ConfigDict(extra="forbid")
    name: str
    title: str
    type: Literal["number", "integer", "text", "flag"]
    unit: str = ""
    values: list[Any]


class UnitTable(Result):
    """One row per unit of ``layer``, in order of the unit's index unless ``units`` says otherwise."""

    kind: Literal["unit-table"] = "unit-table"
    layer: str
    units: list[int]
    columns: list[Column]

    @model_validator(mode="after")
    def _same_length(self) -> UnitTable:
        for column in self.columns:
            if len(column.values) != len(self.units):
                raise ValueError(f"column {column.name} has {len(column.values)} values for {len(self.units)} units")
        return self

    def column(self, name: str) -> list[Any]:
        return next(c.values for c in self.columns if c.name == name)


class Matrix(Result):
    """Labelled rows x columns. ``values`` float32 [rows, columns]; ``chance`` and ``ceiling`` of the same shape if given.

    ``counts`` int64 [rows, columns, points]: shared positions at every point of ``grid``, for interactive quantiles.
    """

    kind: Literal["matrix"] = "matrix"
    ARRAYS: ClassVar = {
        "values": (2, FLOAT), "chance": (2, FLOAT), "ceiling": (2, FLOAT), "counts": (3, INT),
        "row_areas": (2, INT), "column_areas": (1, INT),
    }  # fmt: skip
    OPTIONAL: ClassVar = frozenset({"chance", "ceiling", "counts", "row_areas", "column_areas"})
    rows: list[str]
    columns: list[str]
    row_axis: str = Field(description="What a row is: 'unit', 'class', 'layer'.")
    column_axis: str
    quantity: str
    grid: list[float] = Field(default_factory=list, description="Quantiles of the last axis of counts.")
    positions: int = Field(0, description="Positions counted over, for IoU.")
    layer: str = ""


class Scatter(Result):
    """Points with identity. ``points`` float32 [n, 2]; ``unit`` int32 [n]; ``layer`` int32 [n] indexes ``layers``."""

    kind: Literal["scatter"] = "scatter"
    ARRAYS: ClassVar = {"points": (2, FLOAT), "unit": (1, INT), "layer": (1, INT)}
    layers: list[str]
    projection: str = Field(description="How it was made: 'PaCMAP of concept profiles, seed 0'.")


class Curves(Result):
    """Series with bands. ``x`` float32 [points], ``y`` float32 [series, points], ``low``/``high`` 95 % band or chance."""

    kind: Literal["curves"] = "curves"
    ARRAYS: ClassVar = {"x": (1, FLOAT), "y": (2, FLOAT), "low": (2, FLOAT), "high": (2, FLOAT)}
    OPTIONAL: ClassVar = frozenset({"low", "high"})
    series: list[str]
    x_axis: str
    y_axis: str


class Distribution(Result):
    """Histogram per row: ``edges`` float32 [rows, bins + 1], ``counts`` int64 [rows, bins]; for units: row = unit.

    ``thresholds`` float32 [rows, points] and ``attained`` float32 [rows, points] belong to the quantiles in ``grid``.
    """

    kind: Literal["distribution"] = "distribution"
    ARRAYS: ClassVar = {"edges": (2, FLOAT), "counts": (2, INT), "thresholds": (2, FLOAT), "attained": (2, FLOAT)}
    OPTIONAL: ClassVar = frozenset({"thresholds", "attained"})
    rows: list[str]
    quantity: str
    grid: list[float] = Field(default_factory=list)
    layer: str = ""


class Gallery(Result):
    """Exemplars of every unit of a layer, in bands (top, quantiles, random, lowest), with what is needed to redraw masks.

    ``example`` int32 [units, slots], ``activation`` float32 [units, slots] (the maximum over sites), ``site`` int32
    [units, slots, 2] (row, column of the maximum on the native grid; -1 where the slot is empty),
    ``maps`` float32 [units, slots, h, w]: the native activation maps themselves.
    """

    kind: Literal["gallery"] = "gallery"
    ARRAYS: ClassVar = {"example": (2, INT), "activation": (2, FLOAT), "site": (3, INT), "maps": (4, FLOAT)}
    layer: str
    bands: list[str] = Field(description="Band of every slot, in order: top, top, ..., q0.999, ..., random, lowest.")
    input_size: tuple[int, int] = Field(description="Height and width of the model's input, which the maps cover.")


class Scorecard(Result):
    """Named numbers with interval and chance level."""

    kind: Literal["scorecard"] = "scorecard"

    class Score(BaseModel):
        model_config = ConfigDict(extra="forbid")
        name: str
        value: float | None
        unit: str = ""
        low: float | None = Field(None, description="Lower end of the 95 % interval.")
        high: float | None = None
        chance: float | None = None
        chance_low: float | None = Field(None, description="Chance band, 2.5 % to 97.5 % of the draws.")
        chance_high: float | None = None
        draws: int | None = None
        group: str = ""

    scores: list[Score]
    facts: dict[str, str | int | float | bool | None] = Field(default_factory=dict)


KINDS: dict[str, type[Result]] = {
    str(kind.model_fields["kind"].default): kind
    for kind in (ImageMap, UnitTable, Matrix, Scatter, Curves, Distribution, Gallery, Scorecard)
}
