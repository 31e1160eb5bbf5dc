"""Signing in, joining, leaving, tokens, members, over HTTP and on both databases."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from microtome.client import Client, ClientError
from microtome.store import tables as t
from microtome.store.times import now
from tests.api.serve import serving
from tests.api.team import API, BASE, PASSWORD, Browser, account, signed_in

NOTE = {"kind": "note", "model": "fake", "layer": "stage1", "unit": 0, "body": "look at the edges"}
OTHER = "another good long secret"


def rows(app: Any, table: Any) -> list[Any]:
    with app.state.desk.store.read() as connection:
        return list(connection.execute(select(table)))


def test_the_way_of_a_person(team_app: Any) -> None:
    admin, guest = signed_in(team_app, "admin"), Browser(team_app)
    unsigned = guest.ok("GET", "/session")
    assert (unsigned["mode"], unsigned["person"], unsigned["csrf"], unsigned["workspaces"]) == ("team", None, None, [])
    refused = guest.api("GET", "/models")
    assert refused.status_code == 401
    assert refused.headers["www-authenticate"].startswith("Bearer")
    assert refused.json()["type"] == "/problems/unauthorized"

    made = admin.ok("POST", "/invitations", json={"role": "annotator"})
    token = made["url"].split("/join#")[1]
    assert token not in str(rows(team_app, t.invitation))
    assert "url" not in admin.ok("GET", "/invitations")["items"][0]
    offer = guest.ok("POST", "/invitations/open", json={"token": token})
    assert (offer["purpose"], offer["workspace"], offer["role"], offer["by"]) == ("join", "Main", "annotator", "Admin")
    joining = {"token": token, "name": "Ada", "email": " Ada@Lab.Example ", "password": OTHER}
    assert guest.api("POST", "/invitations/accept", json=joining | {"password": "short"}).status_code == 422
    joined = guest.began(guest.api("POST", "/invitations/accept", json=joining)).json()
    assert (joined["person"]["name"], joined["email"], joined["role"]) == ("Ada", "ada@lab.example", "annotator")
    assert Browser(team_app).api("POST", "/invitations/open", json={"token": token}).status_code == 404
    assert Browser(team_app).api("POST", "/invitations/accept", json=joining | {"email": "b@lab.example"}).status_code == 404
    assert admin.ok("GET", "/invitations")["items"] == []

    note = guest.ok("POST", "/annotations", json=NOTE)
    assert guest.ok("PATCH", "/session", json={"name": "Ada L"})["person"]["name"] == "Ada L"
    assert guest.api("POST", "/session/leave", json={"current": "wrong"}).status_code == 403
    assert guest.api("POST", "/session/leave", json={"current": OTHER}).status_code == 204
    assert guest.api("GET", "/models").status_code == 401
    assert Browser(team_app).sign_in("ada@lab.example", OTHER).status_code == 403
    kept = admin.ok("GET", "/annotations")["items"][0]
    assert (kept["id"], kept["body"], kept["author"]["name"]) == (note["id"], NOTE["body"], "removed user")
    assert "Ada" not in str(rows(team_app, t.person))
    actions = [line["action"] for line in admin.ok("GET", "/audit")["items"]]
    assert {"invite", "make-account", "join", "sign-in", "rename", "delete-account"} <= set(actions)


def test_only_hashes_are_kept(team_app: Any) -> None:
    browser = signed_in(team_app, "admin")
    token = browser.ok("POST", "/tokens", json={"name": "notebook", "scope": "read"})["token"]
    cookie = browser.cookies["microtome_session"]
    everything = "".join(str(rows(team_app, table)) for table in t.metadata.tables.values())
    assert token not in everything
    assert cookie not in everything
    assert PASSWORD not in everything
    assert "$argon2id$v=19$" in everything


def test_sessions(team_app: Any) -> None:
    email = account(team_app, "editor")
    one, two = Browser(team_app), Browser(team_app, headers={"User-Agent": "Fire\x01fox " + "x" * 300})
    planted = "a" * 43
    one.cookies.set("microtome_session", planted)  # fixation: what was there before is not taken over
    answer = one.sign_in(email)
    header = answer.headers["set-cookie"]
    assert planted not in header
    assert "HttpOnly" in header
    assert "SameSite=lax" in header
    assert "Secure" not in header  # the address is http://127.0.0.1
    first = answer.json()["csrf"]
    two.sign_in(email)
    items = one.ok("GET", "/sessions")["items"]
    assert [item["current"] for item in items].count(True) == 1
    assert len(items) == 2
    assert max(len(item["agent"]) for item in items) == 120
    stranger = signed_in(team_app, "viewer")
    other = next(item["id"] for item in items if not item["current"])
    assert stranger.api("DELETE", f"/sessions/{other}").status_code == 404
    assert one.api("DELETE", f"/sessions/{other}").status_code == 204
    assert two.api("GET", "/models").status_code == 401
    two.sign_in(email)
    token = two.ok("POST", "/tokens", json={"name": "x", "scope": "read"})["token"]
    program = TestClient(team_app, base_url=BASE, headers={"Authorization": f"Bearer {token}"})
    assert program.get(f"{API}/models").status_code == 200
    changed = one.began(one.api("POST", "/session/password", json={"current": PASSWORD, "password": OTHER}))
    assert changed.status_code == 200
    assert changed.json()["csrf"] != first
    assert two.api("GET", "/models").status_code == 401
    assert one.api("GET", "/models").status_code == 200
    assert program.get(f"{API}/models").status_code == 401
    basic = {"Authorization": "Basic YTpi"}  # of a proxy in front: the session counts, and so does its token
    assert one.api("GET", "/models", headers=basic).status_code == 200
    assert one.api("POST", "/annotations", json=NOTE, headers=basic | {"X-CSRF-Token": "x"}).status_code == 403
    assert one.api("GET", "/models", headers={"Authorization": "Bearer x"}).status_code == 401
    assert one.api("DELETE", "/session").status_code == 204
    assert one.api("GET", "/models").status_code == 401
    assert Browser(team_app).sign_in(email).status_code == 403
    assert Browser(team_app).sign_in(email, OTHER).status_code == 200


def test_sessions_and_tokens_end_by_themselves(team_app: Any) -> None:
    browser = signed_in(team_app, "editor")
    token = browser.ok("POST", "/tokens", json={"name": "x", "scope": "write"})["token"]
    program = TestClient(team_app, base_url=BASE, headers={"Authorization": f"Bearer {token}"})
    assert program.get(f"{API}/models").status_code == 200
    assert browser.ok("GET", "/tokens")["items"][0]["used"] is not None
    for table, column, client in ((t.session, "seen", browser), (t.session, "expires", browser), (t.api_token, "expires", program)):
        store, kept = team_app.state.desk.store, rows(team_app, table)[0]
        with store.write() as connection:
            connection.execute(update(table).values({column: now(-4 * 86_400)}))
        assert client.get(f"{API}/models").status_code == 401, column
        with store.write() as connection:
            connection.execute(update(table).values({column: getattr(kept, column)}))
        assert client.get(f"{API}/models").status_code == 200


def test_tokens_do_what_their_scope_allows(team_app: Any) -> None:
    browser = signed_in(team_app, "admin")
    me = browser.ok("GET", "/session")["person"]["id"]
    made = {s: browser.ok("POST", "/tokens", json={"name": s, "scope": s}) for s in ("read", "write", "admin")}
    programs = {s: TestClient(team_app, base_url=BASE, headers={"Authorization": f"Bearer {m['token']}"}) for s, m in made.items()}
    allowed = {s: [] for s in programs}
    for scope, program in programs.items():
        allowed[scope] = [
            program.get(f"{API}/annotations").status_code,
            program.post(f"{API}/annotations", json=NOTE).status_code,
            program.get(f"{API}/audit").status_code,
            program.post(f"{API}/tokens", json={"name": "more", "scope": "admin"}).status_code,
        ]
    assert allowed == {"read": [200, 403, 403, 403], "write": [200, 201, 403, 403], "admin": [200, 201, 200, 403]}
    assert programs["read"].delete(f"{API}/members/{me}").status_code == 403  # oneself, which every role may otherwise
    assert programs["admin"].delete(f"{API}/members/{me}").status_code == 409
    assert programs["read"].post(f"{API}/notifications/read", json={}).status_code == 403
    assert programs["admin"].post(f"{API}/invitations", json={"role": "viewer"}).status_code == 403
    assert browser.api("DELETE", f"/tokens/{made['read']['id']}").status_code == 204
    assert programs["read"].get(f"{API}/annotations").status_code == 401
    assert signed_in(team_app, "viewer").api("DELETE", f"/tokens/{made['write']['id']}").status_code == 404
    for wrong in ("Bearer mt_wrong", "Bearer", "Basic YTpi", "Bearer mt_" + "x" * 500, "bearer mt_\xff"):
        assert (
            TestClient(team_app, base_url=BASE).get(f"{API}/models", headers={b"Authorization": wrong.encode("latin-1")}).status_code == 401
        )


def test_members(team_app: Any) -> None:
    admin, viewer = signed_in(team_app, "admin"), signed_in(team_app, "viewer")
    members = {m["person"]["name"]: m for m in admin.ok("GET", "/members")["items"]}
    assert members["Viewer"]["email"] == "viewer@lab.example"
    assert viewer.ok("GET", "/members")["items"][0]["email"] is None
    me, other = members["Admin"]["person"]["id"], members["Viewer"]["person"]["id"]
    for answer in (
        admin.api("PATCH", f"/members/{me}", json={"role": "editor"}),
        admin.api("DELETE", f"/members/{me}"),
        admin.api("POST", "/session/leave", json={"current": PASSWORD}),
        admin.api("DELETE", f"/accounts/{me}"),
    ):
        assert answer.status_code == 409, answer.text
        assert "last admin" in answer.json()["detail"]
    assert viewer.api("POST", "/annotations", json=NOTE).status_code == 403
    assert admin.ok("PATCH", f"/members/{other}", json={"role": "annotator"})["role"] == "annotator"
    assert viewer.api("POST", "/annotations", json=NOTE).status_code == 201  # at once, without signing in again
    assert viewer.api("DELETE", f"/members/{me}").status_code == 403
    assert admin.api("PATCH", "/members/nobody", json={"role": "viewer"}).status_code == 404
    assert admin.api("DELETE", f"/members/{other}").status_code == 204
    assert viewer.api("GET", "/models").status_code == 403
    assert viewer.ok("GET", "/session")["role"] is None
    link = admin.ok("POST", "/invitations", json={"role": "viewer", "email": "someone@lab.example"})["url"].split("#")[1]
    assert viewer.api("POST", "/invitations/accept", json={"token": link}).status_code == 422
    link = admin.ok("POST", "/invitations", json={"role": "editor", "email": "Viewer@lab.example"})["url"].split("#")[1]
    assert viewer.ok("POST", "/invitations/accept", json={"token": link})["role"] == "editor"
    assert admin.api("DELETE", f"/accounts/{other}").status_code == 204
    assert viewer.api("GET", "/session").json()["person"] is None


def test_a_lost_password(team_app: Any) -> None:
    admin, browser = signed_in(team_app, "admin"), signed_in(team_app, "viewer")
    token = browser.ok("POST", "/tokens", json={"name": "x", "scope": "read"})["token"]
    person = browser.ok("GET", "/session")["person"]["id"]
    link = admin.ok("POST", f"/members/{person}/reset")["url"].split("#")[1]
    new = Browser(team_app)
    assert new.ok("POST", "/invitations/open", json={"token": link})["purpose"] == "new-password"
    assert new.began(new.api("POST", "/invitations/accept", json={"token": link, "password": OTHER})).json()["person"]["id"] == person
    assert new.api("POST", "/invitations/accept", json={"token": link, "password": OTHER}).status_code == 404
    assert browser.api("GET", "/models").status_code == 401
    assert TestClient(team_app, base_url=BASE).get(f"{API}/models", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert Browser(team_app).sign_in("viewer@lab.example").status_code == 403
    assert Browser(team_app).sign_in("viewer@lab.example", OTHER).status_code == 200


def test_workspaces(team_app: Any) -> None:
    admin, viewer = signed_in(team_app, "admin"), signed_in(team_app, "viewer")
    here = admin.ok("POST", "/annotations", json=NOTE)
    room = admin.ok("POST", "/workspaces", json={"name": "Second room"})
    there = {"X-Workspace": room["id"]}
    assert [w["name"] for w in admin.ok("GET", "/workspaces")["items"]] == ["Main", "Second room"]
    note = admin.ok("POST", "/annotations", json=NOTE, headers=there)
    assert [a["id"] for a in admin.ok("GET", "/annotations")["items"]] == [here["id"]]
    assert [a["id"] for a in admin.ok("GET", "/annotations", headers=there)["items"]] == [note["id"]]
    assert viewer.api("GET", "/annotations", headers=there).status_code == 404
    assert admin.ok("PATCH", f"/workspaces/{room['id']}", json={"name": "Cellar"}, headers=there)["name"] == "Cellar"
    assert admin.api("PATCH", f"/workspaces/{room['id']}", json={"name": "Attic"}).status_code == 404
    assert admin.api("POST", "/workspaces", json={"name": "x"}, headers=there).status_code == 403
    assert [line["workspace"] for line in admin.ok("GET", "/audit", headers=there)["items"]] == [room["id"]] * 3
    page = admin.ok("GET", "/audit", params={"limit": 2})
    more = admin.ok("GET", "/audit", params={"limit": 2, "cursor": page["next"]})
    assert page["items"][-1]["id"] > more["items"][0]["id"]


def test_guessers_have_to_wait(team_app: Any) -> None:
    email = account(team_app, "viewer")
    answers = {}
    for who in (email, "nobody@lab.example"):
        browser = Browser(team_app)
        answers[who] = [browser.sign_in(who, f"wrong {i}") for i in range(6)]
    known, unknown = ([(a.status_code, a.json()["detail"]) for a in of] for of in answers.values())
    assert known == unknown  # whether there is such an account cannot be told
    assert [status for status, _ in known] == [403] * 5 + [429]
    assert 1 <= int(answers[email][-1].headers["retry-after"]) <= 5
    assert Browser(team_app).sign_in(email).status_code == 429  # also with the right password
    with team_app.state.desk.store.write() as connection:
        connection.execute(update(t.failure).values(until=0.0))
    assert Browser(team_app).sign_in(email).status_code == 200
    assert email not in str(rows(team_app, t.failure))


def test_an_address_that_tries_many_accounts_has_to_wait(team_app: Any) -> None:
    browser = Browser(team_app)
    statuses = [browser.sign_in(f"person{i}@lab.example", "wrong").status_code for i in range(21)]
    assert statuses == [403] * 20 + [429]


def test_the_python_client_with_a_token(team_app: Any) -> None:
    admin = signed_in(team_app, "admin")
    room = admin.ok("POST", "/workspaces", json={"name": "Second room"})["id"]
    token = admin.ok("POST", "/tokens", json={"name": "notebook", "scope": "write"})["token"]
    with serving(team_app) as url:
        with Client(url, token=token, workspace=room) as there, Client(url, token=token) as here:
            note = there.annotate("note", "fake", "stage1", 1, "from a notebook")
            assert [a["id"] for a in there.annotations()] == [note["id"]]
            assert list(here.annotations()) == []
        with Client(url) as nobody, pytest.raises(ClientError) as refused:
            nobody.models()
    assert refused.value.status == 401
