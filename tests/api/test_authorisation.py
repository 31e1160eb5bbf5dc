"""Every route x every role, from the OpenAPI document: a route without a line here fails. Then whose objects they are."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from microtome.api.app import create_app
from microtome.api.stream import Frame
from microtome.collab.people import PersonRow
from tests.api.team import API, BASE, Browser, account, signed_in

NOTE = {"kind": "note", "model": "fake", "layer": "stage1", "unit": 0, "body": "x"}
ABOUT = {"model": "fake", "probe": "fake-probe"}
ROLES = ("viewer", "annotator", "editor", "admin")

#: Written by hand, not taken from the code: the least role of each route; "own" is for sessions of a browser only.
LINES = """
anyone     GET /session/oidc  GET /session/oidc/callback
anyone     GET /health  GET /ready  GET /session  POST /session  POST /invitations/open  POST /invitations/accept  GET /shares/{id}
signed-in  DELETE /session  GET /workspaces
own        PATCH /session  POST /session/password  POST /session/leave  GET /sessions  DELETE /sessions  DELETE /sessions/{id}
own        GET /tokens  POST /tokens  DELETE /tokens/{id}
viewer     GET /metrics  GET /system  GET /search  GET /events  GET /members  GET /models  GET /models/{model}  GET /probes
viewer     GET /probes/{probe}  GET /probes/{probe}/examples  GET /probes/{probe}/examples/{index}
viewer     GET /probes/{probe}/examples/{index}/image  GET /probes/{probe}/examples/{index}/masks  GET /uploads/{sha256}/image
viewer     GET /probes/{probe}/examples/{index}/tokens  POST /models/tokens  GET /units/{model}/{layer}/{unit}/snippets
viewer     GET /methods  GET /methods/{id}  GET /runs  GET /runs/{id}  POST /runs/estimate  GET /results/{key}
viewer     GET /results/{key}/{name}/figure  GET /results/{key}/{name}/export  GET /results/{key}/{name}/rows  GET /blobs/{sha256}
viewer     GET /atlas  POST /units/query  POST /units/aggregate  POST /units/export  GET /units/map  GET /units/map/{chunk}
viewer     GET /units/driven  GET /units/{model}/{layer}/{unit}  GET /units/{model}/{layer}/{unit}/concepts
viewer     GET /units/{model}/{layer}/{unit}/similar  GET /units/{model}/{layer}/{unit}/strip
viewer     GET /annotations  GET /annotations/{id}/history  GET /selections
annotator  POST /uploads  POST /runs  POST /runs/{id}/cancel  POST /annotations  PATCH /annotations/{id}  DELETE /annotations/{id}
annotator  POST /annotations/{id}/restore  POST /selections  DELETE /selections/{id}  POST /shares  DELETE /shares/{id}
editor     POST /models  DELETE /models/{model}  POST /probes  DELETE /probes/{probe}  POST /imports
admin      GET /invitations  POST /invitations  DELETE /invitations/{id}  PATCH /members/{person}  DELETE /members/{person}
admin      POST /members/{person}/reset  DELETE /accounts/{person}  POST /workspaces  PATCH /workspaces/{workspace}  GET /audit
viewer     GET /label-sets  GET /label-sets/{id}  GET /label-sets/{id}/history  GET /label-sets/{id}/units  GET /label-sets/{id}/progress
viewer     GET /label-sets/{id}/ratings  GET /ratings/{id}/history  GET /label-sets/{id}/decisions  GET /decisions/{id}/history
annotator  POST /label-sets/{id}/next  POST /label-sets/{id}/ratings  POST /label-sets/{id}/ratings/bulk
annotator  POST /label-batches/{id}/undo  PATCH /ratings/{id}  DELETE /ratings/{id}  POST /ratings/{id}/restore  POST /ratings/{id}/undo
viewer     GET /label-sets/{id}/agreement  GET /comments  GET /comments/{id}/history  GET /votes  GET /notifications
viewer     POST /notifications/read
annotator  POST /comments  PATCH /comments/{id}  DELETE /comments/{id}  POST /comments/{id}/restore  PUT /votes
viewer     GET /label-sets/{id}/export
editor     POST /label-sets/{id}/reveal  POST /label-sets/import
editor     POST /label-sets  PATCH /label-sets/{id}  DELETE /label-sets/{id}  POST /label-sets/{id}/restore  POST /label-sets/{id}/units
anyone     GET /shares
signed-in  GET /session/usage
viewer     PUT /presence  GET /permits
annotator  PUT /permits
viewer     GET /hypotheses  GET /hypotheses/{id}  GET /hypotheses/{id}/history  GET /hypotheses/numbers  GET /hypotheses/export
annotator  POST /hypotheses  PATCH /hypotheses/{id}  DELETE /hypotheses/{id}  POST /hypotheses/{id}/restore  POST /hypotheses/{id}/start
anyone     GET /findings  GET /findings/{id}  GET /findings/{id}/history  GET /findings/{id}/checks
anyone     GET /findings/{id}/export  GET /findings/{id}/figures/{number}  GET /findings/{id}/preview
editor     POST /findings/import
annotator  POST /findings  PATCH /findings/{id}  DELETE /findings/{id}  POST /findings/{id}/restore  POST /findings/{id}/check
viewer     GET /studies  GET /studies/{id}  GET /studies/{id}/history  GET /studies/{id}/answers  GET /studies/{id}/results
annotator  POST /studies/{id}/next  POST /studies/{id}/answers  GET /studies/{id}/tasks/{place}/pictures/{number}
annotator  GET /studies/{id}/tasks/{place}/passages/{number}
editor     POST /studies  PATCH /studies/{id}  DELETE /studies/{id}  POST /studies/{id}/restore  GET /studies/{id}/export
editor     POST /studies/{id}/prepare  POST /studies/{id}/open  POST /studies/{id}/close
editor     POST /label-sets/{id}/assignments  POST /label-sets/{id}/decisions  PATCH /decisions/{id}  DELETE /decisions/{id}
"""
LEAST = {
    (method, path): line.split()[0]
    for line in LINES.strip().splitlines()
    for method, path in re.findall(r"(GET|POST|PATCH|PUT|DELETE) (\S+)", line)
}
TOKENS = {"read token of an admin": "viewer", "write token of an admin": "editor", "admin token of an admin": "admin"}
BY_SESSION = {("POST", "/invitations"), ("POST", "/members/{person}/reset"), ("DELETE", "/accounts/{person}")}
#: Sent by POST, and yet nothing is changed.
READS = {("POST", path) for path in ("/runs/estimate", "/units/query", "/units/aggregate", "/units/export", "/models/tokens")}
#: Path parameters of nothing that exists: who may call the route hears 404 or 422, and nothing is changed.
NOTHING = {"key": "0" * 64, "sha256": "0" * 64, "index": "0", "chunk": "0", "unit": "0", "place": "0", "number": "0"}


@pytest.fixture
def app(settings: Any, make_engine: Any, cheap_passwords: None) -> Any:
    settings = settings.model_copy(update={"mode": "team"})
    engine = make_engine(settings)
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    engine.submit("unit-map", ABOUT)
    return create_app(settings, engine=engine)


def program(browser: Browser, app: Any, scope: str) -> TestClient:
    token = browser.ok("POST", "/tokens", json={"name": scope, "scope": scope})["token"]
    return TestClient(app, base_url=BASE, headers={"Authorization": f"Bearer {token}"}, raise_server_exceptions=False)


def operations(app: Any) -> list[tuple[str, str]]:
    return [(method.upper(), path.removeprefix(API)) for path, found in app.openapi()["paths"].items() for method in found]


def call(client: TestClient, method: str, path: str, **options: Any) -> Any:
    address = re.sub(r"\{(\w+)\}", lambda m: NOTHING.get(m[1], "nothing"), path)
    if method in ("POST", "PATCH", "PUT"):
        options.setdefault("json", {})
    return client.request(method, API + address, **options)


def test_every_route_has_a_line(app: Any) -> None:
    missing = set(operations(app)) - set(LEAST)
    assert not missing, f"say in tests/api/test_authorisation.py who may call {sorted(missing)}, and in api/policy.py"


def test_every_route_for_every_role(app: Any) -> None:
    people = {role: signed_in(app, role) for role in ROLES}
    room = people["admin"].ok("POST", "/workspaces", json={"name": "elsewhere"})["id"]
    outsider = Browser(app, headers={"X-Workspace": "main"})
    outsider.sign_in(account(app, "admin", "outsider", room))
    actors: dict[str, Any] = {"unsigned": Browser(app), **people, "outsider": outsider}
    actors["read token of an admin"] = program(people["admin"], app, "read")
    actors["write token of an admin"] = program(people["admin"], app, "write")
    actors["admin token of an admin"] = program(people["admin"], app, "admin")
    wrong = []
    for method, path in operations(app):
        least = LEAST[method, path]
        for who, client in actors.items():
            role = TOKENS.get(who, who)
            if path == "/events" and who != "unsigned":
                continue  # a stream without an end: see below
            if least == "anyone":
                allowed = {None}
            elif who == "unsigned":
                allowed = {401}
            elif least == "signed-in":
                allowed = {None}
            elif least == "own":
                allowed = {403} if "token" in who else {None}
            elif who == "outsider":
                allowed = {404}
            else:
                allowed = {None} if ROLES.index(role) >= ROLES.index(least) else {403}
            by_session = "token" in who and (method, path) in BY_SESSION
            writes = who.startswith("read token") and method != "GET" and (method, path) not in READS
            if least in ROLES and (by_session or writes):
                allowed = {403}
            answer = call(client, method, path)
            status = answer.status_code
            fine = status in allowed or (None in allowed and status not in (401, 403) and status < 500)
            if not fine:
                wrong.append(f"{method} {path} as {who}: {status} {answer.text[:120]}")
            if (method, path) == ("DELETE", "/session") and isinstance(client, Browser) and who != "unsigned":
                client.sign_in(f"{who}@lab.example")
    assert not wrong, "\n".join(wrong)


def test_every_write_of_a_browser_needs_the_token_of_its_session(app: Any) -> None:
    browser = signed_in(app, "admin")
    good = browser.headers.pop("X-CSRF-Token")
    for method, path in operations(app):
        if method == "GET" or LEAST[method, path] == "anyone":
            continue
        for given in ({}, {"X-CSRF-Token": "0" * 64}, {"X-CSRF-Token": good.upper()}, {"X-CSRF-Token": "\xe9".encode("latin-1")}):
            answer = call(browser, method, path, headers=given)
            assert (answer.status_code, answer.json().get("field")) == (403, "X-CSRF-Token"), (method, path)
        assert call(browser, method, path, headers={"X-CSRF-Token": good, "Origin": "http://evil.example"}).status_code == 403
    assert browser.api("GET", "/models").status_code == 200


def test_single_user_mode_has_no_accounts(client: Any) -> None:
    for method, path in operations(client.app):
        if path.startswith(("/tokens", "/sessions", "/invitations", "/workspaces")):
            answer = call(client, method, path)
            assert answer.status_code in (409, 422), (method, path, answer.text)
    assert client.get(f"{API}/members").json()["items"] == []
    assert client.get(f"{API}/session").json()["role"] == "admin"
    assert len(client.get(f"{API}/members").json()["items"]) == 1


def test_whose_things_they_are(app: Any) -> None:
    """Own, somebody else's, private, of another workspace: for everything that people write."""
    ada, ben, eve = (signed_in(app, role, name) for role, name in (("annotator", "ada"), ("annotator", "ben"), ("editor", "eve")))
    admin = signed_in(app, "admin")
    room = admin.ok("POST", "/workspaces", json={"name": "elsewhere"})["id"]
    zoe = signed_in(app, "admin", "zoe", room)

    def made(who: Browser, **more: Any) -> list[tuple[str, str]]:
        note = who.ok("POST", "/annotations", json=NOTE | more)["id"]
        selection = who.ok("POST", "/selections", json={"name": "s", **ABOUT, "selection": {}} | more)["id"]
        share = who.ok("POST", "/shares", json={"state": ABOUT} | more)["id"]
        return [("annotations", note), ("selections", selection), ("shares", share)]

    def remove(who: Browser, kind: str, id: str) -> int:
        return int(who.api("DELETE", f"/{kind}/{id}", headers={"If-Match": '"1"'}).status_code)

    for kind, id in made(ada):
        assert (remove(zoe, kind, id), remove(ben, kind, id), remove(ada, kind, id) // 100) == (404, 403, 2), kind
    for kind, id in made(ada):
        assert remove(eve, kind, id) // 100 == 2, kind
    for kind, id in made(ada, visibility="private"):
        assert (remove(zoe, kind, id), remove(ben, kind, id), remove(eve, kind, id), remove(admin, kind, id)) == (404,) * 4, kind
        assert remove(ada, kind, id) // 100 == 2, kind

    (_, open_note), _, _ = made(ada)
    (_, secret_note), (_, secret_selection), (_, secret_share) = made(ada, visibility="private")
    lists = {
        name: [{item["id"] for item in who.ok("GET", path)["items"]} for path in ("/annotations", "/selections")]
        for name, who in {"ada": ada, "ben": ben, "zoe": zoe}.items()
    }
    assert secret_note in lists["ada"][0]
    assert secret_selection in lists["ada"][1]
    assert open_note in lists["ben"][0]
    assert secret_note not in lists["ben"][0]
    assert secret_selection not in lists["ben"][1]
    assert lists["zoe"] == [set(), set()]
    for who, status in ((ada, 200), (ben, 404), (admin, 404), (zoe, 404), (Browser(app), 401)):
        assert who.api("GET", f"/annotations/{secret_note}/history").status_code == status
    for who, status in ((ada, 200), (ben, 404), (zoe, 404), (Browser(app), 404)):
        assert who.api("GET", f"/shares/{secret_share}").status_code == status
    workspace_share = ada.ok("POST", "/shares", json={"state": ABOUT, "visibility": "workspace"})["id"]
    for who, status in ((ben, 200), (zoe, 404), (Browser(app), 404)):
        assert who.api("GET", f"/shares/{workspace_share}").status_code == status
    # what is counted and searched tells no more than the lists
    ada.ok("POST", "/annotations", json=NOTE | {"kind": "label", "body": "zebra", "visibility": "private", "unit": 3})
    for who, found in ((ada, 1), (ben, 0), (zoe, 0)):
        assert len(who.ok("GET", "/search", params=ABOUT | {"q": "zebra"})["items"]) == found
        query = ABOUT | {"selection": {"text": "zebra"}}
        assert who.ok("POST", "/units/query", json=query)["counts"]["in_filter"] == found
        assert len(who.ok("GET", "/units/fake/stage1/3", params={"probe": "fake-probe"})["row"]["labels"]) == found
        assert ("zebra" in who.api("POST", "/units/export", json=ABOUT).text) is bool(found)
        labelled = next(m for m in who.ok("GET", "/models")["items"] if m["slug"] == "fake")["dissection"]
        assert (labelled is None) or labelled["labelled"] == found


def test_a_share_link_opens_what_it_shows_and_no_more(app: Any) -> None:
    ada, guest = signed_in(app, "annotator", "ada"), Browser(app)
    engine = app.state.desk.engine
    other = engine.submit("predictions", ABOUT)
    share = ada.ok("POST", "/shares", json={"state": ABOUT})["id"]
    keys = guest.ok("GET", f"/shares/{share}")["frozen"]["keys"]
    link, unpinned = {"X-Share": share}, engine.runs.parts([other.id])[other.id][0][1]
    array = next(iter(ada.ok("GET", f"/results/{keys[0]}")["results"][0]["arrays"].values()))["sha256"]
    asked = ABOUT | {"share": share}
    opened = [
        guest.api("GET", "/atlas", params=asked),
        guest.api("POST", "/units/query", json=asked, headers=link),
        guest.api("GET", "/units/fake/stage1/3", params={"probe": "fake-probe", "share": share}),
        guest.api("GET", f"/results/{keys[0]}", headers=link),
        guest.api("GET", f"/blobs/{array}", headers=link),
        guest.api("GET", "/probes/fake-probe/examples/0/image", params={"share": share}),
        guest.api("GET", "/methods", headers=link),
    ]
    assert [a.status_code for a in opened] == [200] * len(opened), [a.text[:200] for a in opened]
    assert opened[2].json()["row"]["labels"] == []
    shut = [
        guest.api("GET", "/atlas", params=ABOUT, headers=link),  # what there is now, not what was frozen
        guest.api("POST", "/units/query", json=ABOUT, headers=link),
        guest.api("GET", f"/results/{unpinned}", headers=link),
        guest.api("GET", "/models", headers=link),
        guest.api("GET", "/annotations", headers=link),
        guest.api("GET", "/runs", headers=link),
        guest.api("GET", "/probes/other/examples", headers=link),
        guest.api("GET", "/atlas", params={"model": "other", "probe": "fake-probe", "share": share}),
        guest.api("GET", f"/results/{keys[0]}", headers={"X-Share": share[:-1] + "x"}),
        guest.api("POST", "/annotations", json=NOTE, headers=link),
    ]
    assert [a.status_code for a in shut] == [401] * len(shut)
    reading = ada.ok("POST", "/shares", json={"state": ABOUT | {"language": {"prompt": "import os"}}})["id"]
    texts = [
        guest.api("POST", "/models/tokens", json={"model": "fake", "text": text}, headers={"X-Share": reading})
        for text in ("import os", "x")
    ]
    assert [a.status_code for a in texts] == [422, 401]  # the model takes images; another text is not the link's to read
    ada.api("DELETE", f"/shares/{share}")
    assert guest.api("GET", "/atlas", params=asked).status_code == 401
    assert guest.api("GET", f"/shares/{share}").status_code == 404


def test_events_reach_those_who_may_see_them(app: Any) -> None:
    ada, admin = signed_in(app, "annotator", "ada"), signed_in(app, "admin")
    room = admin.ok("POST", "/workspaces", json={"name": "elsewhere"})["id"]
    me = ada.ok("GET", "/session")["person"]["id"]
    start = app.state.desk.engine.events.newest()
    ada.ok("POST", "/annotations", json=NOTE)
    ada.ok("POST", "/annotations", json=NOTE | {"visibility": "private"})
    rows = [row for row in app.state.desk.engine.events.after(start) if row.type == "annotation"]
    frames = [Frame(row.id, b"", row.workspace_id, row.person_id) for row in rows]
    listeners = {"ada": PersonRow(me, "Ada"), "ben": PersonRow("ben", "Ben", "admin"), "zoe": PersonRow("zoe", "Zoe", "admin", room)}
    heard = {name: [frame.is_for(listener) for frame in frames] for name, listener in listeners.items()}
    assert heard == {"ada": [True, True], "ben": [True, False], "zoe": [False, False]}
    assert all(Frame(1, b"").is_for(listener) for listener in listeners.values())


def test_a_run_is_stopped_by_who_started_it_or_an_editor(app: Any) -> None:
    ada, ben, eve = (signed_in(app, role, name) for role, name in (("annotator", "ada"), ("annotator", "ben"), ("editor", "eve")))
    run = ada.ok("POST", "/runs", json={"method": "predictions", "subjects": ABOUT})["id"]
    assert [who.api("POST", f"/runs/{run}/cancel").status_code for who in (ben, ada, eve)] == [403, 409, 409]
