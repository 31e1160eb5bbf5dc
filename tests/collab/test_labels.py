"""Label sets, ratings by revisions, and blindness: what is hidden stays hidden, whichever way it is asked for."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import orjson
import pytest

from microtome.collab.labels.schema import checked, plain, read_schema, value_of
from microtome.core.errors import Conflict, Forbidden, InvalidInput, NotFound, PreconditionRequired, StaleVersion
from tests.collab.conftest import BOTH, CHOICE, Lab

POLYGON = {"example": 3, "polygon": [[0.1, 0.1], [0.5, 0.1], [0.5, 0.6]]}


@pytest.mark.parametrize(
    ("schema", "answer", "canonical"),
    [
        ({"type": "text"}, "  Blue sky. ", "Blue sky."),
        (CHOICE, "tree", "tree"),
        (CHOICE | {"several": True}, ["wall", "sky"], ["sky", "wall"]),
        (CHOICE | {"several": True}, [], []),
        ({"type": "scale", "min": 1, "max": 5}, 3, 3.0),
        ({"type": "scale", "min": -1, "max": 1, "step": 0.1}, 0.3, 0.3),
        ({"type": "yes-no"}, False, False),
        ({"type": "region"}, POLYGON, POLYGON),
        ({"type": "region"}, {"example": 1, "rectangle": [0, 0, 0.5, 1]}, {"example": 1, "rectangle": [0, 0, 0.5, 1]}),
    ],
)
def test_answers_have_one_form(schema: Any, answer: Any, canonical: Any) -> None:
    read = read_schema(schema)
    found = checked(read, answer)
    assert found == canonical
    assert type(found) is type(canonical)
    assert checked(read, found) == found
    assert len(value_of(read, found)) <= 64


@pytest.mark.parametrize(
    ("schema", "answer", "words"),
    [
        ({"type": "text", "max_length": 5}, "too long", "1 to 5 characters"),
        ({"type": "text"}, " . ", "text"),
        ({"type": "text"}, "a\0", "text"),
        ({"type": "text"}, 3, "text"),
        (CHOICE, "Tree", "one of: sky, tree, wall"),
        (CHOICE, ["tree"], "one of"),
        (CHOICE | {"several": True}, "tree", "list"),
        (CHOICE | {"several": True}, ["tree", "tree"], "repeats"),
        ({"type": "scale", "min": 1, "max": 5}, 6, "from 1 to 5"),
        ({"type": "scale", "min": 1, "max": 5}, 1.5, "steps of 1"),
        ({"type": "scale", "min": 0, "max": 1}, True, "number"),
        ({"type": "yes-no"}, 1, "true or false"),
        ({"type": "region", "shapes": ["rectangle"]}, POLYGON, "rectangle"),
        ({"type": "region"}, {"example": 3, "polygon": [[0.1, 0.1], [0.5, 0.1], [0.5, 1.6]]}, "0 to 1"),
    ],
)
def test_what_is_no_answer_is_refused_with_what_is(schema: Any, answer: Any, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        checked(read_schema(schema), answer)


def test_texts_agree_whatever_their_spelling_of_the_same_words() -> None:
    text = read_schema({"type": "text"})
    assert value_of(text, "Blue  SKY.") == value_of(text, "blue sky") == "blue sky"
    assert plain("ｆｕｌｌ width ①") == "full width 1"
    long = [value_of(text, "x" * 199 + end) for end in "ab"]
    assert long[0] != long[1]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "choice", "options": ["a", "A "]},
        {"type": "choice", "options": ["a", "A"]},
        {"type": "choice", "options": ["a"]},
        {"type": "scale", "min": 1, "max": 1},
        {"type": "scale", "min": 0, "max": 1, "step": 0.3},
        {"type": "scale", "min": 0, "max": 1, "step": 1e-9},
        {"type": "scale", "min": 0, "max": 1, "step": 0},
        {"type": "scale", "min": 0, "max": float("inf")},
        {"type": "region", "shapes": []},
        {"type": "mood"},
    ],
)
def test_schemas_that_cannot_be_answered_are_refused(schema: Any) -> None:
    with pytest.raises(ValueError, match=r"validation error|is not"):
        read_schema(schema)


@BOTH
def test_a_label_set_and_its_versions(lab: Lab) -> None:
    made = lab.make(token="t")
    assert lab.make(token="t")["id"] == made["id"]
    assert (made["units"], made["version"], made["answers"], made["author"]["name"]) == (6, 1, 0, "Eve")
    with pytest.raises(PreconditionRequired):
        lab.sets.change(lab.eve, made["id"], None, {"raters": 3})
    same = lab.sets.change(lab.eve, made["id"], '"1"', {"raters": 3})
    assert (same["version"], same["revision"], same["raters"]) == (1, 2, 3)
    wider = CHOICE | {"options": ["sky", "tree", "wall", "sea"]}
    assert lab.sets.change(lab.eve, made["id"], '"2"', {"schema": wider})["version"] == 2
    with pytest.raises(InvalidInput, match="another set"):
        lab.sets.change(lab.eve, made["id"], '"3"', {"schema": {"type": "text"}})
    back = lab.sets.restore(lab.eve, made["id"], '"3"', 1)
    assert (back["version"], back["schema"]) == (1, CHOICE)
    assert lab.sets.change(lab.eve, made["id"], '"4"', {"question": "And now?"})["version"] == 3  # 2 is taken for ever
    assert [r["version"] for r in lab.sets.history(lab.eve, made["id"])] == [1, 1, 2, 1, 3]
    assert lab.sets.add(lab.eve, made["id"], [("s1", 3), ("s1", 5)])["units"] == 7
    for units, error in ((["stage1", 6], InvalidInput), (["stage9", 0], NotFound)):
        with pytest.raises(error):
            lab.sets.add(lab.eve, made["id"], [tuple(units)])
    lab.sets.change(lab.eve, made["id"], '"5"', {}, deleted=True)
    assert lab.sets.page(lab.eve, "fake", None, 10)["items"] == []
    with pytest.raises(NotFound):
        lab.sets.get(lab.eve, made["id"])
    lab.sets.restore(lab.eve, made["id"], '"6"', 5)
    assert len(lab.sets.page(lab.eve, "fake", None, 10)["items"]) == 1


def test_the_same_key_in_another_workspace_makes_another_set(lab: Lab) -> None:
    first = lab.make(token="k")
    assert lab.make(token="k")["id"] == first["id"]
    lab.eve = replace(lab.eve, workspace="elsewhere")
    second = lab.make(token="k", name="other")
    assert (second["id"] != first["id"], second["name"]) == (True, "other")
    assert lab.sets.get(lab.eve, second["id"])["name"] == "other"


def test_a_stored_selection_that_nobody_knows_is_left_out(lab: Lab) -> None:
    id = lab.make(selection={"nonsense": 1})["id"]
    good = lab.make(selection={"layers": ["stage1"]})["id"]
    shown = {s["id"]: s["selection"] for s in lab.sets.page(lab.eve, None, None, 9)["items"]}
    assert (shown[id], shown[good]["layers"]) == (None, ["stage1"])


def test_other_workspaces_know_nothing(lab: Lab) -> None:
    made = lab.make(blind=False)
    rating = lab.ratings.give(lab.ada, made["id"], "stage1", 0, "sky")
    stranger = replace(lab.eve, workspace="elsewhere")
    for ask in (
        lambda: lab.sets.get(stranger, made["id"]),
        lambda: lab.sets.history(stranger, made["id"]),
        lambda: lab.ratings.give(stranger, made["id"], "stage1", 0, "sky"),
        lambda: lab.ratings.history(stranger, rating["id"]),
        lambda: lab.ratings.change(stranger, rating["id"], '"1"', deleted=True),
        lambda: lab.queue.next(stranger, made["id"], "coverage", None),
        lambda: lab.ratings.page(stranger, made["id"], None, None, None, None, 10),
    ):
        with pytest.raises(NotFound):
            ask()
    assert lab.sets.page(stranger, None, None, 10)["items"] == []


@BOTH
def test_a_rating_changes_by_revisions(lab: Lab) -> None:
    made = lab.make()
    first = lab.ratings.give(lab.ada, made["id"], "stage1", 0, "sky", token="a")
    assert lab.ratings.give(lab.ada, made["id"], "stage1", 0, "sky", token="a") == first
    with pytest.raises(Conflict, match="PATCH"):
        lab.ratings.give(lab.ada, made["id"], "stage1", 0, "tree")
    with pytest.raises(PreconditionRequired):
        lab.ratings.change(lab.ada, first["id"], None, answer="tree")
    second = lab.ratings.change(lab.ada, first["id"], '"1"', answer="tree", token="b")
    assert lab.ratings.change(lab.ada, first["id"], '"1"', answer="tree", token="b") == second
    with pytest.raises(StaleVersion) as caught:
        lab.ratings.change(lab.ada, first["id"], '"1"', answer="wall")
    assert caught.value.current["answer"] == "tree"
    with pytest.raises(Forbidden):
        lab.ratings.change(lab.ben, first["id"], '"2"', answer="wall")
    undone = lab.ratings.restore(lab.ada, first["id"], '"2"', None)
    assert (undone["answer"], undone["revision"]) == ("sky", 3)
    gone = lab.ratings.change(lab.eve, first["id"], '"3"', deleted=True)  # an editor may
    assert gone["deleted"]
    with pytest.raises(Conflict, match="deleted"):
        lab.ratings.change(lab.ada, first["id"], '"4"', answer="tree")
    again = lab.ratings.give(lab.ada, made["id"], "stage1", 0, "wall")
    assert (again["id"], again["revision"], again["deleted"]) == (first["id"], 5, False)
    assert lab.ratings.restore(lab.ada, first["id"], '"5"', 2)["answer"] == "tree"
    told = [(r["revision"], r["answer"], r["deleted"], r["author"]["name"]) for r in lab.ratings.history(lab.ada, first["id"])]
    assert told == [
        (1, "sky", False, "Ada"), (2, "tree", False, "Ada"), (3, "sky", False, "Ada"), (4, "sky", True, "Eve"),
        (5, "wall", False, "Ada"), (6, "tree", False, "Ada"),
    ]  # fmt: skip
    new = lab.ratings.give(lab.ben, made["id"], "stage1", 1, "sky")
    assert lab.ratings.restore(lab.ben, new["id"], '"1"', None)["deleted"]  # undo of a first answer takes it back


def test_answers_name_their_version_and_a_closed_set_takes_none(lab: Lab) -> None:
    made = lab.make()
    assert lab.ratings.give(lab.ada, made["id"], "stage1", 0, "sky")["version"] == 1
    lab.sets.change(lab.eve, made["id"], '"1"', {"schema": CHOICE | {"options": ["sky", "sea"]}})
    assert lab.ratings.give(lab.ada, made["id"], "stage1", 1, "sea")["version"] == 2
    with pytest.raises(InvalidInput, match="sky, sea"):
        lab.ratings.give(lab.ada, made["id"], "stage1", 2, "tree")
    with pytest.raises(NotFound, match="not in this label set"):
        lab.ratings.give(lab.ada, made["id"], "stage1", 4, "sea")
    lab.sets.change(lab.eve, made["id"], '"2"', {"closed": True})
    with pytest.raises(Conflict, match="closed"):
        lab.ratings.give(lab.ada, made["id"], "stage1", 2, "sea")


@BOTH
def test_blind_until_ones_own_answer_is_given(lab: Lab) -> None:
    made = lab.make(schema={"type": "text"})
    id, secret = made["id"], "zebracrossing"
    theirs = lab.ratings.give(lab.ada, id, "stage1", 0, secret)
    machine = lab.ratings.give(lab.eve, id, "stage1", 0, f"{secret} too", {"name": "milan", "version": "1"})
    assert machine["hidden"], "an editor who uploads a machine's answers sees them from files, not from here"
    lab.ratings.reveal(lab.eve, id, [("stage1", 0)])
    lab.decisions.settle(lab.eve, id, "stage1", 0, f"{secret}!", "both say so")

    def everything_ben_can_read() -> str:
        read = [
            lab.ratings.page(lab.ben, id, None, None, None, None, 100),
            lab.ratings.page(lab.ben, id, "stage1", 0, "machines", None, 100),
            *(lab.queue.units(lab.ben, id, show, None, 100) for show in ("all", "mine-open", "disputed", "settled")),
            lab.queue.next(lab.ben, id, "uncertainty", None), lab.queue.progress(lab.ben, id), lab.decisions.page(lab.ben, id, None, 100),
            lab.sets.get(lab.ben, id), [row.data for row in lab.events.after(0, 1000)],
        ]  # fmt: skip
        return orjson.dumps(read).decode()

    assert secret not in everything_ben_can_read()
    with pytest.raises(Forbidden, match="blind"):
        lab.ratings.history(lab.ben, theirs["id"])
    lab.ratings.give(lab.ben, id, "stage1", 1, "something else")
    assert secret not in everything_ben_can_read(), "another unit's answer opens nothing"
    mine = lab.ratings.give(lab.ben, id, "stage1", 0, "stripes")
    assert everything_ben_can_read().count(secret) >= 3
    assert not mine["informed"]
    assert lab.ratings.history(lab.ben, theirs["id"])[0]["answer"] == secret
    changed = lab.ratings.change(lab.ben, mine["id"], '"1"', answer=secret)
    assert changed["informed"], "now Ben had seen what Ada said"
    taken = lab.ratings.change(lab.ben, mine["id"], '"2"', deleted=True)
    assert secret not in orjson.dumps(lab.ratings.page(lab.ben, id, None, None, None, None, 100)).decode()
    assert lab.ratings.restore(lab.ben, mine["id"], f'"{taken["revision"]}"', 1)["informed"]
    lab.sets.change(lab.eve, id, '"1"', {"closed": True})
    assert lab.ratings.history(lab.cyd, theirs["id"])[0]["answer"] == secret
    lab.sets.change(lab.eve, id, '"2"', {"closed": False})
    assert lab.ratings.give(lab.cyd, id, "stage1", 0, "x")["informed"], "everybody could look while it was closed"


def test_a_set_that_is_not_blind_shows_everything_and_says_who_was_informed(lab: Lab) -> None:
    id = lab.make(blind=False)["id"]
    assert not lab.ratings.give(lab.ada, id, "stage1", 0, "sky")["informed"]
    assert lab.ratings.page(lab.cyd, id, None, None, lab.ada.id, None, 10)["items"][0]["answer"] == "sky"
    assert lab.ratings.give(lab.ben, id, "stage1", 0, "sky")["informed"]


def test_machines_are_raters_too_and_only_editors_add_them(lab: Lab) -> None:
    id = lab.make(blind=False)["id"]
    machine = {"name": "milan", "version": "1.0"}
    with pytest.raises(Forbidden):
        lab.ratings.give(lab.ada, id, "stage1", 0, "sky", machine)
    given = lab.ratings.give(lab.eve, id, "stage1", 0, "sky", machine)
    assert given["machine"] == machine
    assert lab.ratings.give(lab.eve, id, "stage1", 0, "tree", machine | {"version": "2.0"})["id"] != given["id"]
    assert lab.ratings.give(lab.eve, id, "stage1", 0, "wall")["machine"] is None
    with pytest.raises(Conflict):
        lab.ratings.give(lab.eve, id, "stage1", 0, "tree", machine)
    row = lab.queue.units(lab.ada, id, "all", None, 10)["items"][1]
    assert (row["answers"], row["machines"], row["disagreement"]) == (1, 2, None)


@BOTH
def test_of_one_person_in_many_windows_one_answer_lives(lab: Lab) -> None:
    id = lab.make()["id"]
    outcome: list[str] = []

    def rate(number: int) -> None:
        try:
            lab.ratings.give(lab.ada, id, "stage1", 0, "sky", token=f"w{number}")
            outcome.append("written")
        except Conflict:
            outcome.append("refused")

    threads = [threading.Thread(target=rate, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome) == ["refused"] * 5 + ["written"]


@BOTH
def test_many_answers_in_one_go_and_one_undo(lab: Lab) -> None:
    id = lab.make()["id"]
    before = lab.ratings.give(lab.ada, id, "stage1", 0, "wall")
    items = [{"layer": "stage1", "unit": u, "answer": "sky"} for u in (2, 0, 1)]
    with pytest.raises(PreconditionRequired) as missing:
        lab.ratings.bulk(lab.ada, id, items, None, None)
    assert missing.value.field == "items.1.revision"
    items[1]["revision"] = 1
    items[2]["answer"] = "cloud"
    with pytest.raises(InvalidInput, match=r"items\[2\] \(stage1/1\)"):
        lab.ratings.bulk(lab.ada, id, items, None, None)
    assert lab.sets.get(lab.ada, id)["mine"] == 1, "all or none"
    items[2]["answer"] = "tree"
    batch = lab.ratings.bulk(lab.ada, id, items, None, "k")
    assert lab.ratings.bulk(lab.ada, id, items, None, "k") == batch
    assert [(r["unit"], r["answer"], r["revision"]) for r in batch["items"]] == [(0, "sky", 2), (1, "tree", 1), (2, "sky", 1)]
    with pytest.raises(NotFound):
        lab.ratings.undo_batch(lab.ben, batch["id"])
    undone = lab.ratings.undo_batch(lab.ada, batch["id"])
    assert undone["undone"]
    assert lab.ratings.undo_batch(lab.ada, batch["id"]) == undone
    assert [(r["answer"], r["deleted"]) for r in lab.ratings.history(lab.ada, before["id"])][-1] == ("wall", False)
    assert lab.sets.get(lab.ada, id)["mine"] == 1
    items[1]["revision"] = 3
    second = lab.ratings.bulk(lab.ada, id, items, None, None)
    lab.sets.change(lab.eve, id, '"1"', {"closed": True})
    with pytest.raises(Conflict, match="closed"):
        lab.ratings.undo_batch(lab.ada, second["id"])
    lab.sets.change(lab.eve, id, '"2"', {"closed": False})
    lab.ratings.change(lab.ada, before["id"], '"4"', answer="tree")
    with pytest.raises(Conflict, match="1 of 3"):
        lab.ratings.undo_batch(lab.ada, second["id"])
    assert lab.sets.get(lab.ada, id)["mine"] == 3
    with pytest.raises(InvalidInput, match="twice"):
        lab.ratings.bulk(lab.ada, id, [items[0], items[0]], None, None)


@BOTH
def test_settling_a_unit(lab: Lab) -> None:
    id = lab.make()["id"]
    lab.ratings.give(lab.ada, id, "stage1", 0, "sky")
    with pytest.raises(Forbidden, match="reveal"):
        lab.decisions.settle(lab.eve, id, "stage1", 0, "sky", "clear")
    lab.ratings.reveal(lab.eve, id, None)
    made = lab.decisions.settle(lab.eve, id, "stage1", 0, "sky", "clear", token="s")
    assert lab.decisions.settle(lab.eve, id, "stage1", 0, "sky", "clear", token="s") == made
    with pytest.raises(Conflict):
        lab.decisions.settle(lab.eve, id, "stage1", 0, "tree", "no")
    with pytest.raises(InvalidInput):
        lab.decisions.change(lab.eve, made["id"], '"1"', answer="cloud")
    changed = lab.decisions.change(lab.eve, made["id"], '"1"', answer="tree", reason="looked again")
    assert (changed["answer"], changed["author"]["name"], changed["revision"]) == ("tree", "Eve", 2)
    assert lab.queue.units(lab.eve, id, "settled", None, 10)["items"][0]["final"] == "tree"
    assert lab.queue.units(lab.ben, id, "settled", None, 10)["items"][0]["final"] is None
    with pytest.raises(NotFound):
        lab.decisions.history(lab.ben, made["id"])
    assert lab.queue.progress(lab.ben, id)["complete"] == 1
    lab.decisions.change(lab.eve, made["id"], '"2"', deleted=True)
    assert lab.queue.progress(lab.ben, id)["settled"] == 0
    assert lab.decisions.settle(lab.eve, id, "stage1", 0, "wall", "third time")["revision"] == 4
    assert [r["reason"] for r in lab.decisions.history(lab.eve, made["id"])] == ["clear", "looked again", "looked again", "third time"]
