"""Findings, their checks and exports."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from microtome.api.schemas.collab import Drift
from microtome.api.schemas.common import JSON, Out, Person
from microtome.core.selection import Strict
from microtome.core.viewstate import ViewState
from microtome.results.measured import Reference

FindingVisibility = Literal["private", "workspace", "link", "public"]
EvidenceGroup = Literal["predictive", "causal", "control", "replication", "other"]
Plain = r"^[^\x00]*$"
Title = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$", strip_whitespace=True)]
Claim = Annotated[str, Field(max_length=2000, pattern=Plain, description="Markdown; the claim in one or two sentences, with its number.")]
Prose = Annotated[str, Field(max_length=50_000, pattern=Plain, description="Markdown, with maths between dollar signs.")]
Caption = Annotated[str, Field(max_length=2000, pattern=Plain)]
Key = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Tolerance = Annotated[
    float, Field(ge=0, le=0.5, allow_inf_nan=False, description="Relative: how far a number may lie from itself when it is computed again.")
]


class ResultPanel(Strict):
    kind: Literal["result"] = "result"
    key: Key
    item: str = Field(min_length=1, max_length=100)


class ExemplarPanel(Strict):
    """The images that drive a unit hardest, with the regions above the threshold of the view's quantile."""

    kind: Literal["exemplars"] = "exemplars"
    layer: str = Field(min_length=1, max_length=200)
    unit: int = Field(ge=0, le=2_000_000)


Panel = Annotated[ResultPanel | ExemplarPanel, Field(discriminator="kind")]


class NewFigure(Strict):
    """A frozen view: ``share`` keeps one that is there, ``state`` freezes one now; with neither, the panels' subjects make one."""

    share: str | None = Field(None, min_length=1, max_length=64)
    state: ViewState | None = None
    caption: Caption = ""
    panels: list[Panel] = Field(default_factory=list, max_length=4)

    @model_validator(mode="after")
    def _something(self) -> NewFigure:
        if self.share is not None and self.state is not None:
            raise ValueError("give share or state, not both")
        if self.share is None and self.state is None and not any(isinstance(p, ResultPanel) for p in self.panels):
            raise ValueError("a figure needs a view (share or state) or a panel with a result")
        return self


class NewEvidence(Strict):
    """A number of a stored result; its value, interval and chance level are read from there, never given."""

    group: EvidenceGroup
    test: str = Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$", description="What was tested, in words.")
    key: Key
    reference: Reference


class NewFinding(Strict):
    title: Title
    claim: Claim = ""
    body: Prose = ""
    figures: list[NewFigure] = Field(default_factory=list, max_length=12)
    evidence: list[NewEvidence] = Field(default_factory=list, max_length=60)
    tolerance: Tolerance = 0.001
    visibility: FindingVisibility = "workspace"


class ChangedFinding(Strict):
    """What is left out stays as it is."""

    title: Title | None = None
    claim: Claim | None = None
    body: Prose | None = None
    figures: list[NewFigure] | None = Field(None, max_length=12)
    evidence: list[NewEvidence] | None = Field(None, max_length=60)
    tolerance: Tolerance | None = None
    visibility: FindingVisibility | None = None


class Figure(Out):
    share: str
    url: str
    caption: str
    panels: list[Panel]
    state: ViewState
    available: bool = Field(description="All results of the view are stored.")


class Evidence(Out):
    group: EvidenceGroup
    test: str
    key: str
    reference: Reference
    title: str
    value: float
    low: float | None
    high: float | None
    chance: float | None
    chance_low: float | None
    chance_high: float | None
    draws: int | None
    unit: str
    n: int | None = Field(description="Examples of the probe set that the result is from.")


class Provenance(Out):
    key: str
    method: str
    title: str
    version: str
    part: str
    subjects: JSON
    params: JSON
    model_hash: str | None
    probe_hash: str | None
    seed: int | None
    software: dict[str, str]
    device: str | None
    created: str
    seconds: float
    builds_on: list[str]


class CheckedNumber(Out):
    place: int = Field(description="Row of the evidence.")
    then: float
    now: float | None
    low: float | None
    high: float | None
    agrees: bool
    why: str


class CheckedResult(Out):
    key: str
    mode: Literal["again", "anew", "refused"]
    now: str
    identical: bool = Field(description="Equal bit for bit.")
    largest: float | None = Field(description="Largest relative difference of its arrays.")
    why: str
    device: str | None
    seconds: float | None


class MadeWith(Out):
    what: Literal["model", "probe", "method"]
    name: str
    then: str


class Outcome(Out):
    state: Literal["unchanged", "agrees", "differs", "failed"]
    tolerance: float
    results: list[CheckedResult]
    numbers: list[CheckedNumber]
    drift: list[Drift]
    now: list[MadeWith]


class Check(Out):
    id: str
    revision: int
    person: Person
    at: str
    ended: str | None
    runs: list[str]
    outcome: Outcome | None


class Checks(Out):
    items: list[Check]


FindingState = Literal["fresh", "checking", "verified", "changed", "differs", "failed", "deleted"]


class Status(Out):
    """``fresh``: nothing has changed, never checked; ``verified``: computed again within the tolerance, and nothing has changed since;
    ``changed``: something it was made with has changed since it was last looked at."""

    state: FindingState
    drift: list[Drift]
    check: Check | None


class Citation(Out):
    text: str
    bibtex: str


class FindingHead(Out):
    id: str
    number: int
    url: str
    title: str
    claim: str
    model: str | None
    probe: str | None
    visibility: FindingVisibility
    state: FindingState
    figures: int
    evidence: int
    contributors: list[Person]
    author: Person
    revision: int
    created: str
    changed: str
    deleted: bool
    changed_by: Person


class FindingHeads(Out):
    items: list[FindingHead]
    next: str | None


class Finding(Out):
    id: str
    number: int
    url: str
    title: str
    claim: str
    body: str
    model: str | None
    probe: str | None
    visibility: FindingVisibility
    tolerance: float
    figures: list[Figure]
    evidence: list[Evidence]
    provenance: list[Provenance]
    status: Status
    checks: list[Check] = Field(description="The newest hundred, newest first.")
    contributors: list[Person]
    citation: Citation
    content_hash: str = Field(description="sha256 of what this revision says; a copy elsewhere has the same.")
    origin: JSON | None = Field(description="Where it was brought from, if it was made elsewhere.")
    shown: int = Field(description="The revision that is shown.")
    author: Person
    revision: int
    created: str
    changed: str
    deleted: bool
    changed_by: Person


class FindingRevision(Out):
    revision: int
    title: str
    claim: str
    body: str
    evidence: int
    figures: int
    tolerance: float
    visibility: FindingVisibility
    deleted: bool
    author: Person
    at: str


class FindingRevisions(Out):
    items: list[FindingRevision]
