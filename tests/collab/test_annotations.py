"""Two people at once: nothing is overwritten silently, nothing is lost."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from microtome.collab.annotations import Annotations
from microtome.collab.people import People
from microtome.core.errors import Conflict, NotFound, PreconditionRequired, StaleVersion

WHERE = {"kind": "label", "model": "fake", "layer": "stage1", "unit": 2}


@pytest.fixture
def desk(any_engine: Any) -> tuple[Annotations, Any, Any]:
    any_engine.add_source("add-model", "builtin:fake")
    people = People(any_engine.store)
    return Annotations(any_engine.store, people, any_engine.events), people.create("Ada"), people.create("Ben")


def test_every_change_is_a_revision(desk: Any) -> None:
    notes, ada, ben = desk
    made = notes.create(ada, **WHERE, body=" sky ")
    assert (made["body"], made["revision"], made["author"]["name"]) == ("sky", 1, "Ada")
    changed = notes.change(ben, made["id"], '"1"', body="blue sky")
    assert (changed["author"]["name"], changed["changed_by"]["name"]) == ("Ada", "Ben")
    gone = notes.change(ada, made["id"], '"2"', deleted=True)
    assert gone["deleted"]
    assert notes.page(ada, "fake", None, None, None, None, 10)["items"] == []
    with pytest.raises(Conflict):
        notes.change(ada, made["id"], '"3"', body="again")
    back = notes.restore(ben, made["id"], '"3"', 1)
    assert (back["body"], back["deleted"], back["revision"]) == ("sky", False, 4)
    told = notes.history(ada, made["id"])
    assert [(r["revision"], r["body"], r["deleted"], r["author"]["name"]) for r in told] == [
        (1, "sky", False, "Ada"), (2, "blue sky", False, "Ben"), (3, "blue sky", True, "Ada"), (4, "sky", False, "Ben"),
    ]  # fmt: skip


def test_the_slower_of_two_gets_the_present_state(desk: Any) -> None:
    notes, ada, ben = desk
    made = notes.create(ada, **WHERE, body="sky")
    with pytest.raises(PreconditionRequired):
        notes.change(ben, made["id"], None, body="x")
    notes.change(ada, made["id"], '"1"', body="clouds")
    with pytest.raises(StaleVersion) as caught:
        notes.change(ben, made["id"], '"1"', body="air")
    assert caught.value.current["body"] == "clouds"
    assert caught.value.current["revision"] == 2


def test_of_many_at_once_exactly_one_wins(desk: Any) -> None:
    notes, ada, ben = desk
    made = notes.create(ada, **WHERE, body="sky")
    outcome: list[str] = []

    def change(number: int) -> None:
        try:
            notes.change(ben, made["id"], '"1"', body=f"try {number}")
            outcome.append("written")
        except StaleVersion:
            outcome.append("stale")

    threads = [threading.Thread(target=change, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcome) == ["stale"] * 7 + ["written"]
    assert len(notes.history(ada, made["id"])) == 2


def test_the_same_token_writes_once(desk: Any) -> None:
    notes, ada, ben = desk
    first = notes.create(ada, **WHERE, body="sky", token="t1")
    assert notes.create(ada, **WHERE, body="sky", token="t1")["id"] == first["id"]
    assert notes.create(ben, **WHERE, body="sky", token="t1")["id"] != first["id"]
    assert len(notes.page(ada, "fake", None, None, None, None, 10)["items"]) == 2


def test_pages(desk: Any) -> None:
    notes, ada, _ = desk
    for number in range(5):
        notes.create(ada, **WHERE | {"kind": "note"}, body=f"note {number}")
    first = notes.page(ada, "fake", "stage1", 2, "note", None, 3)
    rest = notes.page(ada, "fake", "stage1", 2, "note", first["next"], 3)
    assert [a["body"] for a in first["items"] + rest["items"]] == [f"note {n}" for n in (4, 3, 2, 1, 0)]
    assert rest["next"] is None
    with pytest.raises(NotFound):
        notes.history(ada, "nothing")


def test_people(desk: Any, any_engine: Any) -> None:
    people = People(any_engine.store)
    ada = people.create()
    assert len(ada.name.split()) == 2
    assert len(ada.initials) == 2
    assert people.from_cookie(people.cookie(ada)) == ada
    assert people.from_cookie(people.cookie(ada)[:-2] + "xx") is None
    assert people.rename(ada, "  Ada   Lovelace ").name == "Ada Lovelace"
    secret = any_engine.store.data_dir / "secret"
    assert secret.stat().st_mode & 0o777 == 0o600


def test_a_retry_of_a_change_is_answered_not_done_again(desk: Any) -> None:
    """The server died between the write and its answer, so nobody remembers the answer; the revision does."""
    notes, ada, ben = desk
    made = notes.create(ada, **WHERE, body="sky")
    first = notes.change(ada, made["id"], '"1"', body="clouds", token="t2")
    assert notes.change(ada, made["id"], '"1"', body="clouds", token="t2") == first
    gone = notes.change(ada, made["id"], '"2"', deleted=True, token="t3")
    assert notes.change(ada, made["id"], '"2"', deleted=True, token="t3") == gone
    with pytest.raises(StaleVersion):
        notes.change(ben, made["id"], '"2"', body="x", token="t3")  # another person's key is another key
    back = notes.restore(ada, made["id"], '"3"', 1, token="t4")
    assert notes.restore(ada, made["id"], '"3"', 1, token="t4") == back
    assert len(notes.history(ada, made["id"])) == 4
