"""The next unit to label: coverage, disagreement, assignments, and that two people are not given the same turn."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import insert, update

from microtome.collab.labels.queue import Queue
from microtome.core.errors import Conflict, NotFound
from microtome.store import tables as t
from tests.collab.conftest import BOTH, Lab


def place(answer: Any) -> Any:
    return None if answer["unit"] is None else answer["unit"]["place"]


def rate(lab: Lab, person: Any, id: str, place: int, answer: str) -> None:
    unit = lab.queue.units(lab.eve, id, "all", None, 10)["items"][place]
    lab.ratings.give(person, id, unit["layer"], unit["unit"], answer)


def test_a_turn_is_lent_until_it_is_used_or_runs_out(lab: Lab) -> None:
    id = lab.make(raters=1)["id"]
    first = lab.queue.next(lab.ada, id, "listed", None)
    assert place(first) == 0
    assert first["progress"] == {"units": 6, "wanted": 6, "answers": 0, "complete": 0, "settled": 0, "mine": 0}
    assert place(lab.queue.next(lab.ada, id, "listed", None)) == 0, "mine already"
    assert place(lab.queue.next(lab.ben, id, "listed", None)) == 1, "lent to Ada"
    assert place(lab.queue.next(lab.ada, id, "listed", ("stage1", 3))) == 2, "skipped, and Ben has 1"
    assert place(lab.queue.next(lab.cyd, id, "listed", None)) == 0, "given back"
    with lab.store.write() as connection:
        connection.execute(update(t.label_lease).values(until=0.0))
    assert place(lab.queue.next(lab.eve, id, "listed", None)) == 0
    rate(lab, lab.eve, id, 0, "sky")
    assert place(lab.queue.next(lab.cyd, id, "listed", None)) == 1


@BOTH
def test_nobody_at_once_gets_more_turns_than_raters_are_wanted(lab: Lab) -> None:
    id = lab.make(raters=1)["id"]
    got: list[int] = []
    threads = [
        threading.Thread(target=lambda who=who: got.append(place(lab.queue.next(who, id, "coverage", None))))
        for who in (lab.ada, lab.ben, lab.cyd, lab.eve)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [0, 1, 2, 3]


@BOTH
def test_everybody_comes_to_an_end_with_every_unit_rated_as_often_as_wanted(lab: Lab) -> None:
    id = lab.make(raters=2)["id"]
    active = [lab.ada, lab.ben, lab.cyd]
    for turn in range(100):
        who = active[turn % 3]
        given = lab.queue.next(who, id, ("coverage", "uncertainty", "listed")[turn % 3], None)
        if given["unit"] is not None:
            lab.ratings.give(who, id, given["unit"]["layer"], given["unit"]["unit"], ("sky", "tree")[turn % 2])
    assert [u["answers"] for u in lab.queue.units(lab.eve, id, "all", None, 10)["items"]] == [2] * 6
    done = lab.queue.progress(lab.ada, id)
    assert (done["answers"], done["complete"], done["wanted"]) == (12, 6, 12)
    assert sum(p["answered"] for p in done["people"]) == 12


@BOTH
def test_fewest_answers_first_or_most_disagreement_first(lab: Lab) -> None:
    id = lab.make(raters=4)["id"]
    rate(lab, lab.ada, id, 0, "sky")
    rate(lab, lab.ben, id, 0, "sky")
    rate(lab, lab.ada, id, 2, "sky")
    rate(lab, lab.ben, id, 2, "tree")
    rate(lab, lab.ada, id, 1, "sky")
    assert place(lab.queue.next(lab.cyd, id, "coverage", None)) == 3
    with lab.store.write() as connection:
        connection.execute(t.label_lease.delete())
    assert place(lab.queue.next(lab.cyd, id, "uncertainty", None)) == 3, "blind: the order may not tell what is disputed"
    lab.ratings.reveal(lab.cyd, id, None)
    with lab.store.write() as connection:
        connection.execute(t.label_lease.delete())
    assert place(lab.queue.next(lab.cyd, id, "uncertainty", None)) == 2
    rate(lab, lab.cyd, id, 2, "wall")
    assert place(lab.queue.next(lab.cyd, id, "uncertainty", None)) == 0
    shown = lab.queue.units(lab.cyd, id, "disputed", None, 10)["items"]
    assert [(u["place"], u["disagreement"]) for u in shown] == [(2, 1.0)]
    assert lab.queue.units(lab.eve, id, "disputed", None, 10)["items"] == [], "blind: Eve may not know that it is"


@BOTH
def test_assigned_units_go_to_those_they_are_assigned_to(lab: Lab) -> None:
    id = lab.make(raters=1)["id"]
    told = lab.queue.assign(lab.eve, id, lab.ben.id, [("stage1", 2), ("stage2", 0)], True)
    assert told["people"] == [{"person": lab.ben.shape(), "answered": 0, "assigned": 2, "assigned_done": 0}]
    lab.queue.assign(lab.eve, id, lab.cyd.id, [("stage2", 0)], True)
    assert place(lab.queue.next(lab.ben, id, "listed", None)) == 3
    rate(lab, lab.ben, id, 3, "sky")
    assert lab.queue.progress(lab.eve, id)["people"][0]["assigned_done"] == 1
    assert place(lab.queue.next(lab.ben, id, "listed", None)) == 4
    rate(lab, lab.ben, id, 4, "sky")
    assert place(lab.queue.next(lab.cyd, id, "listed", None)) == 4, "assigned to both, however many are wanted"
    assert [place(lab.queue.next(lab.ada, id, "listed", None))] == [0]
    with lab.store.write() as connection:
        connection.execute(t.label_lease.delete())
    for number in (0, 1, 2, 5):
        lab.queue.next(lab.ada, id, "listed", None)
        rate(lab, lab.ada, id, number, "sky")
    assert place(lab.queue.next(lab.ada, id, "listed", None)) is None
    lab.queue.assign(lab.eve, id, lab.cyd.id, None, False)
    assert all(p["person"]["id"] != lab.cyd.id for p in lab.queue.progress(lab.eve, id)["people"])
    with pytest.raises(NotFound):
        lab.queue.assign(lab.eve, id, "nobody", None, True)


@BOTH
def test_who_left_blocks_nothing(lab: Lab) -> None:
    with lab.store.write() as connection:
        for who in (lab.ada, lab.ben, lab.cyd, lab.eve):
            connection.execute(insert(t.member).values(workspace_id="main", person_id=who.id, role="annotator", since="2026"))
    id = lab.make(raters=1)["id"]
    queue = Queue(lab.store, lab.events, team=True)
    queue.assign(lab.eve, id, lab.ben.id, [("stage1", 3)], True)
    assert place(queue.next(lab.cyd, id, "listed", None)) == 1, "0 is assigned to Ben"
    assert place(queue.next(lab.ada, id, "listed", None)) == 2, "1 is lent to Cyd"
    with lab.store.write() as connection:
        connection.execute(t.label_lease.delete().where(t.label_lease.c.person_id == lab.ada.id))
        connection.execute(t.member.delete().where(t.member.c.person_id.in_([lab.ben.id, lab.cyd.id])))
    assert place(queue.next(lab.ada, id, "listed", None)) == 0
    rate(lab, lab.ada, id, 0, "sky")
    assert place(queue.next(lab.ada, id, "listed", None)) == 1
    assert queue.assign(lab.eve, id, lab.ben.id, None, False)["people"][0]["assigned"] == 0
    assert all(p["person"]["id"] != lab.ben.id for p in queue.progress(lab.eve, id)["people"])
    with pytest.raises(NotFound):
        queue.assign(lab.eve, id, lab.ben.id, None, True)


def test_settled_units_and_closed_sets_need_nobody(lab: Lab) -> None:
    id = lab.make(blind=False)["id"]
    lab.decisions.settle(lab.eve, id, "stage1", 3, "sky", "")
    assert place(lab.queue.next(lab.ada, id, "listed", None)) == 1
    assert [u["place"] for u in lab.queue.units(lab.ada, id, "open", None, 10)["items"]] == [1, 2, 3, 4, 5]
    pages = lab.queue.units(lab.ada, id, "all", None, 4)
    assert [u["place"] for u in lab.queue.units(lab.ada, id, "all", int(pages["next"]), 4)["items"]] == [4, 5]
    lab.sets.change(lab.eve, id, '"1"', {"closed": True})
    with pytest.raises(Conflict):
        lab.queue.next(lab.ada, id, "listed", None)
