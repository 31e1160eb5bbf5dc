"""Hypothesis cards over HTTP: the whole way, preconditions, retries, what the routes refuse, exports."""

from __future__ import annotations

import csv
import io
import time
from typing import Any

import pytest

from tests.api.team import signed_in

API = "/api/v1"


def units(index: int) -> dict[str, Any]:
    return {"model": "fake", "probe": "fake-probe", "units": {"layer": "stage1", "indices": [index]}}


NEW: dict[str, Any] = {
    "statement": "Unit 5 carries the sea.", "prediction": "Without it accuracy falls by more than 3 points.",
    "test": {"method": "ablate-units", "subjects": units(5)}, "control": {"subjects": units(1)},
    "reference": {"item": "effect", "name": "all"}, "comparison": "below", "threshold": -3,
}  # fmt: skip


def test_the_whole_way(client: Any) -> None:
    made = client.post(f"{API}/hypotheses", json=NEW, headers={"Idempotency-Key": "a"})
    assert (made.status_code, made.headers["etag"], made.json()["state"]) == (201, '"1"', "draft")
    path = f"{API}/hypotheses/{made.json()['id']}"
    assert client.post(f"{path}/start").status_code == 428
    assert client.get(f"{API}/hypotheses/numbers", params={"method": "ablate-units"}).json() == {"items": []}
    key = {"Idempotency-Key": "s", "If-Match": '"1"'}
    started = client.post(f"{path}/start", headers=key)
    assert (started.status_code, started.json()["state"], started.headers["etag"]) == (200, "supported", '"2"')
    assert client.post(f"{path}/start", headers=key).json() == started.json()
    assert client.post(f"{path}/start", headers={"If-Match": '"2"'}).status_code == 409
    locked = client.patch(path, json={"threshold": -1}, headers={"If-Match": '"2"'})
    assert (locked.status_code, "Make a new hypothesis" in locked.json()["detail"]) == (409, True)
    assert client.patch(path, json={"note": "so"}, headers={"If-Match": '"2"'}).json()["note"] == "so"
    offered = client.get(f"{API}/hypotheses/numbers", params={"method": "ablate-units", "model": "fake"}).json()["items"]
    assert [o["reference"]["name"] for o in offered] == ["all"]
    assert client.get(f"{API}/hypotheses", params={"state": "supported", "model": "fake"}).json()["items"][0]["id"] == made.json()["id"]
    assert client.get(f"{API}/hypotheses", params={"state": "refuted"}).json()["items"] == []
    rows = list(csv.DictReader(io.StringIO(client.get(f"{API}/hypotheses/export").text)))
    assert [(r["test_value"], r["control_value"], r["state"]) for r in rows] == [("-5.0", "-1.0", "supported")]
    whole = client.get(f"{API}/hypotheses/export", params={"format": "json"}).json()["hypotheses"]
    assert whole == client.get(f"{API}/hypotheses").json()["items"]
    bell = client.get(f"{API}/notifications").json()["items"]
    assert [(n["kind"], n["subject"], n["subject_id"]) for n in bell] == [("outcome", "hypothesis", made.json()["id"])]
    gone = client.delete(path, headers={"If-Match": '"3"'})
    assert gone.json()["deleted"]
    assert client.get(path).status_code == 404
    assert client.post(f"{path}/restore", json={"revision": 3}, headers={"If-Match": '"4"'}).json()["state"] == "supported"
    assert len(client.get(f"{path}/history").json()["items"]) == 5


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"statement": "  "}, "statement"), ({"threshold": 1e300}, "threshold"), ({"comparison": "equal"}, "comparison"),
        ({"control": {"subjects": units(5)}}, "control"), ({"control": {"subjects": units(77)}}, "control.subjects.units.indices"),
        ({"reference": {"item": ""}}, "reference.item"), ({"state": "supported"}, "state"),
        ({"test": {"method": "ablate-units", "subjects": {"model": "fake"}}}, "test.subjects.probe"),
    ],
)  # fmt: skip
def test_what_is_refused(shared_client: Any, change: Any, field: str) -> None:
    answer = shared_client.post(f"{API}/hypotheses", json=NEW | change)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_the_server_tells_the_author_when_runs_end_elsewhere(settings: Any, make_engine: Any) -> None:
    from fastapi.testclient import TestClient

    from microtome.api.app import create_app

    engine = make_engine(settings)
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    engine.executor = "none"
    with TestClient(create_app(settings, engine=engine), base_url="http://127.0.0.1:8000") as client:
        made = client.post(f"{API}/hypotheses", json=NEW).json()
        path = f"{API}/hypotheses/{made['id']}"
        waiting = client.post(f"{path}/start", headers={"If-Match": '"1"'}).json()
        assert waiting["state"] == "waiting"
        for side in ("test_side", "control_side"):
            client.post(f"{API}/runs/{waiting[side]['run']}/cancel")
        end = time.monotonic() + 30
        while not client.get(f"{API}/notifications").json()["items"]:
            assert time.monotonic() < end, "nobody was told"
            time.sleep(0.05)
        assert client.get(path).json()["state"] == "failed"


def test_workspaces_are_separate_and_events_private(team_app: Any) -> None:
    ada, ben = (signed_in(team_app, "annotator", name) for name in ("ada", "ben"))
    admin = signed_in(team_app, "admin")
    room = admin.ok("POST", "/workspaces", json={"name": "elsewhere"})["id"]
    zoe = signed_in(team_app, "admin", "zoe", room)
    made = ada.ok("POST", "/hypotheses", json=NEW)
    secret = ada.ok("POST", "/hypotheses", json=NEW | {"visibility": "private"})
    for who, card, status in ((ben, made, 200), (zoe, made, 404), (ben, secret, 404), (admin, secret, 404), (ada, secret, 200)):
        assert who.api("GET", f"/hypotheses/{card['id']}").status_code == status
        assert who.api("GET", f"/hypotheses/{card['id']}/history").status_code == status
    assert zoe.ok("GET", "/hypotheses")["items"] == []
    assert [h["id"] for h in ben.ok("GET", "/hypotheses")["items"]] == [made["id"]]
    assert ben.api("POST", f"/hypotheses/{made['id']}/start", headers={"If-Match": '"1"'}).status_code == 403
    events = team_app.state.desk.engine.events.after(0, 1000)
    heard = {row.data["id"]: (row.workspace_id, row.person_id) for row in events if row.type == "hypothesis"}
    assert heard == {made["id"]: ("main", None), secret["id"]: ("main", secret["author"]["id"])}
