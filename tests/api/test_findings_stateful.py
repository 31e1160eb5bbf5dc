"""Findings as several people use them, against the model of test_stateful: besides what holds of all things, who may read it changes
with it, a revision stays with those who could read it then, its content keeps its hash, and what any revision rests on stays stored.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from hypothesis.stateful import Bundle, initialize, invariant, precondition, rule

from microtome.store.eviction import evict
from tests.api.team import Browser
from tests.api.test_findings import IOU, key_of
from tests.api.test_stateful import PEOPLE, ROLES, Thing, Things, Write, run_machine

VISIBILITIES = st.sampled_from(["private", "workspace", "link", "public"])
OPEN = ("link", "public")


@dataclass
class Claim(Thing):
    """What must be of one finding."""

    shown: list[str] = field(default_factory=list)  # visibility of each revision
    hashes: list[str] = field(default_factory=list)  # of the content of each

    def seen_by(self, who: str) -> bool:
        if self.deleted:
            return who == self.author or (ROLES[who] in ("editor", "admin") and not self.private)
        return super().seen_by(who)

    def reads(self, who: str, revision: int) -> bool:
        return self.shown[revision - 1] != "private" or who == self.author or who in self.named


class Claims(Things):
    """Findings with a number of a stored result."""

    path, permit, thing = "/findings", "finding", Claim
    nobody: ClassVar[Browser]
    writes = Bundle("writes")

    def new(self, text: str, private: bool) -> dict[str, Any]:
        evidence = {"group": "other", "test": "IoU", "key": key_of(self.desk.engine), "reference": IOU}  # computed again if evicted
        return {"title": text, "visibility": "private" if private else "workspace", "evidence": [evidence]}

    def changed(self, text: str) -> dict[str, Any]:
        return {"title": text}

    def text(self, shape: dict[str, Any]) -> str:
        return str(shape["title"])

    def listed(self, who: Browser) -> list[dict[str, Any]]:
        return list(who.ok("GET", "/findings", params={"limit": 500})["items"])

    @initialize()
    def meet_nobody(self) -> None:
        type(self).nobody = Browser(self.people["ann"].app)

    def note(self, thing: Thing, answer: Any) -> None:
        """A revision was acknowledged."""
        assert isinstance(thing, Claim)
        told = answer.json()
        assert told["visibility"] == ("private" if thing.private else told["visibility"])
        thing.shown.append(told["visibility"])
        thing.hashes.append(told["content_hash"])

    def send(self, who: str, method: str, path: str, **options: Any) -> Any:
        answer, write = super().send(who, method, path, **options)
        self.newest = answer
        return answer, write

    def judge(self, thing: Thing, who: str, answer: Any, given: int | None, allowed: int, then: tuple[str, bool]) -> None:
        before = thing.revision
        super().judge(thing, who, answer, given, allowed, then)
        if thing.revision > before:
            self.note(thing, answer)

    @precondition(lambda self: self.model)
    @rule(target=writes, data=st.data(), who=PEOPLE, visibility=VISIBILITIES)
    def show(self, data: Any, who: str, visibility: str) -> Write:
        """Somebody decides who may read it."""
        thing = self.one(data)
        assert isinstance(thing, Claim)
        headers, given = self.matching(data, thing)
        answer, write = self.send(who, "PATCH", f"{self.path}/{thing.id}", json={"visibility": visibility}, headers=headers)
        private, before = thing.private, thing.revision
        if private and visibility != "private" and who != thing.author and given == before and thing.changed_by(who) == 200:
            assert answer.status_code == 403, "only its author shows it to others"
            return write
        if answer.is_success:  # what the answer says is judged by the rules of before, what it holds by those of after
            assert thing.changed_by(who) == 200
            thing.private = visibility == "private"
        self.judge(thing, thing.author if answer.is_success else who, answer, given, 409 if thing.deleted else 200, (thing.text, False))
        if thing.revision > before:
            thing.past[-1] = (*thing.past[-1][:2], who)
            assert thing.shown[-1] == visibility
        else:
            thing.private = private
        return write

    @precondition(lambda self: any(not thing.deleted for thing in self.model.values()))
    @rule(data=st.data(), visibility=VISIBILITIES)
    def open_up(self, data: Any, visibility: str) -> None:
        """Its author does, having read it: most of what a past can give away comes of this."""
        thing = self.model[data.draw(st.sampled_from([x.id for x in self.model.values() if not x.deleted]), label="thing")]
        headers = {"If-Match": f'"{thing.revision}"'}
        body = {"visibility": visibility}
        answer, _ = self.send(thing.author, "PATCH", f"{self.path}/{thing.id}", json=body, headers=headers)
        thing.private = visibility == "private"
        self.judge(thing, thing.author, answer, thing.revision, 200, (thing.text, False))

    @precondition(lambda self: self.model)
    @rule(data=st.data(), who=PEOPLE)
    def check(self, data: Any, who: str) -> None:
        thing = self.one(data)
        answer, _ = self.send(who, "POST", f"{self.path}/{thing.id}/check")
        wanted = 403 if ROLES[who] == "viewer" else 404 if not thing.seen_by(who) else 409 if thing.deleted else 202
        assert answer.status_code == wanted, answer.text
        if answer.is_success:
            assert (answer.json()["outcome"]["state"], answer.json()["revision"]) == ("unchanged", thing.revision)

    @rule()
    def make_room(self) -> None:
        evict(self.desk.store, 0)

    @invariant()
    def acknowledged_ones_are_noted(self) -> None:
        for thing in self.model.values():
            assert isinstance(thing, Claim)
            if not thing.hashes:  # just made: the last answer is that of the creation
                self.note(thing, self.newest)
            assert len(thing.hashes) == len(thing.shown) == thing.revision

    @invariant()
    def who_is_not_signed_in_reads_what_is_open(self) -> None:
        for thing in list(self.model.values())[-3:]:
            assert isinstance(thing, Claim)
            answer = self.nobody.api("GET", f"{self.path}/{thing.id}/history")
            there = not thing.deleted and bool(thing.shown) and thing.shown[-1] in OPEN
            assert answer.status_code == (200 if there else 404)
            if there:
                assert [x["revision"] for x in answer.json()["items"]] == [n for n, v in enumerate(thing.shown, 1) if v in OPEN]
        listed = {x["id"] for x in self.nobody.ok("GET", "/findings", params={"limit": 500})["items"]} - self.before
        public = {x.id for x in self.model.values() if isinstance(x, Claim) and not x.deleted and x.shown and x.shown[-1] == "public"}
        assert listed & set(self.model) == public

    @invariant()
    def content_keeps_its_hash_and_what_it_rests_on(self) -> None:
        for thing in list(self.model.values())[-1:]:
            assert isinstance(thing, Claim)
            for revision, hash in enumerate(thing.hashes, 1):
                told = self.people[thing.author].ok("GET", f"{self.path}/{thing.id}", params={"revision": revision})
                assert (told["shown"], told["content_hash"], told["title"]) == (revision, hash, thing.past[revision - 1][0])
                keys = {made["key"] for made in told["provenance"]}
                assert keys
                assert self.desk.engine.results.stored(keys) == keys


def test_no_revision_is_lost_changed_or_shown_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    run_machine(Claims, monkeypatch, examples=15)
