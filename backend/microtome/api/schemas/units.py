"""Atlas, units, cross-filtering."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microtome.api.schemas.common import Out
from microtome.api.schemas.runs import Run
from microtome.core.selection import Selection, Strict

Sort = Literal["iou", "unit", "density", "mean", "std", "max", "threshold", "concept", "category", "layer", "notes", "detector"]


class AtlasLayer(Out):
    name: str
    label: str
    key: str | None
    units: int
    height: int
    width: int
    kind: str
    default: bool
    computed: bool
    order: int


class AtlasMap(Out):
    key: str
    projection: str


class Atlas(Out):
    model: str
    probe: str
    model_hash: str
    probe_hash: str
    frozen: bool
    state: Literal["none", "computing", "partial", "current", "stale"]
    reason: str | None
    run: Run | None
    layers: list[AtlasLayer]
    map: AtlasMap | None
    quantile: float
    grid: list[float]
    min_iou: float
    chance: float
    chance_note: str
    images: int
    categories: list[str]
    method_version: str
    newest: str | None


class UnitsQuery(Strict):
    model: str = Field(min_length=1, max_length=64)
    probe: str = Field(min_length=1, max_length=64)
    share: str | None = Field(None, max_length=64)
    selection: Selection = Field(default_factory=lambda: Selection())
    table: Literal["brushed", "filter", "all"] = "filter"
    sort: Sort = "iou"
    descending: bool = True
    cursor: str | None = Field(None, max_length=200)
    limit: int = Field(100, ge=1, le=500)


class AggregateQuery(Strict):
    model: str = Field(min_length=1, max_length=64)
    probe: str = Field(min_length=1, max_length=64)
    share: str | None = Field(None, max_length=64)
    selection: Selection = Field(default_factory=lambda: Selection())


class UnitLabel(Out):
    text: str
    author: str
    kind: Literal["human", "auto"]


class UnitRow(Out):
    layer: str
    label: str
    unit: int
    concept: str | None
    category: str | None
    iou: float
    ceiling: float
    chance: float
    detector: bool
    density: float
    threshold: float
    mean: float
    std: float
    max: float
    dead: bool
    detectable: bool
    sparkline: list[float]
    threshold_bin: int
    key: str
    labels: list[UnitLabel]
    notes: int
    brushed: bool
    in_filter: bool


class Counts(Out):
    brushed: int
    in_filter: int
    all: int


class UnitsPage(Out):
    items: list[UnitRow]
    next: str | None
    counts: Counts


class AggregateCounts(Counts):
    detectors: int


class AggregateLayer(Out):
    name: str
    label: str
    categories: dict[str, int]
    total: int
    brushed: int
    in_filter: int


class AggregateConcept(Out):
    concept: str
    category: str
    units: int
    brushed: int
    in_filter: bool


class AggregateHistogram(Out):
    edges: list[float]
    all: list[int]
    in_filter: list[int]
    brushed: list[int]


class Members(Out):
    in_filter: str = Field(description="Base64 of a bit per point of the unit map, in its order, lowest bit first.")
    brushed: str


class Aggregate(Out):
    counts: AggregateCounts
    layers: list[AggregateLayer]
    concepts: list[AggregateConcept]
    histogram: AggregateHistogram
    brushed_median: float | None
    members: Members | None


class UnitMap(Out):
    key: str | None
    projection: str
    layers: list[str]
    x: list[float]
    y: list[float]
    layer: list[int]
    unit: list[int]
    category: list[str | None]
    concept: list[str | None]
    iou: list[float]
    density: list[float]


class ConceptRow(Out):
    concept: str
    category: str
    iou: float
    ceiling: float
    chance: float
    detectable: bool


class ConceptTable(Out):
    quantile: float
    threshold: float
    attained: float
    positions_active: int
    images_active: int
    items: list[ConceptRow]


class UnitHistogram(Out):
    edges: list[float]
    counts: list[int]


class Band(Out):
    band: str
    slots: list[int]


class MapsRef(Out):
    url: str
    shape: tuple[int, int, int]


class Exemplars(Out):
    bands: list[Band]
    example: list[int]
    activation: list[float]
    site: list[tuple[int, int]]
    maps: MapsRef
    input_size: tuple[int, int]


class SimilarUnit(Out):
    layer: str
    label: str
    unit: int
    correlation: float


class KeyRef(Out):
    key: str


class UnitDetail(Out):
    model: str
    layer: str
    label: str
    unit: int
    key: str
    address: str
    previous: tuple[str, int] | None
    next: tuple[str, int] | None
    row: UnitRow
    concepts: ConceptTable
    grid: list[float]
    thresholds: list[float]
    histogram: UnitHistogram
    exemplars: Exemplars
    similar: list[SimilarUnit]
    ablation: KeyRef | None
