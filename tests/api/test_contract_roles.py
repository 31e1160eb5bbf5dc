"""Schemathesis with everybody who can be signed in: no operation fails inside, and every answer is what OpenAPI says.

``MICROTOME_TEST_CASES`` (for each operation and role, 6 if left out) makes it as large as one likes; 40 are about 26,000 cases.
With its own seed from the environment (``MICROTOME_TEST_SEED``) a large run finds other cases than the last one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import hypothesis
import pytest
import schemathesis
from argon2 import PasswordHasher

from microtome.api.app import create_app
from microtome.collab.accounts import passwords
from microtome.core.settings import Settings
from microtome.engine import Engine
from microtome.engine.manifest import ManifestReader
from tests.api.planted import planted
from tests.api.serve import serving
from tests.api.team import PASSWORD, Browser
from tests.api.test_contract import CHECKS, NAMES, OPERATIONS
from tests.fakes import MANIFEST, FakeReader, FakeWorkshop

CASES = int(os.environ.get("MICROTOME_TEST_CASES", "6"))
SEED = int(os.environ.get("MICROTOME_TEST_SEED", "0"))
ROLES = ("viewer", "annotator", "editor", "admin")
#: Ends the session that is asked with; tests/api/test_accounts.py looks at it.
ENDS = {("DELETE", "/api/v1/session"), ("POST", "/api/v1/session/leave"), ("POST", "/api/v1/session/password")}


@dataclass
class Actor:
    """Somebody who is signed in, and ids of things of every kind that are theirs to see."""

    headers: dict[str, str]
    ids: dict[str, list[str]]


@dataclass
class Place:
    schema: Any
    url: str
    actors: dict[str, Actor]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A server in team mode whose executor runs nothing, with one of everything, and an account for each role."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        folder = tmp_path_factory.mktemp("roles")
        (folder / "manifest.json").write_text(json.dumps(MANIFEST))
        limits = {"reads_per_minute": 0, "writes_per_minute": 0, "runs_per_minute": 0}
        settings = Settings(data_dir=folder / "data", source_roots=[folder], mode="team", **limits)
        manifests = ManifestReader(settings.data_dir, folder / "manifest.json")
        engine = Engine(settings, executor="inline", workshop=FakeWorkshop(), reader=FakeReader(), manifests=manifests)
        engine.add_source("add-model", "builtin:fake")
        engine.add_source("add-probe", "builtin:fake-probe")
        engine.submit("unit-map", {"model": "fake", "probe": "fake-probe"})
        app = create_app(settings, engine=engine)
        accounts = app.state.desk.accounts
        browsers = {}
        for role in ROLES:
            accounts.create(role.title(), f"{role}@lab.example", PASSWORD, role, "main")
            browsers[role] = Browser(app)
            browsers[role].sign_in(f"{role}@lab.example")
        ids = ids_of(browsers["editor"])
        engine.executor = "none"
        with serving(app) as url:
            schema = schemathesis.openapi.from_url(f"{url}/api/v1/openapi.json")
            yield Place(schema, url, {role: actor(browser, url, ids) for role, browser in browsers.items()})
        engine.store.close()


def ids_of(editor: Browser) -> dict[str, list[str]]:
    """Several of every kind of thing, by the first part of its address."""
    several: dict[str, list[str]] = {"runs": [run["id"] for run in editor.ok("GET", "/runs")["items"][:2]], "methods": ["dissection"]}
    for _ in range(3):
        for kind, id in planted(editor).items():
            several.setdefault(kind, []).append(id)
    return several


def actor(browser: Browser, url: str, ids: dict[str, list[str]]) -> Actor:
    cookies = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    headers = {"Cookie": cookies, "X-CSRF-Token": browser.headers["X-CSRF-Token"], "Origin": url, "X-Microtome": "1"}
    return Actor(headers, ids)


def tries(place: Place, somebody: Actor, method: str, path: str, seed: int) -> list[int]:
    """Ask one operation many times; the statuses of its answers."""
    kind, statuses = path.removeprefix("/api/v1/").split("/")[0], list[int]()
    known = somebody.ids.get(kind, ["dissection"])
    matching = hypothesis.strategies.sampled_from([1, 2, None])
    ids = hypothesis.strategies.sampled_from([None, *known, *known])  # often something that is there

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=CASES, phases=[hypothesis.Phase.generate], deadline=None, database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )  # fmt: skip
    @hypothesis.given(case=place.schema[path][method].as_strategy(), id=ids, revision=matching)
    def check(case: Any, id: str | None, revision: int | None) -> None:
        if id is not None:
            named = {"id": id} | ({name: value for name, value in NAMES.items() if name != "id"} if method != "DELETE" else {})
            for holder in (case.path_parameters, case.query, case.body):
                if isinstance(holder, dict):
                    holder.update({name: value for name, value in named.items() if name in holder})
            if revision is not None and method in ("PATCH", "DELETE", "POST"):
                case.headers = {**(case.headers or {}), "If-Match": f'"{revision}"'}
        answer = case.call(base_url=place.url, headers=somebody.headers)
        statuses.append(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    check()
    return statuses


@pytest.mark.slow
@pytest.mark.parametrize("role", ROLES)
def test_no_operation_breaks_for_anybody_who_is_signed_in(place: Place, role: str) -> None:
    tried: list[int] = []
    for number, (method, path) in enumerate(OPERATIONS):
        if (method, path) not in ENDS:
            tried += tries(place, place.actors[role], method, path, SEED * 10_000 + number)
    # a run in which everything is refused at the door shows nothing
    refused, through = sum(status == 401 for status in tried), sum(200 <= status < 300 for status in tried)
    print(f"{role}: {len(tried)} cases, {through} did what was asked, {refused} not signed in")
    assert len(tried) > CASES * len(OPERATIONS) / 4
    assert refused < len(tried) / 20
    assert through > len(tried) / 10
