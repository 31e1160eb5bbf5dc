"""One class per result kind.

A result is a small JSON document plus named arrays. Small things (titles, units, chance levels, how many draws) stand in
the document; arrays are kept beside it as raw little-endian bytes, addressed by content. Every class names the arrays it
holds, with shape and dtype, in ``ARRAYS`` and refuses others, so that a view can rely on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from microtome.results.base import FLOAT, INT, Array, Result
from microtome.results.language import Generation, Graph, LensGrid, TokenMap


class ImageMap(Result):
    """Signed maps over one image, one per target.

    ``maps`` float32 [targets, height, width] in the geometry of the model's input: positive speaks for the target.
    """

    kind: Literal["image-map"] = "image-map"
    ARRAYS: ClassVar = {"maps": (3, FLOAT)}
    targets: list[str] = Field(description="Name of each target, in order of the first axis.")
    target_indices: list[int] = Field(description="Class of each target; -1 for what is no class.")
    quantity: str = Field(description="What a value is, with its unit: 'logit per pixel'.")
    signed: bool = True
    completeness: list[dict[str, float]] = Field(
        default_factory=list,
        description="Per target: total of the map, expected total, gap, steps. Empty if it has none.",
    )
    score: list[float] = Field(default_factory=list, description="The number explained, of each target: a logit, an activation.")
    facts: dict[str, str | int | float | list[float] | list[str]] = Field(
        default_factory=dict, description="What the method has to say of its maps; a list holds one value per target."
    )


ColumnType = Literal["number", "integer", "text", "flag"]
#: Where the values of a column type are kept.
STACKS: dict[str, str] = {"number": "numbers", "integer": "integers", "flag": "flags", "text": "codes"}
#: Text columns hold names that many units share (concepts, categories); a text of its own per unit is not a column.
MAX_NAMES = 20_000


@dataclass(frozen=True, slots=True)
class Column:
    """One typed column as it is handed to :meth:`UnitTable.of`: ``values`` has one entry per unit.

    Numbers may be missing (NaN or None), texts too (None); integers and flags may not.
    """

    name: str
    title: str
    type: ColumnType
    values: Sequence[Any] | Array
    unit: str = ""


class ColumnHead(BaseModel):
    """What a column is. Its values are a row of the array that :data:`STACKS` names, among the columns of its type."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(max_length=100)
    title: str = Field(max_length=300)
    type: ColumnType
    unit: str = Field("", max_length=40)
    names: list[str] = Field(default_factory=list, description="Text columns: what the codes stand for, sorted.", max_length=MAX_NAMES)


class UnitTable(Result):
    """One row per unit of ``layer``; ``units`` int32 [rows] says which, by default 0, 1, 2, ...

    Values are arrays, whatever the size of the layer: ``numbers`` float64 [number columns, rows] (NaN where missing),
    ``integers`` int64, ``flags`` bool, ``codes`` int32 [text columns, rows] (places in ``names``, -1 for none).
    """

    kind: Literal["unit-table"] = "unit-table"
    ARRAYS: ClassVar = {
        "units": (1, ("int32",)), "numbers": (2, ("float64",)), "integers": (2, ("int64",)), "flags": (2, ("bool",)),
        "codes": (2, ("int32",)),
    }  # fmt: skip
    OPTIONAL: ClassVar = frozenset(STACKS.values())
    layer: str
    columns: list[ColumnHead]

    @classmethod
    def of(
        cls, *, title: str, layer: str, columns: Sequence[Column], rows: int | None = None, units: Any = None, note: str = ""
    ) -> UnitTable:
        """From columns of values.

        Args:
            rows: number of units; taken from the columns if left out. units: index of each row's unit, else 0 to rows - 1.

        Raises:
            ValueError: columns of unequal length, or more than ``MAX_NAMES`` different texts in one.
        """
        count = len(units) if units is not None else rows if rows is not None else len(columns[0].values)
        heads, stacks = [], {name: [] for name in STACKS.values()}  # type: ignore[var-annotated]
        for column in columns:
            if len(column.values) != count:
                raise ValueError(f"column {column.name} has {len(column.values)} values for {count} units")
            names, values = _stored(column)
            heads.append(ColumnHead(name=column.name, title=column.title, type=column.type, unit=column.unit, names=names))
            stacks[STACKS[column.type]].append(values)
        arrays = {name: np.stack(values) for name, values in stacks.items() if values}
        arrays["units"] = np.arange(count, dtype=np.int32) if units is None else np.asarray(units, np.int32)
        return cls(title=title, note=note, layer=layer, columns=heads, arrays=arrays)

    @model_validator(mode="after")
    def _same_length(self) -> UnitTable:
        for type_, name in STACKS.items():
            wanted = (sum(c.type == type_ for c in self.columns), len(self.arrays["units"]))
            have = self.arrays[name].shape if name in self.arrays else (0, wanted[1])
            if have != wanted:
                raise ValueError(f"unit-table.{name} is {have[0]} x {have[1]}; the document has {wanted[0]} columns for {wanted[1]} units")
        return self

    @property
    def units(self) -> Array:
        return self.arrays["units"]

    def stored(self, name: str) -> tuple[ColumnHead, Array]:
        """A column's head and its values as kept: float64, int64, bool, or int32 codes.

        Raises:
            KeyError: there is no such column.
        """
        place = dict.fromkeys(STACKS, 0)
        for head in self.columns:
            if head.name == name:
                return head, self.arrays[STACKS[head.type]][place[head.type]]
            place[head.type] += 1
        raise KeyError(name)

    def column(self, name: str) -> Array:
        """Values of a column; texts as objects, None where there is none."""
        head, values = self.stored(name)
        return np.array([*head.names, None], object)[values] if head.type == "text" else values


def _stored(column: Column) -> tuple[list[str], Array]:
    """Names and values of a column as they are kept."""
    if column.type != "text":
        dtype = {"number": np.float64, "integer": np.int64, "flag": np.bool_}[column.type]
        values = column.values
        if column.type == "number" and not isinstance(values, np.ndarray):
            values = [np.nan if v is None else v for v in values]
        return [], np.asarray(values, dtype)
    names = sorted({v for v in column.values if v is not None})
    if len(names) > MAX_NAMES:
        raise ValueError(f"column {column.name} has {len(names)} different texts; a text column holds at most {MAX_NAMES} shared names")
    place: dict[Any, int] = {name: i for i, name in enumerate(names)} | {None: -1}
    return names, np.fromiter((place[v] for v in column.values), np.int32, len(column.values))


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
    rows: list[str] = Field(description="Name of every row; empty where rows are numbered from 0, as units are.")
    columns: list[str] = Field(description="Name of every column; empty where they are numbered.")
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
    OPTIONAL: ClassVar = frozenset(ARRAYS)  # imported results may hold either half
    rows: list[str] = Field(description="Name of every row; empty where rows are numbered from 0, as units are.")
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
    OPTIONAL: ClassVar = frozenset({"maps"})  # imported results may come without
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


class MapSet(Result):
    """Maps of many examples, in groups: what a method does over a set rather than on one image.

    ``maps`` float32 [n, h, w], small (at most 64 on a side), in the geometry of the model's input; ``example`` int32 [n] index in
    the probe set (-1 for an image that is none of it), ``group`` int32 [n] place in ``groups`` (-1 for none), ``value`` float32 [n]
    what the order is by; ``points`` float32 [n, 2] where each stands on a plane, if there is one.
    """

    kind: Literal["map-set"] = "map-set"
    ARRAYS: ClassVar = {"maps": (3, FLOAT), "example": (1, INT), "group": (1, INT), "value": (1, FLOAT), "points": (2, FLOAT)}
    OPTIONAL: ClassVar = frozenset({"points"})
    groups: list[str] = Field(description="Name of every group: a cluster, a range of percentiles.")
    quantity: str = Field(description="What a value of a map is, with its unit.")
    value_name: str = Field(description="What ``value`` is, with its unit.")
    signed: bool = True
    facts: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _same_length(self) -> MapSet:
        count = len(self.arrays["maps"])
        unequal = [name for name, array in self.arrays.items() if len(array) != count]
        if unequal:
            raise ValueError(f"map-set: {', '.join(unequal)} must have {count} entries, one per map")
        group = self.arrays["group"]
        if count and not -1 <= group.min() <= group.max() < len(self.groups):
            raise ValueError(f"map-set.group must lie in -1 to {len(self.groups) - 1}")
        return self


class Tree(Result):
    """A hierarchy of parts: of an image, a decision, a text. Node 0 is the root and every other node stands after its parent.

    ``parent`` int32 [nodes] (-1 for the root), ``value`` float32 [nodes]; ``leaves`` int32 [h, w]: for a hierarchy of regions, the
    leaf node that covers each position of the model's input. The region of a node is the union of the leaves below it.
    """

    kind: Literal["tree"] = "tree"
    ARRAYS: ClassVar = {"parent": (1, INT), "value": (1, FLOAT), "leaves": (2, INT)}
    OPTIONAL: ClassVar = frozenset({"leaves"})
    names: list[str] = Field(default_factory=list, description="Name of every node; empty where its region says enough.")
    quantity: str = Field(description="What a value is, with its unit.")
    facts: dict[str, str | int | float | bool | None] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _ordered(self) -> Tree:
        parent = self.arrays["parent"]
        if not len(parent) or parent[0] != -1 or (parent[1:] < 0).any() or (parent[1:] >= np.arange(1, len(parent))).any():
            raise ValueError("tree.parent: node 0 must be the root (-1), and every other node must stand after its parent")
        if len(self.arrays["value"]) != len(parent) or len(self.names) not in (0, len(parent)):
            raise ValueError(f"tree: value and names must have {len(parent)} entries, one per node")
        leaves = self.arrays.get("leaves")
        if leaves is not None and (leaves.min() < 0 or leaves.max() >= len(parent) or np.isin(leaves, parent).any()):
            raise ValueError("tree.leaves must name nodes that have no children")
        return self


KINDS: dict[str, type[Result]] = {
    str(kind.model_fields["kind"].default): kind
    for kind in (
        ImageMap,
        UnitTable,
        Matrix,
        Scatter,
        Curves,
        Distribution,
        Gallery,
        Scorecard,
        MapSet,
        Tree,
        LensGrid,
        TokenMap,
        Graph,
        Generation,
    )
}
