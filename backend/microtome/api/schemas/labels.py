"""Label sets, ratings, the queue, decisions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from microtome.api.schemas.common import Out, Person
from microtome.collab.labels.ratings import BULK
from microtome.collab.labels.schema import Answer, AnswerSchema, Markdown, Name, Raters
from microtome.collab.labels.sets import UNITS
from microtome.core.selection import Selection, Strict, UnitRef

Reason = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
Order = Literal["coverage", "uncertainty", "listed"]
Show = Literal["all", "mine-open", "mine-done", "open", "disputed", "settled"]


class Machine(Strict):
    """What gave an answer, if it was no person."""

    name: str = Field(min_length=1, max_length=80, pattern=r"^[^\x00-\x1f@]+$")
    version: str = Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f@]+$")


class NewLabelSet(Strict):
    name: Name
    model: str = Field(min_length=1, max_length=64)
    probe: str | None = Field(None, min_length=1, max_length=64, description="Whose examples are shown; needed with a selection.")
    question: Markdown = Field("", description="Markdown, shown above every unit.")
    schema_: AnswerSchema = Field(alias="schema", description="What an answer may be.")
    raters: Raters = 2
    blind: bool = Field(True, description="Others' and machines' answers are hidden until one's own is given for the unit.")
    units: list[UnitRef] | None = Field(None, min_length=1, max_length=UNITS)
    selection: Selection | None = Field(None, description="Instead of units: all units that it holds now, in the order of layers.")

    @model_validator(mode="after")
    def _one(self) -> NewLabelSet:
        if (self.units is None) == (self.selection is None):
            raise ValueError("give exactly one of units, selection")
        if self.selection is not None and self.probe is None:
            raise ValueError("a selection needs the probe set that it is about")
        return self


class ChangedLabelSet(Strict):
    """What is left out stays as it is."""

    name: Name | None = None
    question: Markdown | None = None
    schema_: AnswerSchema | None = Field(None, alias="schema")
    raters: Raters | None = None
    blind: bool | None = None
    closed: bool | None = None


class MoreUnits(Strict):
    units: list[UnitRef] | None = Field(None, min_length=1, max_length=UNITS)
    probe: str | None = Field(None, min_length=1, max_length=64)
    selection: Selection | None = None

    @model_validator(mode="after")
    def _one(self) -> MoreUnits:
        if (self.units is None) == (self.selection is None) or (self.selection is None) != (self.probe is None):
            raise ValueError("give units, or selection and probe")
        return self


class LabelSetContent(Out):
    name: str
    question: str
    schema_: AnswerSchema = Field(alias="schema")
    version: int = Field(description="Of question and schema; answers name the one they were given to.")
    raters: int
    blind: bool
    closed: bool
    revision: int
    deleted: bool
    author: Person


class SetImported(Out):
    """Who brought the file. Authors and times of what it held are what the file says."""

    by: str
    at: str
    sha256: str
    ignored: list[str] = Field(description="Columns that nobody knows.")


class LabelSet(LabelSetContent):
    id: str
    model: str
    model_hash: str
    probe: str | None
    selection: Selection | None
    imported: SetImported | None
    units: int
    answers: int = Field(description="Living answers of people.")
    machine_answers: int
    mine: int
    created: str
    changed: str
    changed_by: Person


class LabelSets(Out):
    items: list[LabelSet]
    next: str | None


class LabelSetRevision(LabelSetContent):
    at: str


class LabelSetRevisions(Out):
    items: list[LabelSetRevision]


class NewRating(Strict):
    layer: str = Field(min_length=1, max_length=200)
    unit: int = Field(ge=0, le=2_000_000)
    answer: Answer
    machine: Machine | None = None


class BulkRating(Strict):
    layer: str = Field(min_length=1, max_length=200)
    unit: int = Field(ge=0, le=2_000_000)
    answer: Answer
    revision: int | None = Field(None, ge=1, le=2**31 - 1, description="The revision that was read, where there is an answer already.")


class BulkRatings(Strict):
    items: list[BulkRating] = Field(min_length=1, max_length=BULK)
    machine: Machine | None = None


class ChangedRating(Strict):
    answer: Answer


class Rating(Out):
    id: str
    set: str
    layer: str
    unit: int
    answer: Answer | None
    hidden: bool = Field(description="The answer is there, but may not be seen yet.")
    version: int
    informed: bool = Field(description="Others' answers could be seen when it was given.")
    machine: Machine | None
    author: Person
    revision: int
    created: str
    changed: str
    deleted: bool
    changed_by: Person


class Ratings(Out):
    items: list[Rating]
    next: str | None


class RatingRevision(Out):
    revision: int
    answer: Answer
    version: int
    informed: bool
    deleted: bool
    author: Person
    at: str
    batch: str | None


class RatingRevisions(Out):
    items: list[RatingRevision]


class Batch(Out):
    id: str
    set: str
    at: str
    undone: str | None
    items: list[Rating]


class Looked(Strict):
    units: list[UnitRef] | None = Field(None, max_length=1000, description="All units of the set if left out.")


class NextQuery(Strict):
    order: Order = "coverage"
    skip: UnitRef | None = Field(None, description="Not this one now; it is given back.")


class LabelUnit(Out):
    place: int
    layer: str
    unit: int
    answers: int = Field(description="Living answers of people.")
    machines: int
    mine: Rating | None
    hidden: bool = Field(description="Others' answers may not be seen yet.")
    others: list[Rating] | None
    disagreement: float | None = Field(description="Share of pairs of people's answers that differ.")
    settled: bool
    final: Answer | None
    assigned: list[Person]


class LabelUnits(Out):
    items: list[LabelUnit]
    next: str | None


class Progress(Out):
    units: int
    wanted: int = Field(description="Answers that are wanted in all.")
    answers: int
    complete: int = Field(description="Units with as many answers as are wanted, or settled.")
    settled: int
    mine: int


class NextUnit(Out):
    unit: LabelUnit | None = Field(description="Null when there is nothing left for me.")
    lease_until: float | None = Field(description="Unix time until which nobody else is given this turn.")
    progress: Progress


class PersonProgress(Out):
    person: Person
    answered: int
    assigned: int
    assigned_done: int


class SetProgress(Progress):
    people: list[PersonProgress]


class Assignment(Strict):
    person: str = Field(min_length=1, max_length=32)
    units: list[UnitRef] | None = Field(None, max_length=2000, description="All units of the set if left out.")
    assigned: bool = True


class NewDecision(Strict):
    layer: str = Field(min_length=1, max_length=200)
    unit: int = Field(ge=0, le=2_000_000)
    answer: Answer
    reason: Reason = ""


class ChangedDecision(Strict):
    answer: Answer | None = None
    reason: Reason | None = None


class Decision(Out):
    id: str
    set: str
    layer: str
    unit: int
    answer: Answer
    version: int
    reason: str
    author: Person
    revision: int
    created: str
    changed: str
    deleted: bool
    changed_by: Person


class Decisions(Out):
    items: list[Decision]
    next: str | None


class DecisionRevision(Out):
    revision: int
    answer: Answer
    version: int
    reason: str
    deleted: bool
    author: Person
    at: str


class DecisionRevisions(Out):
    items: list[DecisionRevision]


class Rater(Out):
    person: Person | None
    machine: Machine | None


class Measure(Out):
    id: Literal["percent", "overlap", "fleiss", "alpha-nominal", "alpha-ordinal", "alpha-interval"]
    title: str
    value: float | None
    why: str | None = Field(description="Why there is no value.")
    low: float | None = Field(description="95 % interval by bootstrap over units.")
    high: float | None
    units: int
    answers: int
    draws: int


class Compared(Out):
    units: int
    percent: float | None
    kappa: float | None
    weighted_kappa: float | None = Field(description="With quadratic weights, for scales.")
    why: str | None


class RaterPair(Compared):
    a: Rater
    b: Rater


class MachineScore(Compared):
    machine: Machine
    ties: int = Field(description="Units left out because people are tied.")


class AnswerAgreement(Out):
    answer: str
    count: int
    agreement: float | None = Field(description="Share of the pairs with this answer that agree on it.")
    alpha: float | None = Field(description="This answer against all others.")
    why: str | None


class UnitAgreement(Out):
    layer: str
    unit: int
    answers: int
    percent: float | None


class Agreement(Out):
    answers: Literal["independent", "present"]
    comparison: str
    units: int = Field(description="Units whose answers I may see.")
    hidden_units: int
    hidden_answers: int
    left_out: int = Field(description="Answers to an older version that are none in the present one.")
    units_compared: int
    people: int
    machines: int
    measures: list[Measure]
    pairs: list[RaterPair]
    machine_scores: list[MachineScore]
    by_answer: list[AnswerAgreement]
    by_unit: list[UnitAgreement]
