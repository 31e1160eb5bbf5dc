"""Taking part: one task at a time, in one's own order. Answers are given once and never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape, mark_of
from microtome.collab.studies.design import AnyDesign, MapCondition, read_design
from microtome.collab.studies.order import Step, order, shown_order, sides
from microtome.collab.studies.studies import find_study
from microtome.core.errors import Conflict, InvalidInput, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import EventRepository, audit
from microtome.store.times import now

QUESTIONS = {
    "guess-label": "Which of these do the images have in common?",
    "forward-simulation": "What does the model say of this image?",
    "better-model": "Which of the two models is right more often?",
}
#: The same of units that read.
PASSAGES = "Which of these do the passages have in common?"
SIDES = ["Model A", "Model B"]  # which is which is drawn anew for every task


@dataclass(frozen=True, slots=True)
class Turn:
    """A place in a participant's order, with all that the server knows of it."""

    study: Row[Any]
    design: AnyDesign
    step: Step
    task: Row[Any]
    shown: list[int]  # places of the choices, in the order in which they are shown

    @property
    def condition(self) -> Any:
        return self.design.conditions[self.step.condition]

    @property
    def reads(self) -> bool:
        """Passages of text stand in the place of pictures."""
        return "reader" in self.task.content

    @property
    def pictures(self) -> list[str]:
        """What each picture is; the words say nothing of the answer."""
        condition = self.condition
        if not isinstance(condition, MapCondition):
            return [""] * len(self.task.content["examples"])
        if condition.method is None:
            return ["Image"]
        return ["Image", *SIDES] if "models" in self.task.content else ["Image", "Explanation"]


class Taking:
    """Joining, the next task, answering."""

    def __init__(self, store: Store, events: EventRepository) -> None:
        self.store, self.events = store, events

    def next(self, me: PersonRow, id: str) -> Shape:
        """The task that is mine to answer, for the first time or again; the first call joins.

        Raises:
            Conflict: the study is not open.
        """
        with self.store.write(lock=f"study-{id}") as connection:
            row = _open(connection, me, id)
            number = self._number(connection, me, row)
            place = _answered(connection, me, id)
            design = read_design(row.design)
            of = design.tasks + design.attention
            if place >= of:
                return {"answered": place, "of": of, "task": None}
            shown = {"study_id": id, "person_id": me.id, "place": place, "at": now()}
            connection.execute(insert_ignore(connection, t.study_shown), shown)
            return {"answered": place, "of": of, "task": _told(_turn(connection, row, design, number, place), place)}

    def turn(self, me: PersonRow, id: str, place: int) -> Turn:
        """A task that was shown to me.

        Raises:
            NotFound: it is not there, or not mine to see yet.
        """
        s = t.study_shown.c
        with self.store.read() as connection:
            row = find_study(connection, me, id)
            mine = select(s.place).where(s.study_id == id, s.person_id == me.id, s.place == place)
            if row.state == "draft" or connection.execute(mine).first() is None:
                raise NotFound("You have not come to this task yet. POST /api/v1/studies/{id}/next gives the next one.", field="place")
            p = t.study_participant.c
            number = connection.execute(select(p.number).where(p.study_id == id, p.person_id == me.id)).scalar_one()
            return _turn(connection, row, read_design(row.design), number, place)

    def answer(
        self, me: PersonRow, id: str, place: int, choice: int, confidence: int | None, milliseconds: int | None, token: str | None = None
    ) -> Shape:
        """
        Args:
            choice: place among the choices as they were shown.

        Raises:
            Conflict: the study is not open, the task was answered otherwise, or is not the next one. InvalidInput: there is no such choice.
        """
        with self.store.write(lock=f"study-{id}") as connection:
            row = _open(connection, me, id)
            number = self._number(connection, me, row)
            design = read_design(row.design)
            done, of = _answered(connection, me, id), design.tasks + design.attention
            if not 0 <= place < of or place > done:
                raise Conflict(f"Task {place} is not the next one; task {min(done, of - 1)} is.", field="place")
            turn = _turn(connection, row, design, number, place)
            if choice >= len(turn.shown):
                raise InvalidInput(f"There are {len(turn.shown)} choices, numbered from 0; there is no {choice}.", field="choice")
            if design.confidence and confidence is None:
                raise InvalidInput("This study asks how sure you are: send confidence, 1 to 5.", field="confidence")
            chosen, sure = turn.shown[choice], confidence if design.confidence else None
            a = t.study_answer
            if place < done:
                mine = (a.c.study_id == id) & (a.c.person_id == me.id) & (a.c.place == place)
                old = connection.execute(select(a).where(mine)).one()
                if (old.choice, old.confidence) != (chosen, sure):
                    raise Conflict("This task is answered, and an answer is not changed.", field="place")
                return {"place": place, "answered": done, "of": of}
            s = t.study_shown.c
            if connection.execute(select(s.place).where(s.study_id == id, s.person_id == me.id, s.place == place)).first() is None:
                raise Conflict("This task was not shown to you yet. POST /api/v1/studies/{id}/next first.", field="place")
            connection.execute(
                insert(a).values(
                    study_id=id, person_id=me.id, place=place, task=turn.step.task, condition=turn.step.condition, choice=chosen,
                    confidence=sure, milliseconds=milliseconds, at=now(), token=mark_of(me, token),
                )
            )  # fmt: skip
            told = {"id": id, "revision": row.revision, "deleted": row.deleted, "state": row.state}
            if place + 1 == of:  # not at each answer: nobody needs to hear of that, and there are many
                audit(connection, me.id, "finish-study", id, me.workspace)
                self.events.add("study", told, connection, workspace=row.workspace_id)
            return {"place": place, "answered": done + 1, "of": of}

    def mine(self, me: PersonRow, id: str) -> list[Shape]:
        """My answers in my order; whether they were right only when the study is closed."""
        a = t.study_answer
        with self.store.read() as connection:
            row = find_study(connection, me, id)
            answers = list(connection.execute(select(a).where(a.c.study_id == id, a.c.person_id == me.id).order_by(a.c.place)))
            tasks = {x.number: x for x in connection.execute(select(t.study_task).where(t.study_task.c.study_id == id))}
        pair = row.design["kind"] == "better-model"
        return [
            {
                "place": x.place, "choice": None if pair else tasks[x.task].choices[x.choice], "confidence": x.confidence, "at": x.at,
                "milliseconds": x.milliseconds, "correct": x.choice == tasks[x.task].truth if row.state == "closed" else None,
            }
            for x in answers
        ]  # fmt: skip

    def _number(self, connection: Connection, me: PersonRow, row: Row[Any]) -> int:
        """My number among the participants; a new one if I have none."""
        p = t.study_participant
        known = connection.execute(select(p.c.number).where(p.c.study_id == row.id, p.c.person_id == me.id)).scalar()
        if known is not None:
            return int(known)
        number = int(connection.execute(select(func.count()).where(p.c.study_id == row.id)).scalar_one())
        connection.execute(insert(p).values(study_id=row.id, person_id=me.id, number=number, joined=now()))
        audit(connection, me.id, "join-study", row.id, me.workspace)
        told = {"id": row.id, "revision": row.revision, "deleted": row.deleted, "state": row.state}
        self.events.add("study", told, connection, workspace=row.workspace_id)
        return number


def _open(connection: Connection, me: PersonRow, id: str) -> Row[Any]:
    row = find_study(connection, me, id)
    if row.state != "open":
        raise Conflict(f"This study is {'not open yet' if row.state == 'draft' else 'closed'}; it takes no answers.", field="id")
    return row


def _answered(connection: Connection, me: PersonRow, id: str) -> int:
    a = t.study_answer.c
    return int(connection.execute(select(func.count()).where(a.study_id == id, a.person_id == me.id)).scalar_one())


def _turn(connection: Connection, row: Row[Any], design: AnyDesign, number: int, place: int) -> Turn:
    step = order(design.tasks, len(design.conditions), design.attention, design.seed, number)[place]
    c = t.study_task.c
    task = connection.execute(select(t.study_task).where(c.study_id == row.id, c.number == step.task)).one()
    if design.kind == "better-model":
        shown = sides(design.tasks + design.attention, design.seed, number)[step.task]
    else:
        shown = shown_order(len(task.choices), design.seed, number, step.task)
    return Turn(row, design, step, task, shown)


def _told(turn: Turn, place: int) -> Shape:
    pair = turn.design.kind == "better-model"
    choices = SIDES if pair else [turn.task.choices[i] for i in turn.shown]
    question = PASSAGES if turn.reads else QUESTIONS[turn.design.kind]
    if pair and turn.condition.method is None:
        question += " This time their maps are not shown."
    if turn.task.attention:
        told = choices[turn.shown.index(turn.task.truth)]
        question = f"This one checks that you read along: choose {told}."
    pictures = [{"number": i, "caption": caption} for i, caption in enumerate(turn.pictures)]
    return {
        "place": place, "question": question, "choices": choices, "pictures": pictures, "reads": turn.reads,
        "confidence": turn.design.confidence,
    }  # fmt: skip
