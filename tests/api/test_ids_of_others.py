"""Ids that belong to others, at every route that takes one: they answer as ids of nothing do (OWASP: insecure direct object reference).

Routes are read from OpenAPI: a new kind of thing without a line here fails.
"""

from __future__ import annotations

import re
from typing import Any

import pytest

from microtome.api.app import create_app
from tests.api.planted import AT, planted, private
from tests.api.team import API, Browser, account, signed_in

#: Kinds that belong to the installation: everybody signed in may name any of them.
COMMON = {"models", "probes", "uploads", "methods", "runs", "results", "blobs", "units"}
RESTORE, ANSWER = {"revision": 1}, {"answer": "b"}
#: Bodies without which a route would answer of its body and not of the id.
BODIES: dict[str, dict[str, Any]] = {
    "PATCH /members/{person}": {"role": "viewer"}, "PATCH /workspaces/{workspace}": {"name": "mine"},
    "PATCH /annotations/{id}": {"body": "y"}, "PATCH /comments/{id}": {"body": "y"}, "PATCH /ratings/{id}": ANSWER,
    "PATCH /label-sets/{id}": {"name": "mine"}, "PATCH /decisions/{id}": ANSWER, "PATCH /findings/{id}": {"title": "mine"},
    "PATCH /hypotheses/{id}": {"note": "mine"}, "PATCH /studies/{id}": {"name": "mine"},
    "POST /label-sets/{id}/units": {"units": [AT]}, "POST /label-sets/{id}/reveal": {"units": [AT]},
    "POST /label-sets/{id}/assignments": {"person": "me", "units": [AT]}, "POST /label-sets/{id}/ratings": AT | ANSWER,
    "POST /label-sets/{id}/ratings/bulk": {"items": [AT | ANSWER]}, "POST /label-sets/{id}/decisions": AT | ANSWER | {"reason": "r"},
    "POST /studies/{id}/answers": {"place": 0, "choice": 0},
}  # fmt: skip


@pytest.fixture
def app(settings: Any, make_engine: Any, cheap_passwords: None) -> Any:
    settings = settings.model_copy(update={"mode": "team"})
    engine = make_engine(settings)
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    engine.submit("dissection", {"model": "fake", "probe": "fake-probe"})
    return create_app(settings, engine=engine)


def routes(app: Any) -> list[tuple[str, str, str]]:
    """(method, path, kind) of every route that takes an id of something."""
    paths = app.openapi()["paths"]
    found = [(method.upper(), path.removeprefix(API)) for path, operations in paths.items() for method in operations if "{" in path]
    return [(method, path, path.split("/")[1]) for method, path in found]


def ask(who: Browser, method: str, path: str, id: str) -> Any:
    address = re.sub(r"\{(\w+)\}", lambda m: id if m[1] in ("id", "person", "workspace") else "1", path)
    body = BODIES.get(f"{method} {path}", RESTORE if path.endswith("/restore") else {})
    options: dict[str, Any] = {"json": body} if method in ("POST", "PATCH", "PUT") else {}
    return who.api(method, address, headers={"If-Match": '"1"'}, **options)


def told(answer: Any, id: str) -> str:
    return f"{answer.status_code} {answer.text.replace(id, '')}"


def refused(app: Any, who: Browser, ids: dict[str, str]) -> list[str]:
    """Routes at which the ids of others do not answer as ids of nothing do."""
    wrong = []
    for method, path, kind in routes(app):
        if kind in ids:
            theirs, nothing = ask(who, method, path, ids[kind]), ask(who, method, path, "0" * len(ids[kind]))
            if theirs.status_code != 404 or told(theirs, ids[kind]) != told(nothing, "0" * len(ids[kind])):
                wrong.append(f"{method} {path}: {theirs.status_code} {theirs.text[:150]}, and of nothing {nothing.status_code}")
    return wrong


def test_every_kind_of_thing_is_looked_at(app: Any) -> None:
    kinds = {kind for _, _, kind in routes(app)}
    known = {*planted(signed_in(app, "editor")), *COMMON, "sessions", "tokens", "invitations", "members", "accounts", "workspaces"}
    assert kinds == known, f"say in tests/api/planted.py or here what becomes of {sorted(kinds ^ known)}"


def test_what_belongs_to_another_workspace_is_not_there(app: Any) -> None:
    eve, admin = signed_in(app, "editor", "eve"), signed_in(app, "admin")
    room = admin.ok("POST", "/workspaces", json={"name": "elsewhere"})["id"]
    zoe = signed_in(app, "admin", "zoe", room)
    ids = planted(eve)
    before = {kind: eve.api("GET", f"/{kind}/{id}/history").text for kind, id in ids.items()}
    assert refused(app, zoe, {kind: id for kind, id in ids.items() if kind != "shares"}) == []
    assert zoe.api("GET", f"/shares/{ids['shares']}").status_code == 404
    assert zoe.api("DELETE", f"/shares/{ids['shares']}").status_code == 404
    for subject, kind in (("annotation", "annotations"), ("rating", "ratings")):
        for path in ("/comments", "/permits", "/votes"):
            answer = zoe.api("GET", path, params={"subject": subject, "subject_id": ids[kind]})
            assert answer.status_code in (404, 422), (path, subject, answer.text)
        assert zoe.api("PUT", "/votes", json={"subject": subject, "subject_id": ids[kind], "value": 1}).status_code == 404
        assert zoe.api("POST", "/comments", json={"subject": subject, "subject_id": ids[kind], "body": "x"}).status_code == 404
    assert {kind: eve.api("GET", f"/{kind}/{id}/history").text for kind, id in ids.items()} == before
    # and who works in both sees each from where they are, not from the other
    both = Browser(app, headers={"X-Workspace": room})
    both.sign_in("admin@lab.example")
    assert refused(app, both, {kind: id for kind, id in ids.items() if kind != "shares"}) == []


def test_what_somebody_keeps_private_is_not_there(app: Any) -> None:
    ada, admin, eve = signed_in(app, "annotator", "ada"), signed_in(app, "admin"), signed_in(app, "editor", "eve")
    ids = private(ada)
    for who in (admin, eve):
        assert refused(app, who, ids) == []
    for kind, id in ids.items():
        assert ask(ada, "DELETE", f"/{kind}/{{id}}", id).is_success, kind


def test_sessions_tokens_and_invitations_are_ones_own(app: Any) -> None:
    ada, admin = signed_in(app, "annotator", "ada"), signed_in(app, "admin")
    room = admin.ok("POST", "/workspaces", json={"name": "elsewhere"})["id"]
    zoe = Browser(app)
    zoe.sign_in(account(app, "admin", "zoe", room))
    ids = {
        "sessions": ada.ok("GET", "/sessions")["items"][0]["id"],
        "tokens": ada.ok("POST", "/tokens", json={"name": "x", "scope": "read"})["id"],
        "invitations": admin.ok("POST", "/invitations", json={"role": "viewer"})["id"],
        "members": ada.ok("GET", "/session")["person"]["id"],
    }
    wrong = refused(app, zoe, {kind: id for kind, id in ids.items() if kind != "members"})
    assert wrong == []
    for method, path in (("PATCH", "/members/{person}"), ("DELETE", "/members/{person}"), ("POST", "/members/{person}/reset"),
                         ("DELETE", "/accounts/{person}")):  # fmt: skip
        assert ask(zoe, method, path, ids["members"]).status_code in (403, 404), path
    assert ask(zoe, "PATCH", "/workspaces/{workspace}", "main").status_code in (403, 404)
    assert ada.ok("GET", "/session")["role"] == "annotator"
    assert [token["id"] for token in ada.ok("GET", "/tokens")["items"]] == [ids["tokens"]]
    assert [item["id"] for item in admin.ok("GET", "/invitations")["items"]] == [ids["invitations"]]
