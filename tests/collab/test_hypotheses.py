"""Hypothesis cards: outcomes from numbers, what is locked, when the number was known, what is kept."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from microtome.collab.hypotheses.cards import Hypotheses
from microtome.collab.hypotheses.files import export
from microtome.collab.hypotheses.outcome import Side, conclude, judge
from microtome.collab.people import People, PersonRow
from microtome.core.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionRequired, StaleVersion
from microtome.results.measured import Measured
from microtome.store import tables as t
from microtome.store.eviction import evict

ABOUT = {"model": "fake", "probe": "fake-probe"}


def units(index: int) -> dict[str, Any]:
    return ABOUT | {"units": {"layer": "stage1", "indices": [index]}}


def card(test: int = 5, control: int = 1, **more: Any) -> dict[str, Any]:
    """Switching off unit n of the fake costs n points, with an interval of half a point on both sides."""
    return {
        "statement": "Unit 5 carries the sea.", "prediction": "Without it accuracy falls by more than 3 points.",
        "test": {"method": "ablate-units", "subjects": units(test), "params": {}}, "control": {"subjects": units(control), "params": {}},
        "reference": {"item": "effect", "name": "all"}, "comparison": "below", "threshold": -3.0, "interval": False, "note": "",
    } | more  # fmt: skip


class Room:
    def __init__(self, engine: Any) -> None:
        engine.add_source("add-model", "builtin:fake")
        engine.add_source("add-probe", "builtin:fake-probe")
        self.engine, self.store, self.cards = engine, engine.store, Hypotheses(engine)
        people = People(engine.store)
        self.ada, self.ben = (replace(people.create(name), role="annotator") for name in ("Ada", "Ben"))
        self.eve = replace(people.create("Eve"), role="editor")

    def made(self, who: PersonRow | None = None, **more: Any) -> Any:
        return self.cards.create(who or self.ada, card(**more))

    def started(self, **more: Any) -> Any:
        made = self.made(**more)
        return self.cards.start(self.ada, made["id"], str(made["revision"]))

    def told(self, kind: str) -> list[Any]:
        return [row.data for row in self.engine.events.after(0, 5000) if row.type == kind]


@pytest.fixture
def room(any_engine: Any) -> Room:
    return Room(any_engine)


@pytest.fixture
def waiting_room(settings: Any, make_engine: Any) -> Room:
    """Runs stay queued until the test ends them."""
    engine = make_engine(settings)
    room = Room(engine)
    engine.executor = "none"
    return room


def number(value: float, low: float | None = None, high: float | None = None) -> Measured:
    return Measured(value, "x", low=low, high=high)


@pytest.mark.parametrize(
    ("value", "comparison", "interval", "verdict"),
    [
        (number(-4), "below", False, "passes"),
        (number(-3), "below", False, "fails"),
        (number(-2), "below", False, "fails"),
        (number(-2), "above", False, "passes"),
        (number(-3), "above", False, "fails"),
        (number(-4, -5, -2), "below", False, "passes"),
        (number(-4, -5, -2), "below", True, "straddles"),
        (number(-4, -5, -3), "below", True, "straddles"),
        (number(-4, -5, -3.1), "below", True, "passes"),
        (number(-4, -5, -3.1), "above", True, "fails"),
        (number(-1, -2.9, 0), "above", True, "passes"),
        (number(-1, -3, 0), "above", True, "straddles"),
        (number(-1, -2, 0), "below", True, "fails"),
    ],
)
def test_on_which_side_a_number_lies(value: Measured, comparison: Any, interval: bool, verdict: str) -> None:
    assert judge(value, comparison, -3, interval) == verdict
    mirrored = Measured(-value.value, "x", low=None if value.high is None else -value.high, high=None if value.low is None else -value.low)
    assert judge(mirrored, "above" if comparison == "below" else "below", 3, interval) == verdict


def test_an_interval_that_is_not_there_is_a_problem_not_a_verdict() -> None:
    with pytest.raises(InvalidInput, match="no 95 % interval"):
        judge(number(1), "above", 0, True)


@pytest.mark.parametrize(
    ("test", "control", "state"),
    [
        ("passes", "fails", "supported"), ("passes", "passes", "inconclusive"), ("passes", "straddles", "inconclusive"),
        ("fails", "fails", "refuted"), ("fails", "passes", "refuted"), ("fails", "straddles", "refuted"),
        ("straddles", "fails", "inconclusive"), ("straddles", "passes", "inconclusive"), (None, "fails", "waiting"),
        ("passes", None, "waiting"),
    ],
)  # fmt: skip
def test_what_follows(test: Any, control: Any, state: str) -> None:
    assert conclude(Side(verdict=test), Side(verdict=control))[0] == state
    assert conclude(Side(problem="x"), Side(verdict=control))[0] == "failed"


@pytest.mark.parametrize(
    ("more", "state"),
    [
        ({}, "supported"),
        ({"control": 4}, "inconclusive"),
        ({"threshold": -5.0}, "refuted"),
        ({"threshold": -4.6, "interval": True}, "inconclusive"),
        ({"threshold": -4.4, "interval": True}, "supported"),
        ({"threshold": -4.3, "interval": True, "control": 4}, "inconclusive"),
    ],
)
def test_the_outcome_fills_itself(room: Room, more: Any, state: str) -> None:
    done = room.started(**more)
    assert (done["state"], done["test_side"]["measured"]["value"]) == (state, -5.0)
    assert done["start"]["known_before"] == {"test": None, "control": None}
    assert [told["state"] for told in room.told("hypothesis")] == ["draft", state, state]
    assert [n["kind"] for n in room.told("notification")] == ["outcome"]
    assert room.cards.settle() == 0  # told once
    assert [c["id"] for c in room.cards.page(room.ben, "fake", state, None, 10)["items"]] == [done["id"]]
    assert room.cards.page(room.ben, None, "waiting", None, 10)["items"] == []


def test_another_number_of_the_same_run_can_be_the_control(room: Room) -> None:
    run = room.engine.submit("dissection", ABOUT)
    key = room.engine.runs.parts([run.id])[run.id][0][1]
    iou = room.engine.results.load(key)["units"].column("best_iou")  # type: ignore[attr-defined]
    best, worst = int(iou.argmax()), int(iou.argmin())
    reference = {"part": "stage1", "item": "units", "row": best, "column": "best_iou"}
    asked = {"subjects": ABOUT, "params": {}}
    more = {
        "test": asked | {"method": "dissection"}, "control": asked | {"reference": reference | {"row": worst}}, "reference": reference,
        "comparison": "above", "threshold": float((iou[best] + iou[worst]) / 2),
    }  # fmt: skip
    made = room.cards.create(room.ada, card() | more)
    done = room.cards.start(room.ada, made["id"], "1")
    assert (done["state"], done["control_side"]["measured"]["value"]) == ("supported", pytest.approx(iou[worst]))
    assert done["test_side"]["measured"]["chance"] is not None
    # the result was there before it was predicted, and the card says so
    known = done["start"]["known_before"]
    assert known["test"] == known["control"] == room.engine.results.head(key).created
    assert known["test"] < done["predicted"] < done["start"]["at"]


def test_known_before_counts_results_evicted_since_and_predictions_made_anew(room: Room) -> None:
    run = room.engine.submit("ablate-units", units(5))
    room.engine.results.drop([key for _, key, _ in room.engine.runs.parts([run.id])[run.id]])
    early = room.started()
    assert early["start"]["known_before"]["test"] is not None
    assert early["start"]["known_before"]["control"] is None
    # predicted first, then run outside of the card, then the threshold was moved: the number was known when that was predicted
    made = room.made(test=3, control=2, threshold=-2.5)
    room.engine.submit("ablate-units", units(3))
    again = room.cards.change(room.ada, made["id"], "1", {"threshold": -2.9})
    assert again["predicted"] > made["predicted"]
    noted = room.cards.change(room.ada, made["id"], "2", {"note": "later"})
    assert noted["predicted"] == again["predicted"]
    assert room.cards.start(room.ada, made["id"], "3")["start"]["known_before"]["test"] is not None
    other = room.made(test=4, control=0, threshold=-1.5)
    room.engine.submit("ablate-units", units(4))  # after the prediction: fine
    assert room.cards.start(room.ada, other["id"], "1")["start"]["known_before"]["test"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"statement": "x"}, {"prediction": "x"}, {"threshold": -1.0}, {"comparison": "above"}, {"interval": True},
        {"reference": {"item": "effect", "name": "other"}}, {"control": {"subjects": units(0), "params": {}}},
        {"test": {"method": "ablate-units", "subjects": units(0), "params": {}}},
    ],
)  # fmt: skip
def test_a_started_prediction_is_locked(room: Room, change: Any) -> None:
    done = room.started()
    with pytest.raises(Conflict, match="Make a new hypothesis"):
        room.cards.change(room.ada, done["id"], "2", change)
    with pytest.raises(Conflict, match="tested once"):
        room.cards.start(room.ada, done["id"], "2")
    noted = room.cards.change(room.ada, done["id"], "2", {"note": "So it is."} | {name: done[name] for name in change})
    assert (noted["revision"], noted["state"], noted["predicted"]) == (3, "supported", done["predicted"])


def test_revisions_restore_deletion_and_retries(room: Room) -> None:
    made = room.cards.create(room.ada, card(), token="t")
    assert room.cards.create(room.ada, card(), token="t")["id"] == made["id"]
    id = made["id"]
    room.cards.change(room.ada, id, "1", {"threshold": -1.0}, token="u")
    assert room.cards.change(room.ada, id, "1", {"threshold": -1.0}, token="u")["revision"] == 2
    with pytest.raises(StaleVersion):
        room.cards.change(room.ada, id, "1", {"threshold": -2.0})
    with pytest.raises(PreconditionRequired):
        room.cards.start(room.ada, id, None)
    restored = room.cards.restore(room.ada, id, "2", 1)
    assert (restored["threshold"], restored["revision"]) == (-3.0, 3)
    assert restored["predicted"] > made["predicted"]
    assert room.cards.change(room.ada, id, "3", {}, deleted=True)["deleted"]
    assert room.cards.page(room.ada, None, None, None, 10)["items"] == []
    with pytest.raises(NotFound, match="deleted"):
        room.cards.get(room.ada, id)
    with pytest.raises(Conflict, match="deleted"):
        room.cards.start(room.ada, id, "4")
    back = room.cards.restore(room.ada, id, "4", 3)
    started = room.cards.start(room.ada, id, str(back["revision"]), token="s")
    assert room.cards.start(room.ada, id, str(back["revision"]), token="s")["revision"] == started["revision"]
    assert room.cards.restore(room.ada, id, str(started["revision"]), 3)["state"] == "supported"  # the same prediction
    with pytest.raises(Conflict, match="locked"):
        room.cards.restore(room.ada, id, "7", 2)
    history = room.cards.history(room.ben, id)
    assert [h["threshold"] for h in history] == [-3, -1, -3, -3, -3, -3, -3]
    assert [h["started"] is not None for h in history] == [False] * 5 + [True] * 2


def test_whose_cards_they_are(room: Room) -> None:
    made = room.made()
    elsewhere = replace(room.eve, workspace="other")
    for who in (room.ben, elsewhere):
        with pytest.raises((Forbidden, NotFound)):
            room.cards.change(who, made["id"], "1", {"note": "x"})
        with pytest.raises((Forbidden, NotFound)):
            room.cards.start(who, made["id"], "1")
    for reading in (room.cards.get, room.cards.history):
        with pytest.raises(NotFound):
            reading(elsewhere, made["id"])
    assert room.cards.page(elsewhere, None, None, None, 10)["items"] == []
    assert room.cards.change(room.eve, made["id"], "1", {"note": "x"})["changed_by"]["name"] == "Eve"
    secret = room.cards.create(room.ada, card(), "private")
    for who in (room.ben, room.eve):
        with pytest.raises(NotFound):
            room.cards.get(who, secret["id"])
    assert secret["id"] not in export(room.cards, room.ben, "json")[0].decode()
    with room.store.write() as connection:  # an account that has ended
        connection.execute(update(t.person).where(t.person.c.id == room.ada.id).values(name="removed user", state="removed"))
    assert room.cards.get(room.ben, made["id"])["author"]["name"] == "removed user"


def test_what_does_not_fit_is_refused_before_anything_runs(room: Room) -> None:
    with pytest.raises(InvalidInput, match="control is the test itself"):
        room.made(control=5)
    with pytest.raises(InvalidInput) as refused:
        room.made(control=99)
    assert refused.value.field == "control.subjects.units.indices"
    with pytest.raises(InvalidInput) as refused:
        room.cards.create(room.ada, card() | {"test": {"method": "ablate-units", "subjects": units(5), "params": {"nope": 1}}})
    assert refused.value.field == "test.params.nope"
    with pytest.raises(NotFound):
        room.cards.create(room.ada, card() | {"test": {"method": "nope", "subjects": units(5), "params": {}}})
    assert room.engine.runs.page(state=None, model="fake", method="ablate-units", before=None, limit=9) == []


def test_a_reference_that_leads_nowhere_fails_and_says_what_there_is(room: Room) -> None:
    done = room.started(reference={"item": "effect", "name": "nope"})
    assert done["state"] == "failed"
    assert "It has: all" in done["why"]
    assert "It has: effect" in room.started(reference={"item": "nope", "name": "all"}, threshold=-2.5)["why"]
    lost = room.started(threshold=-2.0)
    room.engine.results.drop([lost["test_side"]["key"]])
    assert "not stored any more" in room.cards.get(room.ada, lost["id"])["why"]


def test_runs_that_wait_fail_or_are_cancelled(waiting_room: Room) -> None:
    room = waiting_room
    made = room.made()
    assert made["state"] == "draft"
    started = room.cards.start(room.ada, made["id"], "1")
    assert (started["state"], started["test_side"]["run_state"]) == ("waiting", "queued")
    assert room.cards.settle() == 0
    run = room.engine.cancel(started["test_side"]["run"])
    assert run.state == "cancelled"
    assert room.cards.settle() == 0  # the control has not ended
    room.engine.cancel(started["control_side"]["run"])
    threads = [threading.Thread(target=room.cards.settle) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [n["kind"] for n in room.told("notification")] == ["outcome"]
    failed = room.cards.get(room.ada, made["id"])
    assert (failed["state"], failed["test_side"]["run_state"]) == ("failed", "cancelled")
    assert "cancelled" in failed["why"]


def test_results_of_cards_are_never_evicted_nor_dropped_with_their_model(room: Room) -> None:
    done = room.started()
    other = room.engine.submit("ablate-units", units(0))
    keys = {done["test_side"]["key"], done["control_side"]["key"]}
    with room.store.read() as connection:
        pinned = set(connection.execute(select(t.hypothesis_result.c.key)).scalars())
    assert pinned == keys
    with room.store.write() as connection:
        connection.execute(update(t.result).values(bytes=10, used=0.0))
        connection.execute(t.blob.insert().values(sha256="0" * 64, bytes=10_000, dtype="uint8", shape=[1], data=b"0"))
    evict(room.store, 0)
    gone = room.engine.runs.parts([other.id])[other.id][0][1]
    assert room.engine.results.stored([*keys, gone]) == keys
    room.engine.remove_source("model", "fake", drop=True)
    assert room.engine.results.stored(keys) == keys
    assert room.cards.get(room.ada, done["id"])["state"] == "supported"


def test_numbers_that_a_form_can_offer(room: Room) -> None:
    assert room.cards.offered("ablate-units", "fake") == []
    room.engine.submit("ablate-units", units(5))
    assert [o.reference.name for o in room.cards.offered("ablate-units", None)] == ["all"]
    room.engine.submit("dissection", ABOUT)
    offered = room.cards.offered("dissection", "fake")
    assert {o.reference.item for o in offered} == {"units", "iou", "peaks"}
    assert {o.reference.part for o in offered} <= {"stage1", "stage2"}


def test_export_has_one_row_for_each_card(room: Room) -> None:
    room.started()
    room.made(test=3, statement="=HYPERLINK(1)")
    csv = export(room.cards, room.ada, "csv")[0].decode().splitlines()
    assert len(csv) == 3
    assert "'=HYPERLINK(1)" in csv[1]
    named = dict(zip(csv[0].split(","), csv[2].split(","), strict=False))
    assert (named["state"], named["id"]) == ("supported", room.cards.page(room.ada, None, "supported", None, 1)["items"][0]["id"])
    assert ",passes,-5.0,-5.5,-4.5," in csv[2]
    pages = [room.cards.page(room.ada, None, None, None, 1)]
    pages.append(room.cards.page(room.ada, None, None, int(pages[0]["next"]), 1))
    assert [len(p["items"]) for p in pages] == [1, 1]
    assert pages[1]["next"] is None
