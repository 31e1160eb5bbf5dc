"""Studies: from the design to the results, on each database; what is locked, what is append-only, what is kept from whom."""

from __future__ import annotations

import csv
import io
import threading
from dataclasses import replace
from typing import Any

import orjson
import pytest
from sqlalchemy import func, select, update

from microtome.collab.people import People, PersonRow
from microtome.collab.studies.order import order
from microtome.collab.studies.outcome import Outcomes
from microtome.collab.studies.studies import Studies
from microtome.collab.studies.taking import Taking
from microtome.core.errors import Conflict, Forbidden, InvalidInput, NotFound, StaleVersion
from microtome.store import tables as t
from microtome.store.eviction import evict

GUESS = {
    "kind": "guess-label", "model": "fake", "probe": "fake-probe", "tasks": 4, "choices": 2, "exemplars": 2, "attention": 1, "seed": 3,
    "conditions": [{"name": "with regions", "show": "regions"}, {"name": "random", "show": "random"}],
}  # fmt: skip
MAPS = [{"name": "with Grad-CAM", "method": "grad-cam", "params": {"steps": 4}}, {"name": "without"}]
FORWARD = {
    "kind": "forward-simulation",
    "model": "fake",
    "probe": "fake-probe",
    "tasks": 6,
    "attention": 0,
    "conditions": MAPS,
    "choices": 3,
}
BETTER = {"kind": "better-model", "pairs": [["fake", "fake2"]], "probe": "fake-probe", "tasks": 4, "attention": 2, "conditions": MAPS}
KINDS = pytest.mark.parametrize("design", [GUESS, FORWARD, BETTER], ids=lambda d: d["kind"])


class Room:
    def __init__(self, engine: Any) -> None:
        for source in ("builtin:fake", "builtin:fake2"):
            engine.add_source("add-model", source)
        engine.add_source("add-probe", "builtin:fake-probe")
        self.engine, self.store = engine, engine.store
        self.studies, self.taking = Studies(engine), Taking(engine.store, engine.events)
        self.outcomes = Outcomes(engine.store)
        people = People(engine.store)
        self.ada, self.ben, self.cyd = (replace(people.create(name), role="annotator") for name in ("Ada", "Ben", "Cyd"))
        self.eve = replace(people.create("Eve"), role="editor")

    def opened(self, design: Any, **more: Any) -> str:
        made = self.studies.create(self.eve, "Study", "Look well.", design | more)
        ready = self.studies.prepare(self.eve, made["id"], "1")
        assert ready["preparation"]["step"] == "ready", ready["preparation"]
        self.studies.open(self.eve, made["id"], "1")
        return str(made["id"])

    def truths(self, id: str) -> dict[int, Any]:
        with self.store.read() as connection:
            return {row.number: row for row in connection.execute(select(t.study_task).where(t.study_task.c.study_id == id))}

    def take(self, who: PersonRow, id: str, right: Any = lambda place: True, stop: int | None = None) -> int:
        """Answer one task after another, rightly where ``right`` says so."""
        count = 0
        while (given := self.taking.next(who, id))["task"] is not None and count != stop:
            place, turn = given["task"]["place"], self.taking.turn(who, id, given["task"]["place"])
            good = turn.shown.index(turn.task.truth)
            choice = good if right(place) or turn.task.attention else (good + 1) % len(turn.shown)
            self.taking.answer(who, id, place, choice, 4, 1000 + place)
            count += 1
        return count

    def answers(self, id: str) -> int:
        with self.store.read() as connection:
            return int(connection.execute(select(func.count()).where(t.study_answer.c.study_id == id)).scalar_one())


@pytest.fixture
def room(any_engine: Any) -> Room:
    return Room(any_engine)


@pytest.fixture
def one(settings: Any, make_engine: Any) -> Room:
    """On SQLite alone."""
    return Room(make_engine(settings))


@KINDS
def test_the_whole_way(room: Room, design: Any) -> None:
    id = room.opened(design)
    of = design["tasks"] + design["attention"]
    assert room.take(room.ada, id) == of
    assert room.take(room.ben, id, right=lambda place: False) == of
    assert room.take(room.cyd, id, stop=2) == 2
    told = room.outcomes.results(room.eve, id)
    assert told["participants"] == {"answered": 3, "finished": 2, "inattentive": 0, "counted": 2}
    for condition in told["conditions"]:
        assert (condition["accuracy"], condition["answers"], condition["low"], condition["high"]) == (0.5, design["tasks"], 0.0, 1.0)
        assert condition["chance"] == pytest.approx(
            {"guess-label": 1 / 2, "forward-simulation": 1 / 3, "better-model": 1 / 2}[design["kind"]]
        )
        assert condition["confidence"] == 4
    assert [d["difference"] for d in told["differences"]] == [0.0]
    assert [len(room.taking.mine(who, id)) for who in (room.ada, room.cyd, room.eve)] == [of, 2, 0]
    assert {a["correct"] for a in room.taking.mine(room.ada, id)} == {None}
    closed = room.studies.close(room.eve, id, "2")
    assert (closed["state"], closed["participants"], closed["answers"]) == ("closed", 3, 2 * of + 2)
    assert {a["correct"] for a in room.taking.mine(room.ada, id)} == {True}
    assert room.outcomes.results(room.ada, id) == told
    with pytest.raises(Conflict, match="closed"):
        room.taking.next(room.cyd, id)
    with pytest.raises(Conflict, match="Only an open study"):
        room.studies.close(room.eve, id, "3")
    rows = list(csv.DictReader(io.StringIO(room.outcomes.export(room.eve, id, "answers", "csv")[0].decode())))
    assert len(rows) == 2 * of + 2
    whole = orjson.loads(room.outcomes.export(room.eve, id, "answers", "json")[0])
    assert [str(r["correct"]) for r in whole["answers"]] == [r["correct"] for r in rows]
    assert whole["design"]["kind"] == design["kind"]
    assert {r["person"] for r in rows if r["participant"] == "0"} == {"Ada"}
    assert all(int(r["server_milliseconds"]) >= 0 for r in rows)
    summary = list(csv.DictReader(io.StringIO(room.outcomes.export(room.eve, id, "summary", "csv")[0].decode())))
    assert [(r["what"], r["value"]) for r in summary] == [("accuracy", "0.5"), ("accuracy", "0.5"), ("difference", "0.0")]
    assert orjson.loads(room.outcomes.export(room.eve, id, "summary", "json")[0])["conditions"] == told["conditions"]


def test_participants_get_the_order_that_their_number_says(room: Room) -> None:
    id = room.opened(FORWARD)
    for number, who in enumerate((room.ada, room.ben)):
        room.take(who, id)
        with room.store.read() as connection:
            a = t.study_answer.c
            mine = (a.study_id == id) & (a.person_id == who.id)
            rows = connection.execute(select(t.study_answer).where(mine).order_by(a.place)).all()
        assert [(r.task, r.condition) for r in rows] == [(s.task, s.condition) for s in order(6, 2, 0, 0, number)]


def test_two_who_join_at_once_have_different_numbers(room: Room) -> None:
    id = room.opened(GUESS)
    errors: list[BaseException] = []

    def join(who: PersonRow) -> None:
        try:
            room.taking.next(who, id)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=join, args=(who,)) for who in (room.ada, room.ben, room.cyd, room.eve, room.ada)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    with room.store.read() as connection:
        numbers = connection.execute(select(t.study_participant.c.number).where(t.study_participant.c.study_id == id)).scalars().all()
    assert sorted(numbers) == [0, 1, 2, 3]


def test_answers_are_given_once_in_order_and_resume(room: Room) -> None:
    id = room.opened(GUESS)
    first = room.taking.next(room.ada, id)
    assert room.taking.next(room.ada, id) == first  # after a reload it is the same, in the same order
    with pytest.raises(Conflict, match="not the next one"):
        room.taking.answer(room.ada, id, 1, 0, 3, 10)
    with pytest.raises(NotFound, match="not come to this task"):
        room.taking.turn(room.ada, id, 1)
    with pytest.raises(Conflict, match="not shown"):
        room.taking.answer(room.ben, id, 0, 0, 3, 10)
    with pytest.raises(InvalidInput, match="no 2"):
        room.taking.answer(room.ada, id, 0, 2, 3, 10)
    with pytest.raises(InvalidInput, match="how sure"):
        room.taking.answer(room.ada, id, 0, 0, None, 10)
    given = room.taking.answer(room.ada, id, 0, 0, 3, 10)
    assert given == {"place": 0, "answered": 1, "of": 5}
    assert room.taking.answer(room.ada, id, 0, 0, 3, 99) == given  # a retry, whatever time it measured
    for other in ((1, 3), (0, 4)):
        with pytest.raises(Conflict, match="not changed"):
            room.taking.answer(room.ada, id, 0, *other, 10)
    assert room.answers(id) == 1
    assert room.taking.next(room.ada, id)["task"]["place"] == 1
    results = []

    def answer() -> None:
        results.append(room.taking.answer(room.ada, id, 1, 1, 2, 10))

    threads = [threading.Thread(target=answer) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [{"place": 1, "answered": 2, "of": 5}] * 4
    assert room.answers(id) == 2


def test_who_fails_a_check_of_attention_does_not_count(one: Room) -> None:
    id = one.opened(GUESS)
    one.take(one.ada, id)
    while (given := one.taking.next(one.ben, id))["task"] is not None:
        turn = one.taking.turn(one.ben, id, given["task"]["place"])
        good = turn.shown.index(turn.task.truth)
        if turn.task.attention:
            assert f"choose {given['task']['choices'][good]}." in given["task"]["question"]
        one.taking.answer(one.ben, id, given["task"]["place"], 1 - good if turn.task.attention else good, 1, None)
    told = one.outcomes.results(one.eve, id)
    assert told["participants"] == {"answered": 2, "finished": 2, "inattentive": 1, "counted": 1}
    assert [(c["answers"], c["accuracy"], c["low"]) for c in told["conditions"]] == [(2, 1.0, None)] * 2


def test_a_design_is_locked_once_open(one: Room) -> None:
    made = one.studies.create(one.eve, "Study", "", GUESS)
    id = made["id"]
    with pytest.raises(Conflict, match="not prepared"):
        one.studies.open(one.eve, id, "1")
    with pytest.raises(Conflict, match="not open yet"):
        one.taking.next(one.ada, id)
    assert one.studies.prepare(one.eve, id, "1")["preparation"]["step"] == "ready"
    other = one.studies.change(one.eve, id, "1", {"design": GUESS | {"tasks": 2}})
    assert other["preparation"] is None  # another design must be prepared anew
    with pytest.raises(StaleVersion):
        one.studies.prepare(one.eve, id, "1")
    one.studies.prepare(one.eve, id, "2")
    one.studies.change(one.eve, id, "2", {"name": "Better name"})
    opened = one.studies.open(one.eve, id, "3", token="o")
    assert one.studies.open(one.eve, id, "3", token="o")["revision"] == opened["revision"] == 4
    for change in ({"design": GUESS}, {"name": "x"}, {"instructions": "x"}):
        with pytest.raises(Conflict, match="locked"):
            one.studies.change(one.eve, id, "4", change)
    with pytest.raises(Conflict, match="locked"):
        one.studies.restore(one.eve, id, "4", 1)
    with pytest.raises(Conflict, match="locked"):
        one.studies.prepare(one.eve, id, "4")
    one.take(one.ada, id)
    one.studies.change(one.eve, id, "4", {}, deleted=True)
    with pytest.raises(NotFound):
        one.taking.next(one.ben, id)
    assert one.studies.restore(one.eve, id, "5", 4)["answers"] == 3
    assert [h["state"] for h in one.studies.history(one.eve, id)] == ["draft"] * 3 + ["open"] * 3


def test_preparation_waits_fails_says_why_and_begins_again(settings: Any, make_engine: Any) -> None:
    engine = make_engine(settings)
    room = Room(engine)
    made = room.studies.create(room.eve, "Study", "", FORWARD)
    engine.executor = "none"
    waiting = room.studies.prepare(room.eve, made["id"], "1")
    assert waiting["preparation"] == {"step": "measuring", "done": 0, "total": 1, "problem": None}
    assert room.studies.prepare(room.eve, made["id"], "1") == waiting
    with pytest.raises(Conflict, match="0 of 1 runs"):
        room.studies.open(room.eve, made["id"], "1")
    engine.cancel(engine.runs.page(state="queued", model=None, method=None, before=None, limit=1)[0].id)
    assert room.studies.advance() == 1
    failed = room.studies.get(room.eve, made["id"])["preparation"]
    assert (failed["step"], "cancelled" in failed["problem"]) == ("failed", True)
    assert room.studies.get(room.ada, made["id"])["preparation"] is None
    again = room.studies.prepare(room.eve, made["id"], "1")
    assert again["preparation"]["step"] == "measuring"
    engine._worker().finish(engine.runs.page(state="queued", model=None, method=None, before=None, limit=1)[0].id)
    assert room.studies.advance() == 1
    explaining = room.studies.get(room.eve, made["id"])["preparation"]
    assert (explaining["step"], explaining["total"]) == ("explaining", 6)
    for run in engine.runs.page(state="queued", model=None, method=None, before=None, limit=99):
        engine._worker().finish(run.id)
    threads = [threading.Thread(target=room.studies.advance) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert room.studies.advance() == 0
    assert room.studies.open(room.eve, made["id"], "1")["state"] == "open"
    many = room.studies.create(room.eve, "Study", "", GUESS | {"tasks": 60})
    engine.executor = "inline"
    told = room.studies.prepare(room.eve, many["id"], "1")["preparation"]
    assert (told["step"], "Ask for fewer tasks" in told["problem"]) == ("failed", True)


def test_what_tasks_show_is_pinned(one: Room) -> None:
    id = one.opened(FORWARD)
    with one.store.read() as connection:
        pinned = set(connection.execute(select(t.study_result.c.key)).scalars())
    shown = {key for task in one.truths(id).values() for keys in task.content["maps"].values() for key in keys}
    assert len(shown) == 6
    assert shown < pinned
    assert len(pinned) == 7
    with one.store.write() as connection:
        connection.execute(update(t.result).values(bytes=10, used=0.0))
        connection.execute(t.blob.insert().values(sha256="0" * 64, bytes=10_000, dtype="uint8", shape=[1], data=b"0"))
    evict(one.store, 0)
    one.engine.remove_source("model", "fake", drop=True)
    assert one.engine.results.stored(pinned) == pinned


def test_whose_studies_and_answers_they_are(one: Room) -> None:
    id = one.opened(GUESS)
    draft = one.studies.create(one.eve, "Draft", "", GUESS)
    elsewhere = replace(one.eve, workspace="other")
    assert [s["id"] for s in one.studies.page(one.ada, None, 10)["items"]] == [id]
    assert [s["id"] for s in one.studies.page(one.eve, None, 10)["items"]] == [draft["id"], id]
    assert one.studies.page(elsewhere, None, 10)["items"] == []
    for reading in (one.studies.get, one.studies.history, one.taking.next, one.taking.mine, one.outcomes.results):
        with pytest.raises(NotFound):
            reading(elsewhere, id)
    for reading in (one.studies.history, one.outcomes.results):
        with pytest.raises(Forbidden):
            reading(one.ada, id)
    assert one.studies.get(one.ada, id)["design"] is None  # its seed leads to the tasks
    assert one.studies.get(one.eve, id)["design"]["seed"] == 3
    one.take(one.ada, id)
    with one.store.write() as connection:  # an account that has ended
        connection.execute(update(t.person).where(t.person.c.id == one.ada.id).values(name="removed user", state="removed"))
    rows = orjson.loads(one.outcomes.export(one.eve, id, "answers", "json")[0])["answers"]
    assert {r["person"] for r in rows} == {"removed user"}
    one.studies.close(one.eve, id, "2")
    assert one.studies.get(one.ada, id)["design"]["seed"] == 3


def test_nothing_that_a_participant_can_read_depends_on_the_truth(one: Room) -> None:
    """The same study with every right answer moved to another choice: all that participants get is the same, byte for byte."""
    id = one.opened(GUESS | {"attention": 0})

    def read() -> bytes:
        with one.store.write() as connection:
            for table in (t.study_answer, t.study_shown, t.study_participant):
                connection.execute(table.delete())
        seen: list[Any] = []
        while (given := one.taking.next(one.ada, id))["task"] is not None:
            seen.append(given)
            seen.append(one.taking.answer(one.ada, id, given["task"]["place"], 0, 3, 5))
        mine = [{k: v for k, v in a.items() if k != "at"} for a in one.taking.mine(one.ada, id)]
        return orjson.dumps([seen, mine, one.studies.get(one.ada, id), one.studies.page(one.ada, None, 9)])

    before = read()
    events = [row.data for row in one.engine.events.after(0, 5000) if row.type == "study"]
    with one.store.write() as connection:
        connection.execute(update(t.study_task).values(truth=1 - t.study_task.c.truth))
    assert read() == before
    assert all(set(event) == {"id", "revision", "deleted", "state"} for event in events)
