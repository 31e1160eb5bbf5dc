"""A backup that is written while findings are written, and while what nobody relies on is evicted: restored into either database,
every finding that was acknowledged before opens with all its revisions, views and results, and keeps its hashes."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from microtome.api.app import create_app
from microtome.store import blobs
from microtome.store import tables as t
from microtome.store.backup import back_up, restore
from microtome.store.eviction import evict
from tests import postgres
from tests.api.team import Browser, signed_in
from tests.api.test_findings import key_of, new

SQLITE, POSTGRES = "sqlite", "postgresql"
PAIRS = [
    (SQLITE, SQLITE),
    pytest.param((SQLITE, POSTGRES), marks=pytest.mark.postgres),
    pytest.param((POSTGRES, SQLITE), marks=pytest.mark.postgres),
]


def at(settings: Any, kind: str, folder: Path, request: pytest.FixtureRequest) -> Any:
    url = None
    if kind == POSTGRES:
        url = postgres.new_database(request.getfixturevalue("postgres_server"), f"t{uuid.uuid4().hex[:12]}")
    return settings.model_copy(update={"mode": "team", "data_dir": folder, "database_url": url})


def everything(browser: Browser, finding: str, revisions: int) -> list[tuple[Any, ...]]:
    """What each revision says, its views and its history, read over HTTP."""
    path, out = f"/findings/{finding}", []
    for revision in range(1, revisions + 1):
        told = browser.ok("GET", path, params={"revision": revision})
        views = [browser.ok("GET", f"/shares/{figure['share']}") for figure in told["figures"]]
        assert all(figure["available"] for figure in told["figures"])
        assert all(view["available"] for view in views)
        out.append((told["title"], told["content_hash"], told["evidence"], told["provenance"], [v["state"] for v in views]))
    past = browser.ok("GET", f"{path}/history")["items"][:revisions]
    return [*out, *((r["revision"], r["title"], r["author"]["id"], r["visibility"]) for r in past)]


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]}-{pair[1]}")
def test_restored_servers_open_every_finding(
    pair: tuple[str, str], settings: Any, make_engine: Any, cheap_passwords: None, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest,
) -> None:  # fmt: skip
    monkeypatch.setattr(blobs, "IN_SQL", 16)  # arrays lie in files, as those of real models do
    here = at(settings, pair[0], tmp_path / "here", request)
    engine = make_engine(here)
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    app = create_app(here, engine=engine)
    ann, ben = signed_in(app, "annotator", "ann"), signed_in(app, "editor", "ben")
    acknowledged: dict[str, int] = {}

    def write(browser: Browser, number: int) -> None:
        body = new(key_of(engine), title=f"Finding {number}", visibility=("private", "workspace", "link", "public")[number % 4])
        made = browser.api("POST", "/findings", json=body)
        if made.status_code in (404, 409) and evicting.is_set():
            return  # its result was evicted before it was pinned; it says so and wrote nothing
        assert made.status_code == 201, made.text
        acknowledged[made.json()["id"]] = 1
        path = f"/findings/{made.json()['id']}"
        browser.ok("PATCH", path, json={"title": f"Better {number}", "figures": body["figures"][:1]}, headers={"If-Match": '"1"'})
        acknowledged[made.json()["id"]] = 2

    evicting, end, failed = threading.Event(), threading.Event(), []
    for number in range(4):
        write((ann, ben)[number % 2], number)
    checked = ann.ok("POST", f"/findings/{next(iter(acknowledged))}/check")
    assert checked["outcome"]["state"] == "unchanged"
    engine.submit("predictions", {"model": "fake", "probe": "fake-probe"})  # nobody relies on it

    def go_on() -> None:
        number = 4
        while not end.is_set():
            try:
                write(ben, number)
                evict(engine.store, 0)
            except Exception as error:
                failed.append(error)
                return
            number += 1

    before = dict(acknowledged)
    evicting.set()
    writer = threading.Thread(target=go_on)
    writer.start()
    try:
        back_up(here, tmp_path / "lab.tar.gz")
    finally:
        end.set()
        writer.join(60)
    assert not failed, failed
    there = at(settings, pair[1], tmp_path / "there", request)
    restore(there, tmp_path / "lab.tar.gz")
    second = make_engine(there)
    restored = create_app(there, engine=second)
    people = {name: Browser(restored) for name in ("ann", "ben")}
    for name, browser in people.items():
        assert browser.sign_in(f"{name}@lab.example").status_code == 200
    with engine.store.read() as connection:
        authors = dict(
            connection.execute(select(t.finding.c.id, t.person.c.name).join(t.person, t.person.c.id == t.finding.c.author_id)).all()
        )
    with second.store.read() as connection:
        found = dict(connection.execute(select(t.finding.c.id, t.finding.c.revision)).all())
        pins = set(connection.execute(select(t.finding_result.c.key)).scalars())
    assert all(found.get(id, 0) >= revisions for id, revisions in before.items()), "what was acknowledged before is there"
    for id, revisions in found.items():
        name = authors[id].lower()
        assert everything(people[name], id, revisions) == everything({"ann": ann, "ben": ben}[name], id, revisions)
    for key in pins:
        for result in second.results.load(key).values():
            for name, array in result.arrays.items():
                assert array.sum() is not None, name  # every byte of its file can be read
    first = next(iter(before))
    assert people["ann"].ok("GET", f"/findings/{first}")["checks"][0]["outcome"] == checked["outcome"]
    more = people["ann"].ok("POST", "/findings", json={"title": "and on"})
    assert more["number"] > max(people["ben"].ok("GET", f"/findings/{id}")["number"] for id in found if authors[id] == "Ben")
