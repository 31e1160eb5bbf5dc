"""Annotations as several people use them, against a model of what must be: whatever order things are done in, nothing is lost,
nothing is overwritten unseen, nobody sees or changes what is not theirs, and a retry writes once.

To add another kind of thing: subclass :class:`Things` as :class:`Notes` does, and hand it to :func:`run_machine`. A kind
says how it is made, changed and listed; the rules, the model and the invariants are shared.
"""

from __future__ import annotations

import json
import tempfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import hypothesis.strategies as st
import pytest
from argon2 import PasswordHasher
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from microtome.api.app import create_app
from microtome.collab.accounts import passwords
from microtome.core.settings import Settings
from microtome.engine import Engine
from microtome.engine.manifest import ManifestReader
from tests.api.team import Browser, signed_in
from tests.fakes import MANIFEST, FakeReader, FakeWorkshop

ROLES = {"vic": "viewer", "ada": "annotator", "ben": "annotator", "eve": "editor", "ann": "admin"}
PEOPLE = st.sampled_from(sorted(ROLES))
WORDS = st.sampled_from(["tree", "water", "a dog's leg", "<b>sky</b>", "=1+1", "Ω"])


@dataclass
class Thing:
    """What must be of one thing."""

    id: str
    author: str
    private: bool
    past: list[tuple[str, bool, str]]  # (text, deleted, who) of each revision
    named: set[str] = field(default_factory=set)

    @property
    def revision(self) -> int:
        return len(self.past)

    @property
    def text(self) -> str:
        return self.past[-1][0]

    @property
    def deleted(self) -> bool:
        return self.past[-1][1]

    def seen_by(self, who: str) -> bool:
        return not self.private or who == self.author or who in self.named

    def reads(self, who: str, revision: int) -> bool:
        """Whether this person, who sees it, sees this revision of it too."""
        return True

    def changed_by(self, who: str) -> int:
        """The status that a change of this person gets before anything else is looked at; 200 if it may be."""
        if ROLES[who] == "viewer":
            return 403
        if not self.seen_by(who):
            return 404
        return 200 if who == self.author or ROLES[who] in ("editor", "admin") else 403


@dataclass
class Write:
    """A request that was answered, to be sent again."""

    who: str
    method: str
    path: str
    options: dict[str, Any]
    answer: Any


class Things(RuleBasedStateMachine):
    """See the module's docstring. One application for all runs of a machine; each run begins with things of its own."""

    path: ClassVar[str]
    thing: ClassVar[type[Thing]] = Thing
    permit: ClassVar[str | None] = None  # how PUT /permits calls it, if it can be shared with named people
    desk: ClassVar[Any] = None
    people: ClassVar[dict[str, Browser]] = {}
    ids: ClassVar[dict[str, str]] = {}

    things = Bundle("things")
    writes = Bundle("writes")

    # what a kind of thing says of itself

    def new(self, text: str, private: bool) -> dict[str, Any]:
        """The body that makes one."""
        raise NotImplementedError

    def changed(self, text: str) -> dict[str, Any]:
        """The body that gives it another text."""
        raise NotImplementedError

    def text(self, shape: dict[str, Any]) -> str:
        raise NotImplementedError

    def listed(self, who: Browser) -> list[dict[str, Any]]:
        """All that this person sees."""
        raise NotImplementedError

    # the rules

    @initialize()
    def begin(self) -> None:
        self.model: dict[str, Thing] = {}
        self.start = self.desk.engine.events.newest()
        self.before = {x["id"] for who in self.people.values() for x in self.listed(who)}

    def send(self, who: str, method: str, path: str, **options: Any) -> Any:
        options["headers"] = {"Idempotency-Key": uuid.uuid4().hex} | options.get("headers", {})
        answer = self.people[who].api(method, path, **options)
        assert answer.status_code < 500, answer.text
        return answer, Write(who, method, path, options, answer)

    @rule(target=writes, who=PEOPLE, text=WORDS, private=st.booleans())
    def create(self, who: str, text: str, private: bool) -> Write:
        answer, write = self.send(who, "POST", self.path, json=self.new(text, private))
        assert answer.status_code == (403 if ROLES[who] == "viewer" else 201)
        if answer.is_success:
            made = answer.json()
            assert made["id"] not in self.model
            self.model[made["id"]] = self.thing(made["id"], who, private, [(text, False, who)])
            assert (made["revision"], self.text(made), made["deleted"]) == (1, text, False)
        return write

    def one(self, data: Any) -> Thing:
        return self.model[data.draw(st.sampled_from(list(self.model)), label="thing")]

    def judge(self, thing: Thing, who: str, answer: Any, given: int | None, allowed: int, then: tuple[str, bool]) -> None:
        """An answer to a change, and what the thing is afterwards."""
        if thing.changed_by(who) != 200:
            assert answer.status_code == thing.changed_by(who), answer.text
        elif given is None:
            assert answer.status_code == 428
        elif given != thing.revision:
            assert answer.status_code == 412
            now = answer.json()["current"]
            assert (now["revision"], self.text(now), now["deleted"]) == (thing.revision, thing.text, thing.deleted)
        else:
            assert answer.status_code == allowed, answer.text
            if allowed == 200:
                thing.past.append((*then, who))
                now = answer.json()
                assert (now["revision"], self.text(now), now["deleted"]) == (thing.revision, *then)
                assert answer.headers["etag"] == f'"{thing.revision}"'

    def matching(self, data: Any, thing: Thing) -> tuple[dict[str, str], int | None]:
        given = data.draw(st.sampled_from([thing.revision, thing.revision, thing.revision, thing.revision - 1, thing.revision + 1, None]))
        return ({} if given is None else {"If-Match": f'"{given}"'}), given

    @precondition(lambda self: self.model)
    @rule(target=writes, data=st.data(), who=PEOPLE, text=WORDS)
    def change(self, data: Any, who: str, text: str) -> Write:
        thing = self.one(data)
        headers, given = self.matching(data, thing)
        answer, write = self.send(who, "PATCH", f"{self.path}/{thing.id}", json=self.changed(text), headers=headers)
        self.judge(thing, who, answer, given, 409 if thing.deleted else 200, (text, False))
        return write

    @precondition(lambda self: self.model)
    @rule(target=writes, data=st.data(), who=PEOPLE)
    def delete(self, data: Any, who: str) -> Write:
        thing = self.one(data)
        headers, given = self.matching(data, thing)
        answer, write = self.send(who, "DELETE", f"{self.path}/{thing.id}", headers=headers)
        self.judge(thing, who, answer, given, 200, (thing.text, True))
        return write

    @precondition(lambda self: self.model)
    @rule(target=writes, data=st.data(), who=PEOPLE)
    def restore(self, data: Any, who: str) -> Write:
        thing = self.one(data)
        headers, given = self.matching(data, thing)
        back = data.draw(st.integers(1, thing.revision + 1), label="back to")
        answer, write = self.send(who, "POST", f"{self.path}/{thing.id}/restore", json={"revision": back}, headers=headers)
        there = back <= thing.revision and thing.reads(who, back)
        self.judge(thing, who, answer, given, 200 if there else 404, (thing.past[back - 1][0] if there else "", False))
        return write

    @rule(write=consumes(writes))
    def again(self, write: Write) -> None:
        """The client heard nothing and sends the same once more: the same answer, and nothing is written."""
        if write.answer.status_code == 404:
            return  # it may be shown to them by now
        before = self.desk.engine.events.newest()
        answer = self.people[write.who].api(write.method, write.path, **write.options)
        if write.answer.is_success or write.answer.status_code in (409, 412, 428):
            assert (answer.status_code, answer.json()) == (write.answer.status_code, write.answer.json())
        assert self.desk.engine.events.newest() == before

    @precondition(lambda self: self.permit and any(thing.private and not thing.deleted for thing in self.model.values()))
    @rule(data=st.data(), who=PEOPLE, named=st.sets(PEOPLE, max_size=2))
    def share(self, data: Any, who: str, named: set[str]) -> None:
        thing = self.model[data.draw(st.sampled_from([x.id for x in self.model.values() if x.private and not x.deleted]))]
        body = {"subject": self.permit, "subject_id": thing.id, "people": [self.ids[name] for name in sorted(named)]}
        answer, _ = self.send(who, "PUT", "/permits", json=body)
        assert answer.status_code == thing.changed_by(who)
        if answer.is_success:
            thing.named = named - {thing.author}

    # what must hold after every step

    @invariant()
    def everybody_sees_what_is_theirs_to_see(self) -> None:
        for who, browser in self.people.items():
            shown = {x["id"]: x for x in self.listed(browser) if x["id"] not in self.before}
            assert set(shown) == {thing.id for thing in self.model.values() if thing.seen_by(who) and not thing.deleted}
            for id, shape in shown.items():
                assert (shape["revision"], self.text(shape)) == (self.model[id].revision, self.model[id].text)
                assert shape["author"]["id"] == self.ids[self.model[id].author]

    @invariant()
    def nothing_of_the_past_is_lost(self) -> None:
        for thing in list(self.model.values())[-3:]:
            for who, browser in self.people.items():
                answer = browser.api("GET", f"{self.path}/{thing.id}/history")
                assert answer.status_code == (200 if thing.seen_by(who) else 404)
                if answer.is_success:
                    kept = [(self.text(x), x["deleted"], x["author"]["id"]) for x in answer.json()["items"]]
                    past = [step for revision, step in enumerate(thing.past, 1) if thing.reads(who, revision)]
                    assert kept == [(text, deleted, self.ids[name]) for text, deleted, name in past]


class Notes(Things):
    """Annotations."""

    path, permit = "/annotations", "annotation"

    def new(self, text: str, private: bool) -> dict[str, Any]:
        visibility = "private" if private else "workspace"
        return {"kind": "note", "model": "fake", "layer": "stage1", "unit": 0, "body": text, "visibility": visibility}

    def changed(self, text: str) -> dict[str, Any]:
        return {"body": text}

    def text(self, shape: dict[str, Any]) -> str:
        return str(shape["body"])

    def listed(self, who: Browser) -> list[dict[str, Any]]:
        return list(who.ok("GET", "/annotations", params={"limit": 500})["items"])

    @invariant()
    def every_revision_was_told_once_to_each_who_sees_it(self) -> None:
        rows = [row for row in self.desk.engine.events.after(self.start, 5000) if row.type == "annotation"]
        told: dict[tuple[str, int], list[Any]] = {}
        for row in rows:
            told.setdefault((row.data["id"], row.data["revision"]), []).append(row.person_id)
        for thing in self.model.values():
            for revision in range(1, thing.revision + 1):
                people = told.pop((thing.id, revision))
                assert len(people) == len(set(people))
                assert (people == [None]) is not thing.private
                assert not thing.private or self.ids[thing.author] in people
        assert not told


def run_machine(machine: type[Things], monkeypatch: pytest.MonkeyPatch, examples: int = 12) -> None:
    """Run a machine with an application of its own."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_hasher", cheap)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "manifest.json").write_text(json.dumps(MANIFEST))
        limits = {"reads_per_minute": 0, "writes_per_minute": 0, "runs_per_minute": 0}
        where = Settings(data_dir=folder / "data", inline=True, source_roots=[folder], mode="team", **limits)
        manifests = ManifestReader(where.data_dir, folder / "manifest.json")
        engine = Engine(where, executor="inline", workshop=FakeWorkshop(), reader=FakeReader(), manifests=manifests)
        engine.add_source("add-model", "builtin:fake")
        engine.add_source("add-probe", "builtin:fake-probe")
        app = create_app(where, engine=engine)
        machine.desk = app.state.desk
        machine.people = {name: signed_in(app, role, name) for name, role in ROLES.items()}  # type: ignore[arg-type]
        machine.ids = {name: browser.ok("GET", "/session")["person"]["id"] for name, browser in machine.people.items()}
        try:
            run_state_machine_as_test(
                machine,
                settings=settings(
                    max_examples=examples, stateful_step_count=20, deadline=None, derandomize=True, database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )  # fmt: skip
        finally:
            engine.store.close()


@pytest.mark.parametrize("machine", [Notes])
def test_nothing_is_lost_or_overwritten_or_shown_to_others(machine: type[Things], monkeypatch: pytest.MonkeyPatch) -> None:
    run_machine(machine, monkeypatch)
