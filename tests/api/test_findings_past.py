"""Findings as they were: who reads which revision, what a refused change leaves behind, and what a check says of which revision."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from sqlalchemy import func, select, update

from microtome.core.errors import Conflict
from microtome.store import tables as t
from tests.api.team import Browser, signed_in
from tests.api.test_findings import IOU, VIEW, key_of, new, send

API = "/api/v1"


@pytest.fixture
def engine_of(client: Any) -> Any:
    return client.app.state.desk.engine


def count(engine: Any, table: Any) -> int:
    with engine.store.read() as connection:
        return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def test_what_was_written_in_private_stays_there(team_app: Any) -> None:
    engine = team_app.state.desk.engine
    ann, ben, eve, nobody = (*(signed_in(team_app, role, name) for role, name in
                               (("annotator", "ann"), ("annotator", "ben"), ("editor", "eve"))), Browser(team_app))  # fmt: skip
    secret, shown = key_of(engine, "predictions", ""), key_of(engine)
    row = {"group": "other", "test": "not yet for others", "key": shown, "reference": {**IOU, "row": 5}}
    panel = {"kind": "result", "key": secret, "item": engine.results.items(secret)[0].name}
    draft = ann.ok("POST", "/findings", json={
        "title": "A secret", "body": "Patient 17", "visibility": "private", "evidence": [row], "figures": [{"panels": [panel]}],
    })  # fmt: skip
    path, view = f"/findings/{draft['id']}", draft["figures"][0]["share"]
    check = ann.ok("POST", f"{path}/check")
    assert check["outcome"]["state"] == "unchanged"
    clean = {**new(shown), "title": "For all", "body": "", "visibility": "link"}
    open_ = ann.ok("PATCH", path, json=clean, headers={"If-Match": '"1"'})
    for who in (ben, eve, nobody):
        assert [r["revision"] for r in who.ok("GET", f"{path}/history")["items"]] == [2]
        told = who.ok("GET", path)
        assert (told["title"], told["checks"], told["status"]["check"]) == ("For all", [], None)
        for old in ("?revision=1", "/export?format=json&revision=1", "/figures/1?format=csv&revision=1"):
            assert who.api("GET", path + old).status_code == 404, old
        assert who.ok("GET", f"{path}/checks")["items"] == []
        assert who.api("GET", f"/shares/{view}").status_code == 404
        assert who.ok("GET", f"/shares/{open_['figures'][0]['share']}")["state"]
    back = eve.api("POST", f"{path}/restore", json={"revision": 1}, headers={"If-Match": '"2"'})
    assert back.status_code == 404, back.text
    for link in (draft["id"], view):
        assert nobody.api("GET", f"/results/{secret}", headers={"X-Share": link}).status_code == 401
    again = check["outcome"]["results"][0]["now"]
    assert nobody.api("GET", f"/results/{again}", headers={"X-Share": draft["id"]}).status_code == 401
    assert nobody.api("GET", f"/results/{shown}", headers={"X-Share": draft["id"]}).status_code == 200
    assert [r["revision"] for r in ann.ok("GET", f"{path}/history")["items"]] == [1, 2]
    assert ann.ok("GET", f"{path}?revision=1")["body"] == "Patient 17"
    assert ann.ok("GET", f"/shares/{view}")["id"] == view
    assert len(ann.ok("GET", f"{path}/checks")["items"]) == 1


def test_whom_a_private_finding_is_shown_to_reads_its_past(team_app: Any) -> None:
    ann, ben, cat = (signed_in(team_app, "annotator", name) for name in ("ann", "ben", "cat"))
    made = ann.ok("POST", "/findings", json={"title": "t", "visibility": "private"})
    person = {name: browser.ok("GET", "/session")["person"]["id"] for name, browser in (("ben", ben), ("cat", cat))}
    path = f"/findings/{made['id']}"
    ann.ok("PUT", "/permits", json={"subject": "finding", "subject_id": made["id"], "people": [person["ben"]]})
    ann.ok("PATCH", path, json={"title": "now for all", "visibility": "workspace"}, headers={"If-Match": '"1"'})
    assert [r["title"] for r in ben.ok("GET", f"{path}/history")["items"]] == ["t", "now for all"]
    assert [r["title"] for r in cat.ok("GET", f"{path}/history")["items"]] == ["now for all"]


def test_who_cannot_see_it_is_not_told_of_it(team_app: Any) -> None:
    ann, ben, cat = (signed_in(team_app, "annotator", name) for name in ("ann", "ben", "cat"))
    made = ann.ok("POST", "/findings", json={"title": "t", "visibility": "private"})
    ben_id = ben.ok("GET", "/session")["person"]["id"]
    ann.ok("PUT", "/permits", json={"subject": "finding", "subject_id": made["id"], "people": [ben_id]})
    said = {"subject": "finding", "subject_id": made["id"]}
    comment = ann.ok("POST", "/comments", json={**said, "body": "Look, @Ben and @Cat"})
    assert [person["name"] for person in comment["mentions"]] == ["Ben"]
    assert [n["kind"] for n in ben.ok("GET", "/notifications")["items"]] == ["mention", "shared"]
    assert cat.ok("GET", "/notifications")["items"] == []
    ben.ok("POST", "/comments", json={**said, "body": "Yes", "parent": comment["id"]})
    ann.ok("PUT", "/permits", json={**said, "people": []})
    ann.ok("POST", "/comments", json={**said, "body": "Now alone", "parent": comment["id"]})
    assert "reply" not in [n["kind"] for n in ben.ok("GET", "/notifications")["items"]]


def test_a_deleted_finding_is_not_talked_about_by_those_who_do_not_see_it(team_app: Any) -> None:
    ann, ben = signed_in(team_app, "annotator", "ann"), signed_in(team_app, "annotator", "ben")
    made = ann.ok("POST", "/findings", json={"title": "t"})
    said = {"subject": "finding", "subject_id": made["id"]}
    ann.ok("POST", "/comments", json={**said, "body": "First"})
    assert len(ben.ok("GET", "/comments", params=said)["items"]) == 1
    ann.ok("DELETE", f"/findings/{made['id']}", headers={"If-Match": '"1"'})
    assert ben.api("GET", "/comments", params=said).status_code == 404
    assert ben.api("POST", "/comments", json={**said, "body": "Why?"}).status_code == 404
    assert ben.api("POST", f"/findings/{made['id']}/restore", json={"revision": 1}, headers={"If-Match": '"2"'}).status_code == 404
    assert ann.api("POST", f"/findings/{made['id']}/check").status_code == 409


def test_other_workspaces_read_a_public_one_and_do_not_check_it(team_app: Any) -> None:
    ann, admin = signed_in(team_app, "annotator", "ann"), signed_in(team_app, "admin", "zoe")
    other = admin.ok("POST", "/workspaces", json={"name": "Elsewhere"})["id"]
    key = key_of(team_app.state.desk.engine)
    made = ann.ok("POST", "/findings", json={"title": "t", "visibility": "public", "evidence": new(key)["evidence"]})
    there = {"X-Workspace": other}
    assert admin.api("GET", f"/findings/{made['id']}", headers=there).status_code == 200
    before = count(team_app.state.desk.engine, t.run)
    assert admin.api("POST", f"/findings/{made['id']}/check", headers=there).status_code == 403
    assert count(team_app.state.desk.engine, t.run) == before
    assert admin.api("GET", f"/comments?subject=finding&subject_id={made['id']}", headers=there).status_code == 404


def test_a_refused_change_leaves_nothing_behind(team_app: Any) -> None:
    engine = team_app.state.desk.engine
    ann, ben = signed_in(team_app, "annotator", "ann"), signed_in(team_app, "annotator", "ben")
    key = key_of(engine)
    made = ann.ok("POST", "/findings", json={"title": "t", "figures": [{"state": VIEW}]})
    shares, pins = count(engine, t.share), count(engine, t.share_result)
    more = {"figures": [{"state": VIEW}, {"share": made["figures"][0]["share"], "panels": [{"kind": "result", "key": key, "item": "iou"}]}]}
    path = f"/findings/{made['id']}"
    assert ben.api("PATCH", path, json=more, headers={"If-Match": '"1"'}).status_code == 403
    assert ann.api("PATCH", path, json=more, headers={"If-Match": '"7"'}).status_code == 412
    assert ann.api("PATCH", path, json=more).status_code == 428
    assert (count(engine, t.share), count(engine, t.share_result)) == (shares, pins)
    ann.ok("PATCH", path, json=more, headers={"If-Match": '"1"'})
    assert count(engine, t.share) == shares + 1


def test_another_request_under_the_key_of_a_refused_one_gets_its_own_views(client: Any, engine_of: Any) -> None:
    key = key_of(engine_of)
    body, mark = new(key), {"Idempotency-Key": "once"}
    wrong = {**body, "evidence": [{**body["evidence"][0], "key": "0" * 64}]}
    send(client, "POST", "/findings", 404, json=wrong, headers=mark)  # its views were frozen; the key is free again
    other = {**VIEW, "selected": {"layer": "stage1", "unit": 1}}
    made = send(client, "POST", "/findings", 201, json={**body, "figures": [{"state": other}]}, headers=mark)
    assert made["figures"][0]["state"]["selected"]["unit"] == 1


def test_a_retry_after_the_views_were_frozen_finds_them(client: Any, engine_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server dies between freezing the views and writing the finding."""
    from microtome.collab.findings.findings import Findings

    body, mark, whole = new(key_of(engine_of)), {"Idempotency-Key": "crash"}, Findings.create

    def dies(*args: Any, **more: Any) -> Any:
        raise RuntimeError("killed")

    send(client, "POST", "/findings", 201, json={"title": "a person has a cookie by now"})
    monkeypatch.setattr(Findings, "create", dies)
    send(client, "POST", "/findings", 500, json=body, headers=mark)
    shares = count(engine_of, t.share)
    assert shares == 2
    monkeypatch.setattr(Findings, "create", whole)
    made = send(client, "POST", "/findings", 201, json=body, headers=mark)
    assert len(made["figures"]) == 2
    assert count(engine_of, t.share) == shares


def test_it_is_listed_under_what_it_rests_on_now(client: Any, engine_of: Any) -> None:
    made = send(client, "POST", "/findings", 201, json={"title": "a plan"})
    assert made["model"] is None
    path = f"/findings/{made['id']}"
    changed = send(client, "PATCH", path, 200, json={"evidence": new(key_of(engine_of))["evidence"]}, headers={"If-Match": '"1"'})
    assert (changed["model"], changed["probe"]) == ("fake", "fake-probe")
    assert [f["id"] for f in send(client, "GET", "/findings?model=fake", 200)["items"]] == [made["id"]]
    send(client, "POST", f"{path}/restore", 200, json={"revision": 1}, headers={"If-Match": '"2"'})
    assert send(client, "GET", "/findings?model=fake", 200)["items"] == []


def test_a_check_says_nothing_of_other_revisions(client: Any, engine_of: Any) -> None:
    key = key_of(engine_of)
    row = new(key)["evidence"][0]
    made = send(client, "POST", "/findings", 201, json={"title": "t", "evidence": [row]})
    path = f"/findings/{made['id']}"
    send(client, "POST", f"{path}/check", 202)
    assert send(client, "GET", path, 200)["status"]["state"] == "verified"
    other = {**row, "reference": {**IOU, "row": 5}}
    changed = send(client, "PATCH", path, 200, json={"evidence": [other, row]}, headers={"If-Match": '"1"'})
    assert changed["status"] == {"state": "fresh", "drift": [], "check": None}
    assert len(changed["checks"]) == 1
    page = client.get(f"{API}{path}/export?format=html").text
    assert "Again</th>" not in page, "the numbers of revision 1 do not stand beside those of revision 2"
    old = send(client, "GET", f"{path}?revision=1", 200)
    assert old["status"]["check"]["revision"] == 1
    assert old["status"]["state"] == "verified"
    assert "Again</th>" in client.get(f"{API}{path}/export?format=html&revision=1").text


def test_a_check_that_cannot_be_compared_keeps_nothing_from_going_on(client: Any, engine_of: Any) -> None:
    desk = client.app.state.desk
    key = key_of(engine_of)
    evidence = new(key)["evidence"]
    broken, whole = (send(client, "POST", "/findings", 201, json={"title": x, "evidence": evidence}) for x in ("one", "two"))
    for finding in (broken, whole):
        send(client, "POST", f"/findings/{finding['id']}/check", 202)
    c = t.finding_check.c
    with engine_of.store.write() as connection:  # as before a server was killed; and a run of the older one is gone
        connection.execute(update(t.finding_check).values(outcome=None, ended=None))
        row = connection.execute(select(t.finding_check).where(c.finding_id == broken["id"])).one()
        entries = [{**entry, "run": "gone"} for entry in row.entries]
        connection.execute(update(t.finding_check).where(c.id == row.id).values(entries=entries))
    desk.verifier.settle_open()
    assert desk.finding_checks.unsettled() == []
    assert send(client, "GET", f"/findings/{whole['id']}", 200)["status"]["state"] == "verified"
    told = send(client, "GET", f"/findings/{broken['id']}", 200)["status"]
    assert told["state"] == "failed"
    assert "gone" in told["check"]["outcome"]["results"][0]["why"]
    send(client, "POST", f"/findings/{broken['id']}/check", 202)
    assert send(client, "GET", f"/findings/{broken['id']}", 200)["status"]["state"] == "verified"


def test_of_two_who_check_at_once_one_does(client: Any, engine_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = client.app.state.desk
    made = send(client, "POST", "/findings", 201, json={"title": "t", "evidence": new(key_of(engine_of))["evidence"]})
    monkeypatch.setattr(engine_of, "executor", "none")  # runs stay queued
    row, me = desk.findings.any(made["id"]), desk.people.create("Both")
    gate, found = threading.Barrier(2), []
    whole = engine_of.check

    def together(*args: Any) -> Any:
        gate.wait(20)
        return whole(*args)

    monkeypatch.setattr(engine_of, "check", together)

    def begin() -> None:
        try:
            found.append(desk.verifier.begin(me, row).id)
        except Conflict as error:
            found.append(error.detail)

    threads = [threading.Thread(target=begin) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len([x for x in found if "being checked already" in x]) == 1, found
    with engine_of.store.read() as connection:
        states = sorted(connection.execute(select(t.run.c.state).where(t.run.c.method == "check")).scalars())
    assert states == ["cancelled", "queued"], "who came second takes back what it had queued"
    assert len(desk.finding_checks.unsettled()) == 1


@pytest.mark.parametrize("gone", ["evicted", "kept"])
def test_a_result_that_is_dropped_while_a_finding_is_written(client: Any, engine_of: Any, gone: str) -> None:
    """Between reading a number and pinning its result an eviction may come; one that begins later spares what is pinned by then."""
    from microtome.api.findings.compose import compose
    from microtome.api.schemas.findings import NewFinding

    desk, key = client.app.state.desk, key_of(engine_of)
    me = desk.people.create("Ann")
    content = compose(desk, me, NewFinding.model_validate({"title": "t", "evidence": new(key)["evidence"]}), None)
    if gone == "evicted":
        engine_of.results.drop([key], unless_pinned=True)
        with pytest.raises(Conflict, match="dropped a moment ago"):
            desk.findings.create(me, content, token=None)
        assert count(engine_of, t.finding) == 0
    else:
        desk.findings.create(me, content, token=None)
        assert engine_of.results.drop([key], unless_pinned=True) == 0
        assert engine_of.results.stored([key]) == {key}


def test_only_its_author_shows_a_private_one_to_others(team_app: Any) -> None:
    ann, eve = signed_in(team_app, "annotator", "ann"), signed_in(team_app, "editor", "eve")
    made = ann.ok("POST", "/findings", json={"title": "t", "visibility": "private"})
    eve_id = eve.ok("GET", "/session")["person"]["id"]
    ann.ok("PUT", "/permits", json={"subject": "finding", "subject_id": made["id"], "people": [eve_id]})
    path = f"/findings/{made['id']}"
    shares = count(team_app.state.desk.engine, t.share)
    wide = {"visibility": "public", "figures": [{"state": VIEW}]}
    assert eve.api("PATCH", path, json=wide, headers={"If-Match": '"1"'}).status_code == 403
    assert count(team_app.state.desk.engine, t.share) == shares
    eve.ok("PATCH", path, json={"title": "with her words"}, headers={"If-Match": '"1"'})
    ann.ok("PATCH", path, json={"visibility": "public"}, headers={"If-Match": '"2"'})
