"""Atlas, units, cross-filtering."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from microtome.api.schemas.common import Out
from microtome.api.schemas.runs import Imported, Run
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
    chance: float | None = Field(description="Mean over layers of the median chance level; null where none was imported.")
    chance_note: str
    images: int
    categories: list[str]
    method_version: str
    newest: str | None
    imported: Imported | None


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
    iou: float | None = Field(description="This and the other numbers are null where imported results do not have them.")
    ceiling: float | None
    chance: float | None
    detector: bool
    density: float | None
    threshold: float | None
    mean: float | None
    std: float | None
    max: float | None
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
    more_concepts: int = Field(description="Concepts with detectors that are not listed.")
    histogram: AggregateHistogram
    brushed_median: float | None
    members: Members | None


class UnitMap(Out):
    """Head of the map; its points come in binary chunks."""

    key: str | None
    version: str = Field(description="Names the chunks: they never change under one version.")
    projection: str
    count: int
    chunks: int = Field(description="Chunk c holds the points c, c + chunks, c + 2 chunks, ...")
    layers: list[str]
    concepts: list[str]
    x: list[float] = Field(description="Range that the chunks' 65,535 steps cover.", min_length=2, max_length=2)
    y: list[float] = Field(min_length=2, max_length=2)


class ConceptRow(Out):
    concept: str
    category: str
    iou: float
    ceiling: float | None
    chance: float | None
    detectable: bool


class ConceptTable(Out):
    quantile: float
    threshold: float | None
    attained: float | None
    positions_active: int | None
    images_active: int | None
    items: list[ConceptRow]
    note: str | None = Field(description="What imported results do not have.")


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
    maps: MapsRef | None
    input_size: tuple[int, int]


class SimilarUnit(Out):
    layer: str
    label: str
    unit: int
    correlation: float


class SimilarUnits(Out):
    items: list[SimilarUnit]
    note: str | None = Field(None, description="Why the list is empty or covers only some layers.")


class DrivenUnit(Out):
    layer: str
    label: str
    unit: int
    key: str
    rank: int = Field(description="Place of the example among the unit's exemplars, from 0.")
    activation: float
    site: list[int] = Field(description="Row and column of the maximum on the layer's grid.", min_length=2, max_length=2)
    concept: str | None
    iou: float
    detector: bool


class DrivenPage(Out):
    items: list[DrivenUnit]
    next: str | None


class KeyRef(Out):
    key: str


class Snippet(Out):
    band: str
    example: int
    name: str
    slot: int
    activation: float
    at: int = Field(description="Place of the strongest token among the tokens.")
    first: int = Field(description="Place of the first token in the text.")
    tokens: list[str]
    values: list[float] = Field(description="Activation of the unit at each token.")
    cut_before: bool
    cut_after: bool


class Snippets(Out):
    threshold: float | None
    most: float = Field(description="Largest size of the unit's activation on its exemplars, for the scale of colours.")
    items: list[Snippet]


class TopToken(Out):
    text: str
    value: float = Field(description="Mean activation of the unit over all places of the token.")
    count: int = Field(description="Times that it occurs.")


class UnitTokens(Out):
    largest: list[TopToken]
    smallest: list[TopToken]


class UnitRanking(Out):
    concept: str
    ap: float = Field(description="Average precision of the unit's ranking of the tokens.")
    chance: float = Field(description="Prevalence of the concept: average precision of a ranking by lot.")


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
    histogram: UnitHistogram | None
    exemplars: Exemplars | None
    ablation: KeyRef | None
    tokens: UnitTokens | None = Field(None, description="Units that read: tokens with the largest and smallest mean activation.")
    ranking: list[UnitRanking] = Field(default_factory=list, description="Units that read: concepts they rank best above prevalence.")
