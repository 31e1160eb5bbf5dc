"""Hypothesis cards."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from microtome.api.schemas.collab import Visibility
from microtome.api.schemas.common import Out, Person
from microtome.api.schemas.runs import Progress, RunState, Subjects
from microtome.core.selection import Strict
from microtome.core.stored import Parameters
from microtome.results.measured import Reference

Words = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*\S[^\x00]*$")]
Note = Annotated[str, Field(max_length=10_000, pattern=r"^[^\x00]*$")]
Comparison = Literal["above", "below"]
HypothesisState = Literal["draft", "waiting", "supported", "refuted", "inconclusive", "failed"]
Threshold = Annotated[float, Field(allow_inf_nan=False, ge=-1e15, le=1e15)]


class Test(Strict):
    """The run whose number is predicted."""

    method: str = Field(min_length=1, max_length=60, examples=["ablate-units"])
    subjects: Subjects
    params: Parameters = Field(default_factory=dict)


class Control(Strict):
    """The same method put to other subjects, or with other parameters, or another number of it."""

    subjects: Subjects
    params: Parameters = Field(default_factory=dict)
    reference: Reference | None = Field(None, description="If it is another number than that of the test, such as that of another unit.")


class NewHypothesis(Strict):
    statement: Words = Field(description="What one believes.", examples=["Unit 42 of stage3 carries the sea."])
    prediction: Words = Field(description="What one expects to measure, in words.")
    test: Test
    control: Control
    reference: Reference = Field(description="Which number of the results is meant.")
    comparison: Comparison
    threshold: Threshold
    interval: bool = Field(False, description="The whole 95 % interval must lie on the predicted side.")
    note: Note = ""
    visibility: Visibility = "workspace"


class ChangedHypothesis(Strict):
    """What is left out stays as it is. After the start only the note can change."""

    statement: Words | None = None
    prediction: Words | None = None
    test: Test | None = None
    control: Control | None = None
    reference: Reference | None = None
    comparison: Comparison | None = None
    threshold: Threshold | None = None
    interval: bool | None = None
    note: Note | None = None

    @model_validator(mode="after")
    def _something(self) -> ChangedHypothesis:
        if not self.model_fields_set:
            raise ValueError("name at least one thing to change")
        return self


class Measured(Out):
    """A number with its 95 % interval, its chance level and chance band, as far as the method gives them."""

    value: float
    title: str
    unit: str
    low: float | None
    high: float | None
    chance: float | None
    chance_low: float | None
    chance_high: float | None
    draws: int | None


class Side(Out):
    """How the test or the control stands."""

    run: str | None
    run_state: RunState | None
    progress: Progress | None
    key: str | None
    measured: Measured | None
    verdict: Literal["passes", "fails", "straddles"] | None = Field(description="straddles: the interval holds the threshold.")
    problem: str | None = Field(description="Why there is no number.")


class KnownBefore(Out):
    test: str | None = Field(description="When a result was first there, if that was before the prediction was made.")
    control: str | None


class Start(Out):
    at: str
    by: Person
    known_before: KnownBefore


class Hypothesis(Out):
    id: str
    model: str
    visibility: Visibility
    statement: str
    prediction: str
    test: dict[str, Any]
    control: dict[str, Any]
    reference: dict[str, Any]
    comparison: Comparison
    threshold: float
    interval: bool
    predicted: str = Field(description="When the prediction was made: nothing that it consists of has changed since.")
    note: str
    state: HypothesisState = Field(description="Follows from the results each time it is read; it is never set by hand.")
    why: str
    start: Start | None
    test_side: Side
    control_side: Side
    author: Person
    revision: int
    created: str
    changed: str
    deleted: bool
    changed_by: Person


class Hypotheses(Out):
    items: list[Hypothesis]
    next: str | None


class HypothesisRevision(Out):
    revision: int
    statement: str
    prediction: str
    test: dict[str, Any]
    control: dict[str, Any]
    reference: dict[str, Any]
    comparison: Comparison
    threshold: float
    interval: bool
    predicted: str
    note: str
    started: str | None
    deleted: bool
    author: Person
    at: str


class HypothesisRevisions(Out):
    items: list[HypothesisRevision]


class OfferedNumber(Out):
    """A number that results of a method have; where ``rows`` or ``columns`` is a count, one of them is to be chosen."""

    reference: Reference
    title: str
    unit: str
    row_axis: str
    rows: int | None
    row_names: list[str]
    column_axis: str
    columns: int | None
    column_names: list[str]


class OfferedNumbers(Out):
    items: list[OfferedNumber]
