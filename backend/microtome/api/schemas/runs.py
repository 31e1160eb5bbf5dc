"""Methods, runs, results."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from microtome.api.schemas.common import Out, Person
from microtome.core.selection import Strict
from microtome.core.stored import Parameters

RunState = Literal["queued", "running", "done", "failed", "cancelled"]
ClassIndex = Annotated[int, Field(ge=0, le=1_000_000)]
UnitIndex = Annotated[int, Field(ge=0, le=2_000_000)]
LayerName = Annotated[str, Field(min_length=1, max_length=200)]


class Method(Out):
    id: str
    title: str
    question: str
    summary: str
    subject: list[str]
    optional_subject: list[str]
    modalities: list[str]
    returns: list[str]
    cite: str
    version: str
    folder: str
    interactive: bool
    partition: str
    builds_on: list[str]
    params: dict[str, Any]
    example_params: dict[str, Any]


class Methods(Out):
    items: list[Method]


class UnitsSubject(Strict):
    layer: LayerName
    indices: list[UnitIndex] = Field(min_length=1, max_length=10_000)


class ClassDifference(Strict):
    """What speaks for one class rather than another."""

    minus: tuple[ClassIndex, ClassIndex] = Field(description="The logit of the first class minus that of the second.")


class UnitTarget(Strict):
    """The activation of a unit."""

    layer: LayerName
    unit: UnitIndex
    site: tuple[UnitIndex, UnitIndex] | None = Field(
        None, description="Row and column of the layer's grid; the mean over all sites if left out."
    )


class DirectionTarget(Strict):
    """A weighted sum of units, mean over sites."""

    layer: LayerName
    weights: dict[Annotated[str, Field(pattern=r"^\d{1,7}$")], Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]] = Field(
        min_length=1, max_length=4096, description="Weight by unit.", examples=[{"12": 0.5, "40": -1}]
    )


class SimilarityTarget(Strict):
    """How like what a layer gives is to what it gives for another image: the cosine of the angle, of means over sites."""

    like: str = Field(min_length=1, max_length=200, description="The other image: PROBE:INDEX, or upload:SHA256", examples=["tinyplaces:7"])
    layer: LayerName | None = Field(None, description="The last of the main layers if left out.")


TargetSubject = ClassIndex | ClassDifference | UnitTarget | DirectionTarget | SimilarityTarget


class Subjects(Strict):
    model: str = Field(min_length=1, max_length=64)
    probe: str | None = Field(None, min_length=1, max_length=64)
    layers: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(None, min_length=1, max_length=500)
    units: UnitsSubject | None = None
    example: str | None = Field(None, min_length=1, max_length=200, description="PROBE:INDEX, or upload:SHA256", examples=["tinyplaces:7"])
    prompt: str | None = Field(
        None, min_length=1, max_length=20_000, description="Text for a model that reads.", examples=["def add(a, b):"]
    )
    targets: list[TargetSubject] | None = Field(
        None,
        min_length=1,
        max_length=16,
        description="What is explained; the predicted class if left out.",
        examples=[[3, {"minus": [3, 5]}]],
    )


class RunRequest(Strict):
    method: str = Field(min_length=1, max_length=60, examples=["dissection"])
    subjects: Subjects
    params: Parameters | None = None
    priority: Literal["interactive", "batch"] | None = None


class Estimate(Out):
    cached: bool
    examples: int
    layers: int
    recorders: list[str]
    passes: int
    seconds: float | None
    bytes: int
    scratch_bytes: int
    memory_bytes: int
    queue: int
    note: str


class RunPart(Out):
    part: str
    key: str
    done: bool


class Progress(Out):
    done: int
    total: int
    what: str
    rate: float | None
    eta_seconds: float | None


class RunError(Out):
    title: str
    detail: str
    field: str | None


class Run(Out):
    id: str
    method: str
    title: str
    subjects: dict[str, Any]
    params: dict[str, Any]
    state: RunState
    cached: bool
    keys: list[str]
    parts: list[RunPart]
    progress: Progress | None
    place: int | None
    error: RunError | None
    person: Person | None
    created: str
    started: str | None
    ended: str | None
    seconds: float | None
    forward_passes: int | None


class Runs(Out):
    items: list[Run]
    next: str | None


class ArrayRef(Out):
    sha256: str
    dtype: str
    shape: list[int]
    bytes: int


class Imported(Out):
    """Where results come from that were computed elsewhere."""

    folder: str
    manifest_sha256: str
    at: str = Field(description="When it was imported.")
    by: dict[str, str] = Field(description="Versions of the importing program.")
    created: str | None = Field(description="When it was computed, as its manifest says.")
    source: str | None = Field(description="Where the real model is, as its manifest says.")
    revision: str | None


class Provenance(Out):
    model_hash: str | None
    probe_hash: str | None
    software: dict[str, str]
    device: str
    seed: int | None
    imported: Imported | None


class ResultItem(Out):
    name: str
    kind: str
    document: dict[str, Any]
    arrays: dict[str, ArrayRef]


class TableRows(Out):
    total: int
    units: list[int]
    rows: list[list[float | int | bool | str | None]]


class ResultSet(Out):
    key: str
    method: str
    version: str
    part: str
    subjects: dict[str, Any]
    params: dict[str, Any]
    created: str
    seconds: float
    provenance: Provenance
    results: list[ResultItem]
