"""Studies over HTTP: shapes, roles, pictures, and that the right answer does not leave the server before the study is closed."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select, update

from microtome.api.study_pictures import outlined, overlay
from microtome.store import tables as t
from tests.api.team import Browser, signed_in

API = "/api/v1"
GUESS = {
    "kind": "guess-label", "model": "fake", "probe": "fake-probe", "tasks": 4, "choices": 2, "exemplars": 2, "attention": 0,
    "conditions": [{"name": "with regions", "show": "regions"}, {"name": "random", "show": "random"}],
}  # fmt: skip
MAPS = [{"name": "with Grad-CAM", "method": "grad-cam"}, {"name": "without"}]
FORWARD = {
    "kind": "forward-simulation",
    "model": "fake",
    "probe": "fake-probe",
    "tasks": 4,
    "attention": 0,
    "conditions": MAPS,
    "choices": 3,
}
BETTER = {"kind": "better-model", "pairs": [["fake", "fake2"]], "probe": "fake-probe", "tasks": 4, "attention": 0, "conditions": MAPS}


def opened(eve: Any, design: Any) -> str:
    made = eve.ok("POST", "/studies", json={"name": "Study", "instructions": "*Look*.", "design": design})
    path = f"/studies/{made['id']}"
    assert eve.ok("POST", f"{path}/prepare", headers={"If-Match": '"1"'})["preparation"]["step"] == "ready"
    assert eve.ok("POST", f"{path}/open", headers={"If-Match": '"1"'})["state"] == "open"
    return path


def everything(who: Browser, path: str) -> list[tuple[str, int, str, bytes]]:
    """All that a participant can read of a study on the way through it."""
    seen = []

    def note(answer: Any) -> Any:
        headers = {k: v for k, v in answer.headers.items() if k not in ("date", "server-timing", "content-security-policy")}
        seen.append((str(answer.request.url), answer.status_code, json.dumps(headers, sort_keys=True), answer.content))
        return answer

    reads = (path, "/studies", f"{path}/results", f"{path}/history", f"{path}/export")  # one's answers hold times: they are looked at below
    while True:
        given = note(who.api("POST", f"{path}/next")).json()
        for read in reads:
            note(who.api("GET", read))
        if given["task"] is None:
            return seen
        for picture in given["task"]["pictures"]:
            note(who.api("GET", f"{path}/tasks/{given['task']['place']}/pictures/{picture['number']}"))
        answer = {"place": given["task"]["place"], "choice": 0, "confidence": 3}
        note(who.api("POST", f"{path}/answers", json=answer))
        assert who.api("GET", f"{path}/answers").json()["items"][-1]["correct"] is None


@pytest.mark.parametrize("design", [GUESS, FORWARD, BETTER], ids=lambda d: d["kind"])
def test_the_right_answer_does_not_leave_the_server(team_app: Any, design: Any) -> None:
    """What a participant gets is the same, byte for byte, when other choices are right; and it names nothing that leads to them."""
    desk = team_app.state.desk
    desk.engine.add_source("add-model", "builtin:fake2")
    eve, ada = signed_in(team_app, "editor", "eve"), signed_in(team_app, "annotator", "ada")
    path = opened(eve, design)
    before = everything(ada, path)
    with desk.store.read() as connection:
        tasks = list(connection.execute(select(t.study_task)))
    with desk.store.write() as connection:
        for table in (t.study_answer, t.study_shown, t.study_participant):
            connection.execute(table.delete())
        for task in tasks:
            mine = (t.study_task.c.study_id == task.study_id) & (t.study_task.c.number == task.number)
            connection.execute(update(t.study_task).where(mine).values(truth=(task.truth + 1) % len(task.choices)))
    assert everything(ada, path) == before
    statuses = {status for _, status, _, _ in before}
    assert statuses == {200, 403}  # results, history and export are refused
    told = b"".join(body for url, status, _, body in before if status == 200 and "/pictures/" not in url)
    for word in (b"truth", b"seed", b'grad-cam"', b"stage1", b"fake2", b"example", b'"correct": true'):
        assert word not in told, word
    for task in tasks:
        for key in [task.content.get("key", "no key"), *[k for keys in task.content["maps"].values() for k in keys]]:
            assert key.encode() not in told


def test_the_whole_way(team_app: Any) -> None:
    eve, ada, ben = signed_in(team_app, "editor", "eve"), signed_in(team_app, "annotator", "ada"), signed_in(team_app, "annotator", "ben")
    viewer = signed_in(team_app, "viewer")
    assert ada.api("POST", "/studies", json={"name": "x", "design": GUESS}).status_code == 403
    path = opened(eve, GUESS)
    assert viewer.api("POST", f"{path}/next").status_code == 403
    given = ada.ok("POST", f"{path}/next")
    assert (given["answered"], given["of"], len(given["task"]["choices"])) == (0, 4, 2)
    assert ada.api("GET", f"{path}/tasks/0/pictures/2").status_code == 404
    assert "shows pictures" in ada.api("GET", f"{path}/tasks/0/passages/0").json()["detail"]
    assert ada.api("GET", f"{path}/tasks/1/pictures/0").status_code == 404
    assert ben.api("GET", f"{path}/tasks/0/pictures/0").status_code == 404
    picture = ada.api("GET", f"{path}/tasks/0/pictures/0", params={"size": 100})
    assert (picture.headers["content-type"], picture.headers["cache-control"]) == ("image/webp", "no-store")
    assert max(Image.open(io.BytesIO(picture.content)).size) == 100
    answer = {"place": 0, "choice": 1, "confidence": 5, "milliseconds": 1234}
    key = {"Idempotency-Key": "k"}
    first = ada.ok("POST", f"{path}/answers", json=answer, headers=key)
    assert ada.ok("POST", f"{path}/answers", json=answer, headers=key) == first == ada.ok("POST", f"{path}/answers", json=answer)
    assert ada.api("POST", f"{path}/answers", json=answer | {"choice": 0}).status_code == 409
    assert ada.api("POST", f"{path}/answers", json=answer | {"place": 3}).status_code == 409
    assert [a["milliseconds"] for a in ada.ok("GET", f"{path}/answers")["items"]] == [1234]
    assert ben.ok("GET", f"{path}/answers")["items"] == []
    assert ada.api("GET", f"{path}/results").status_code == 403
    assert eve.ok("GET", f"{path}/results")["participants"] == {"answered": 1, "finished": 0, "inattentive": 0, "counted": 0}
    csv = eve.api("GET", f"{path}/export")
    assert "attachment" in csv.headers["content-disposition"]
    assert len(csv.text.splitlines()) == 2
    assert eve.api("PATCH", path, json={"name": "x"}, headers={"If-Match": '"2"'}).status_code == 409
    assert eve.ok("POST", f"{path}/close", headers={"If-Match": '"2"'})["state"] == "closed"
    assert ada.ok("GET", f"{path}/results")["conditions"][0]["accuracy"] is None  # nobody finished
    assert ada.ok("GET", f"{path}/answers")["items"][0]["correct"] in (True, False)
    assert ada.api("POST", f"{path}/answers", json=answer | {"place": 1}).status_code == 409
    assert ada.api("GET", f"{path}/export").status_code == 403


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"tasks": 5}, "design.guess-label"), ({"probe": "nope"}, "subjects.probe"), ({"layers": ["nope"]}, "subjects.layers"),
        ({"kind": "nope"}, "design"), ({"conditions": []}, "design.guess-label.conditions"),
    ],
)  # fmt: skip
def test_what_is_refused(shared_client: Any, change: Any, field: str) -> None:
    answer = shared_client.post(f"{API}/studies", json={"name": "x", "design": GUESS | change})
    assert answer.status_code in (404, 422)
    assert answer.json()["field"].startswith(field)


def test_a_method_that_makes_no_map_is_refused(shared_client: Any) -> None:
    conditions = [{"name": "a", "method": "unit-map"}, {"name": "b"}]
    answer = shared_client.post(f"{API}/studies", json={"name": "x", "design": FORWARD | {"conditions": conditions}})
    assert (answer.status_code, answer.json()["field"]) == (422, "design.conditions.0.method")


def test_workspaces_are_separate(team_app: Any) -> None:
    eve, admin = signed_in(team_app, "editor", "eve"), signed_in(team_app, "admin")
    room = admin.ok("POST", "/workspaces", json={"name": "elsewhere"})["id"]
    zoe = signed_in(team_app, "admin", "zoe", room)
    path = opened(eve, GUESS)
    assert zoe.ok("GET", "/studies")["items"] == []
    for method, place in (
        ("GET", ""),
        ("GET", "/history"),
        ("GET", "/answers"),
        ("GET", "/results"),
        ("GET", "/export"),
        ("POST", "/next"),
    ):
        assert zoe.api(method, path + place).status_code == 404
    assert zoe.api("POST", f"{path}/close", headers={"If-Match": '"2"'}).status_code == 404
    events = [row for row in team_app.state.desk.engine.events.after(0, 1000) if row.type == "study"]
    assert {row.workspace_id for row in events} == {"main"}


def test_the_server_goes_on_when_runs_end_elsewhere(settings: Any, make_engine: Any) -> None:
    from fastapi.testclient import TestClient

    from microtome.api.app import create_app

    engine = make_engine(settings)
    engine.add_source("add-model", "builtin:fake")
    engine.add_source("add-probe", "builtin:fake-probe")
    with TestClient(create_app(settings, engine=engine), base_url="http://127.0.0.1:8000") as client:
        made = client.post(f"{API}/studies", json={"name": "x", "design": GUESS}).json()
        engine.executor = "none"
        path = f"{API}/studies/{made['id']}"
        assert client.post(f"{path}/prepare", headers={"If-Match": '"1"'}).json()["preparation"]["step"] == "measuring"
        engine._worker().finish(client.get(f"{API}/runs", params={"state": "queued"}).json()["items"][0]["id"])
        end = time.monotonic() + 30
        while client.get(path).json()["preparation"]["step"] != "ready":
            assert time.monotonic() < end, "nobody took the next step"
            time.sleep(0.05)


def test_pictures_show_region_and_map_where_they_are() -> None:
    image = np.full((40, 60, 3), 200, np.uint8)
    values = np.zeros((2, 3), np.float32)
    values[0, 0] = 1
    drawn = outlined(image, values, 0.5).astype(int)
    assert drawn[4, 4].tolist() == [200] * 3  # inside it is as it was
    assert (drawn[35, 55] < 180).all()  # outside it is dimmed
    covered = overlay(image, values * np.float32(2) - np.float32(np.eye(2, 3)[::-1])).astype(int)
    assert covered[2, 2, 0] > covered[2, 2, 2] + 40  # positive is warm
    assert covered[38, 2, 2] > covered[38, 2, 0] + 20  # negative is cold
    assert len(set(covered[2, 58].tolist())) == 1  # nothing is grey
