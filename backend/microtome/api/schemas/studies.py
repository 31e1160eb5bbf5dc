"""Studies: their design, taking part, results."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from microtome.api.schemas.common import Out, Person
from microtome.collab.studies.design import BetterModel, Design, ForwardSimulation, GuessLabel
from microtome.core.selection import Strict

Title = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
Instructions = Annotated[str, Field(max_length=20_000, pattern=r"^[^\x00]*$", description="Markdown, shown before the first task.")]
StudyState = Literal["draft", "open", "closed"]
Place = Annotated[int, Field(ge=0, le=1000)]


class NewStudy(Strict):
    name: Title
    instructions: Instructions = ""
    design: Design


class ChangedStudy(Strict):
    """What is left out stays as it is. Only drafts can be changed."""

    name: Title | None = None
    instructions: Instructions | None = None
    design: Design | None = None

    @model_validator(mode="after")
    def _something(self) -> ChangedStudy:
        if not self.model_fields_set:
            raise ValueError("name at least one thing to change")
        return self


class Preparation(Out):
    step: Literal["measuring", "explaining", "ready", "failed"] = Field(
        description="measuring: results that tasks are made from; explaining: maps that tasks show."
    )
    done: int
    total: int
    problem: str | None


class Study(Out):
    id: str
    name: str
    instructions: str
    state: StudyState
    kind: Literal["guess-label", "forward-simulation", "better-model"]
    places: int = Field(description="Tasks of each participant, with checks of attention.")
    conditions: list[str]
    confidence: bool
    design: GuessLabel | ForwardSimulation | BetterModel | None = Field(
        description="For editors; for everybody when it is closed. Its seed leads to the tasks."
    )
    preparation: Preparation | None = Field(description="For editors.")
    participants: int
    answers: int
    mine: int = Field(description="Answers that I gave.")
    author: Person
    revision: int
    created: str
    changed: str
    deleted: bool
    changed_by: Person


class Studies(Out):
    items: list[Study]
    next: str | None


class StudyRevision(Out):
    revision: int
    name: str
    instructions: str
    design: GuessLabel | ForwardSimulation | BetterModel
    state: StudyState
    deleted: bool
    author: Person
    at: str


class StudyRevisions(Out):
    items: list[StudyRevision]


class TaskPicture(Out):
    number: int
    caption: str


class StudyTask(Out):
    """What a participant may know of a task: nothing of it says what is right."""

    place: int
    question: str
    choices: list[str]
    pictures: list[TaskPicture]
    reads: bool = Field(description="They are passages of text, to be had from GET /studies/{id}/tasks/{place}/passages/{number}.")
    confidence: bool


class TaskPassage(Out):
    """A stretch of a text in tokens."""

    tokens: list[str]
    values: list[float] | None = Field(description="Of the unit at each token, as a share of its largest; None where they are not shown.")
    threshold: float | None = Field(description="Where the unit counts as active, on the same scale.")
    cut_before: bool
    cut_after: bool


class NextTask(Out):
    answered: int
    of: int
    task: StudyTask | None = Field(description="None when all are answered.")


class NewAnswer(Strict):
    place: Place
    choice: int = Field(ge=0, le=20, description="Place among the choices as they were shown.")
    confidence: int | None = Field(None, ge=1, le=5, description="5 is sure.")
    milliseconds: int | None = Field(None, ge=0, le=86_400_000, description="As the browser measured it; the server keeps its own times.")


class AnswerGiven(Out):
    place: int
    answered: int
    of: int


class MyAnswer(Out):
    place: int
    choice: str | None
    confidence: int | None
    milliseconds: int | None
    at: str
    correct: bool | None = Field(description="None until the study is closed.")


class MyAnswers(Out):
    items: list[MyAnswer]


class Counted(Out):
    answered: int
    finished: int
    inattentive: int = Field(description="Finished, but failed a check of attention; they do not count.")
    counted: int


class ConditionResult(Out):
    name: str
    participants: int
    answers: int
    correct: int
    accuracy: float | None = Field(description="Mean over participants of each one's share of right answers.")
    low: float | None = Field(description="95 % interval by bootstrap over participants; none for fewer than two.")
    high: float | None
    chance: float
    median_ms: float | None
    confidence: float | None


class ConditionDifference(Out):
    first: str
    second: str
    difference: float | None = Field(description="First minus second, mean over participants of each one's own difference.")
    low: float | None
    high: float | None
    participants: int


class StudyResults(Out):
    participants: Counted
    conditions: list[ConditionResult]
    differences: list[ConditionDifference]
    draws: int
