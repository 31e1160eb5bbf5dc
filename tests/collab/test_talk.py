"""Threads, mentions, votes, notifications: who hears of what, and who does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from microtome.collab.annotations import Annotations
from microtome.collab.people import People, PersonRow
from microtome.collab.talk.comments import Comments, mentioned
from microtome.collab.talk.notifications import Notifications
from microtome.collab.talk.votes import Votes
from microtome.core.errors import Conflict, Forbidden, InvalidInput, NotFound, StaleVersion
from tests.collab.conftest import BOTH, Lab

UNIT: Any = {"subject": "unit", "subject_id": "fake/stage1/0"}


@pytest.fixture
def talk(lab: Lab) -> Comments:
    return Comments(lab.store, lab.events, team=False)


def news(lab: Lab, who: PersonRow) -> list[tuple[str, str]]:
    page = Notifications(lab.store, lab.events).page(who, True, None, 50)
    assert page["unread"] == len(page["items"])
    return [(n["kind"], n["actor"]["name"]) for n in page["items"]]


@BOTH
def test_a_thread(lab: Lab, talk: Comments) -> None:
    first = talk.create(lab.ada, **UNIT, body="Is this sky, @ben?", token="a")
    assert talk.create(lab.ada, **UNIT, body="Is this sky, @ben?", token="a") == first
    assert [p["name"] for p in first["mentions"]] == ["Ben"]
    assert news(lab, lab.ben) == [("mention", "Ada")]
    answer = talk.create(lab.ben, **UNIT, body="Yes", parent=first["id"])
    deeper = talk.create(lab.cyd, **UNIT, body="No! @Ben @Cyd", parent=answer["id"])
    assert deeper["parent"] == first["id"], "threads have one level"
    assert news(lab, lab.ada) == [("reply", "Cyd"), ("reply", "Ben")]
    assert news(lab, lab.ben) == [("mention", "Cyd"), ("mention", "Ada")], "mentioned, so not also told of the reply"
    assert news(lab, lab.cyd) == [], "one's own doing is no news"
    assert [c["body"] for c in talk.page(lab.eve, **UNIT, after=None, limit=10)["items"]] == ["Is this sky, @ben?", "Yes", "No! @Ben @Cyd"]
    page = talk.page(lab.eve, **UNIT, after=None, limit=2)
    assert [c["body"] for c in talk.page(lab.eve, **UNIT, after=int(page["next"]), limit=2)["items"]] == ["No! @Ben @Cyd"]


def test_comments_change_by_revisions(lab: Lab, talk: Comments) -> None:
    made = talk.create(lab.ada, **UNIT, body="sky @Ben")
    with pytest.raises(Forbidden):
        talk.change(lab.ben, made["id"], '"1"', body="x")
    with pytest.raises(Forbidden):
        talk.change(lab.eve, made["id"], '"1"', body="x")
    changed = talk.change(lab.ada, made["id"], '"1"', body="sky @Ben @Cyd", token="t")
    assert talk.change(lab.ada, made["id"], '"1"', body="sky @Ben @Cyd", token="t") == changed
    assert (len(news(lab, lab.ben)), len(news(lab, lab.cyd))) == (1, 1), "told once each"
    with pytest.raises(StaleVersion):
        talk.change(lab.ada, made["id"], '"1"', body="late")
    gone = talk.change(lab.eve, made["id"], '"2"', deleted=True)
    assert (gone["body"], gone["deleted"]) == ("", True)
    assert talk.page(lab.ben, **UNIT, after=None, limit=5)["items"][0]["body"] == ""
    with pytest.raises(NotFound):
        talk.history(lab.ben, made["id"])
    assert len(talk.history(lab.ada, made["id"])) == 3
    with pytest.raises(Conflict):
        talk.change(lab.ada, made["id"], '"3"', body="x")
    assert talk.restore(lab.ada, made["id"], '"3"', 1)["body"] == "sky @Ben"


def test_names_are_found_whole() -> None:
    people = [PersonRow("1", "Amber Fox"), PersonRow("2", "Amber"), PersonRow("3", "Ünal"), PersonRow("4", "amber")]
    assert mentioned("hello @amber fox, and @Ünal!", people) == {"1", "3"}
    assert mentioned("@Amber.", people) == {"2", "4"}
    assert mentioned("@Amberley mail@amber.org @ Amber", people) == set()
    assert mentioned("@" * 5000, people) == set()


def test_only_members_are_called_in_a_team(lab: Lab) -> None:
    from sqlalchemy import insert

    from microtome.store import tables as t

    with lab.store.write() as connection:
        for person in (lab.ada, lab.ben):
            connection.execute(insert(t.member).values(workspace_id="main", person_id=person.id, role="annotator", since="2026"))
    Comments(lab.store, lab.events, team=True).create(lab.ada, **UNIT, body="@Ben @Cyd")
    assert news(lab, lab.ben) == [("mention", "Ada")]
    assert news(lab, lab.cyd) == []


def test_what_is_hidden_is_not_talked_about(lab: Lab, talk: Comments) -> None:
    votes = Votes(lab.store, lab.events)
    id = lab.make()["id"]
    rating = lab.ratings.give(lab.ada, id, "stage1", 0, "sky")
    about: Any = {"subject": "rating", "subject_id": rating["id"]}
    made = talk.create(lab.ada, **about, body="because it is blue")
    for ask in (
        lambda: talk.page(lab.ben, **about, after=None, limit=5),
        lambda: talk.history(lab.ben, made["id"]),
        lambda: talk.create(lab.ben, **about, body="?"),
        lambda: votes.cast(lab.ben, "rating", rating["id"], 1),
        lambda: votes.counts(lab.ben, "comment", [made["id"]]),
    ):
        with pytest.raises(NotFound):
            ask()
    lab.ratings.give(lab.ben, id, "stage1", 0, "tree")
    assert talk.page(lab.ben, **about, after=None, limit=5)["items"][0]["body"] == "because it is blue"
    stranger = replace(lab.ada, workspace="elsewhere")
    assert talk.page(stranger, **UNIT, after=None, limit=5)["items"] == []
    with pytest.raises(NotFound):
        talk.change(stranger, made["id"], '"1"', body="x")


def test_news_of_what_is_hidden_goes_to_those_who_may_see_it(lab: Lab, talk: Comments) -> None:
    votes, notes = Votes(lab.store, lab.events), Annotations(lab.store, People(lab.store), lab.events)

    def heard(do: Any) -> list[str | None]:
        before = lab.events.newest()
        do()
        return sorted((row.person_id for row in lab.events.after(before, 100) if row.type in ("comment", "vote")), key=str)

    set_id = lab.make()["id"]
    about: Any = {"subject": "rating", "subject_id": lab.ratings.give(lab.ada, set_id, "stage1", 0, "sky")["id"]}
    assert heard(lambda: talk.create(lab.ada, **about, body="blue")) == [lab.ada.id]
    lab.ratings.give(lab.ben, set_id, "stage1", 0, "tree")
    lab.ratings.reveal(lab.eve, set_id, [("stage1", 0)])
    seers = sorted([lab.ada.id, lab.ben.id, lab.eve.id])
    made = talk.create(lab.ada, **about, body="why")
    assert heard(lambda: votes.cast(lab.ben, "rating", about["subject_id"], 1)) == seers
    assert heard(lambda: votes.cast(lab.ben, "comment", made["id"], 1)) == seers
    lab.sets.change(lab.eve, set_id, '"1"', {"closed": True})
    assert heard(lambda: votes.cast(lab.ben, "rating", about["subject_id"], -1)) == [None]
    note = notes.create(lab.ada, kind="note", model="fake", layer="stage1", unit=0, body="for me", visibility="private")
    assert heard(lambda: talk.create(lab.ada, subject="annotation", subject_id=note["id"], body="x")) == [lab.ada.id]
    assert heard(lambda: talk.create(lab.ada, **UNIT, body="x")) == [None]


@BOTH
def test_the_same_key_in_another_workspace_is_another_thing(lab: Lab, talk: Comments) -> None:
    notes, where = Annotations(lab.store, People(lab.store), lab.events), {"kind": "note", "model": "fake", "layer": "stage1", "unit": 0}
    away = replace(lab.ada, workspace="elsewhere")
    first, note = talk.create(lab.ada, **UNIT, body="here", token="k"), notes.create(lab.ada, **where, body="here", token="n")
    assert talk.create(away, **UNIT, body="there", token="k")["body"] == "there"
    assert notes.create(away, **where, body="there", token="n")["body"] == "there"
    assert talk.create(lab.ada, **UNIT, body="here", token="k") == first
    assert notes.create(lab.ada, **where, body="here", token="n") == note


@BOTH
def test_one_vote_each(lab: Lab, talk: Comments) -> None:
    people = People(lab.store)
    note = Annotations(lab.store, people, lab.events).create(lab.ada, kind="label", model="fake", layer="stage1", unit=0, body="sky")
    votes = Votes(lab.store, lab.events)
    for who, value in ((lab.ada, 1), (lab.ben, 1), (lab.ben, 1), (lab.cyd, 1), (lab.cyd, -1)):
        votes.cast(who, "annotation", note["id"], value)
    assert votes.counts(lab.cyd, "annotation", [note["id"]]) == [
        {"subject": "annotation", "subject_id": note["id"], "up": 2, "down": 1, "mine": -1}
    ]
    assert votes.cast(lab.cyd, "annotation", note["id"], 0)["down"] == 0
    assert len(lab.told("vote")) == 5, "the same vote again is no news"


@BOTH
def test_notifications_are_mine_and_can_be_read(lab: Lab, talk: Comments) -> None:
    notes = Notifications(lab.store, lab.events)
    for _ in range(3):
        talk.create(lab.ada, **UNIT, body="@Ben")
    lab.queue.assign(lab.eve, lab.make()["id"], lab.ben.id, None, True)
    page = notes.page(lab.ben, False, None, 3)
    assert [n["kind"] for n in page["items"]] == ["assigned", "mention", "mention"]
    assert len(notes.page(lab.ben, False, int(page["next"]), 3)["items"]) == 1
    assert notes.read(lab.cyd, [int(page["items"][0]["id"])])["unread"] == 0
    assert notes.read(lab.ben, [int(page["items"][0]["id"])])["unread"] == 3
    assert notes.read(lab.ben, None)["unread"] == 0
    assert all(n["read"] for n in notes.page(lab.ben, False, None, 10)["items"])
    rows = [row for row in lab.events.after(0, 1000) if row.type == "notification"]
    assert {row.person_id for row in rows} == {lab.ben.id, lab.cyd.id}, "each event names the one person who hears of it"


@pytest.mark.parametrize(
    ("subject", "id", "error"),
    [
        ("unit", "fake/stage1", InvalidInput),
        ("unit", "fake/stage1/6", NotFound),
        ("unit", "nope/stage1/0", NotFound),
        ("annotation", "nope", NotFound),
        ("rating", "nope", NotFound),
        ("result", "nope", NotFound),
    ],
)
def test_there_must_be_something_to_talk_about(lab: Lab, talk: Comments, subject: Any, id: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        talk.create(lab.ada, subject=subject, subject_id=id, body="?")
