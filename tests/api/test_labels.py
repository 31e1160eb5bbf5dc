"""Labels as data over HTTP: shapes, preconditions, retries, selections; and what the routes refuse."""

from __future__ import annotations

import contextlib
from typing import Any

import orjson
import pytest
from fastapi.testclient import TestClient

API = "/api/v1"
NEW = {
    "name": "what", "model": "fake", "question": "What *is* it?", "schema": {"type": "choice", "options": ["sky", "tree"]},
    "units": [{"layer": "stage1", "unit": 0}, {"layer": "s1", "unit": 1}],
}  # fmt: skip


@pytest.fixture
def other(client: Any) -> Any:
    """Another person of the same application."""
    return TestClient(client.app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False)


def test_the_whole_way(client: Any, other: Any) -> None:
    made = client.post(f"{API}/label-sets", json=NEW)
    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    path = f"{API}/label-sets/{made.json()['id']}"
    given = client.post(f"{path}/next", json={}).json()
    assert (given["unit"]["layer"], given["unit"]["unit"], given["unit"]["hidden"]) == ("stage1", 0, True)
    answer = {"layer": "stage1", "unit": 0, "answer": "sky"}
    key = {"Idempotency-Key": "k"}
    mine = client.post(f"{path}/ratings", json=answer, headers=key)
    assert mine.status_code == 201
    assert client.post(f"{path}/ratings", json=answer, headers=key).json() == mine.json()
    assert client.post(f"{path}/ratings", json=answer).status_code == 409
    rating = f"{API}/ratings/{mine.json()['id']}"
    assert client.patch(rating, json={"answer": "tree"}).status_code == 428
    assert other.get(f"{rating}/history").status_code == 403
    assert other.get(f"{path}/ratings").json()["items"] == []
    assert other.patch(rating, json={"answer": "tree"}, headers={"If-Match": '"1"'}).status_code == 403
    assert client.patch(rating, json={"answer": "tree"}, headers={"If-Match": '"1"'}).headers["etag"] == '"2"'
    late = client.patch(rating, json={"answer": "sky"}, headers={"If-Match": '"1"'})
    assert (late.status_code, late.json()["current"]["answer"]) == (412, "tree")
    assert client.post(f"{rating}/undo", headers={"If-Match": '"2"'}).json()["answer"] == "sky"
    assert other.post(f"{path}/ratings", json=answer | {"answer": "tree"}).status_code == 201
    seen = other.get(f"{path}/units").json()["items"][0]
    assert ([r["answer"] for r in seen["others"]], seen["disagreement"]) == (["sky"], 1.0)
    told = other.get(f"{path}/agreement").json()
    assert {m["id"]: m["value"] for m in told["measures"]}["percent"] == 0.0
    settled = client.post(f"{path}/decisions", json=answer | {"reason": "blue"})
    assert settled.status_code == 201
    assert client.get(f"{path}/decisions").json()["items"] == [settled.json()]
    assert client.get(f"{path}/progress").json()["settled"] == 1
    closed = client.patch(path, json={"closed": True}, headers={"If-Match": '"1"'})
    assert closed.json()["closed"]
    assert other.post(f"{path}/ratings", json=answer | {"unit": 1}).status_code == 409
    assert [r["closed"] for r in client.get(f"{path}/history").json()["items"]] == [False, True]


def test_a_batch_and_its_undo(client: Any) -> None:
    path = f"{API}/label-sets/{client.post(f'{API}/label-sets', json=NEW).json()['id']}"
    items = [{"layer": "stage1", "unit": u, "answer": "sky"} for u in (0, 1)]
    wrong = client.post(f"{path}/ratings/bulk", json={"items": [items[0], items[1] | {"answer": "sea"}]})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "items.1.answer")
    batch = client.post(f"{path}/ratings/bulk", json={"items": items}).json()
    assert len(batch["items"]) == 2
    assert client.post(f"{API}/label-batches/{batch['id']}/undo").json()["undone"]
    assert client.get(path).json()["mine"] == 0


def test_a_selection_becomes_its_units(client: Any) -> None:
    body = {k: v for k, v in NEW.items() if k != "units"} | {"probe": "fake-probe", "selection": {"layers": ["stage1"], "concepts": []}}
    made = client.post(f"{API}/label-sets", json=body).json()
    assert (made["units"], made["selection"]["layers"]) == (6, ["stage1"])
    more = client.post(f"{API}/label-sets/{made['id']}/units", json={"probe": "fake-probe", "selection": {"layers": ["stage2"]}})
    assert more.json()["units"] == 16
    none = client.post(f"{API}/label-sets", json=body | {"selection": {"text": "nothing is called this"}})
    assert (none.status_code, none.json()["field"]) == (422, "selection")


def test_a_hidden_answer_is_not_found_by_searching(client: Any, other: Any) -> None:
    made = client.post(f"{API}/label-sets", json=NEW | {"schema": {"type": "text"}}).json()
    rated = client.post(f"{API}/label-sets/{made['id']}/ratings", json={"layer": "stage1", "unit": 0, "answer": "zebracrossing"})
    assert rated.status_code == 201
    about = {"model": "fake", "probe": "fake-probe"}
    assert other.get(f"{API}/search", params=about | {"q": "zebracrossing"}).json()["items"] == []
    found = other.post(f"{API}/units/query", json=about | {"selection": {"text": "zebracrossing"}}).json()
    assert found["counts"]["in_filter"] == 0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"units": []}, "units"),
        ({"units": [{"layer": "stage1", "unit": 6}]}, "units"),
        ({"selection": {}}, ""),
        ({"raters": 0}, "raters"),
        ({"name": " "}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"schema": {"type": "choice", "options": ["a"]}}, "schema.choice.options"),
        ({"schema": {"type": "choice", "options": ["a", "a"]}}, "schema.choice"),
        ({"schema": {"type": "mood"}}, "schema"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_asked(shared_client: Any, change: Any, field: str) -> None:
    answer = shared_client.post(f"{API}/label-sets", json=NEW | change)
    assert answer.status_code == 422
    assert answer.json()["field"] == field or field == ""


def test_threads_votes_and_news(client: Any, other: Any) -> None:
    name = other.patch(f"{API}/session", json={"name": "Ben Lee"}).json()["person"]["name"]
    about = {"subject": "unit", "subject_id": "fake/stage1/0"}
    first = client.post(f"{API}/comments", json=about | {"body": f"@{name} look"})
    assert first.status_code == 201
    news = other.get(f"{API}/notifications", params={"unread": True}).json()
    assert (news["unread"], news["items"][0]["comment"]) == (1, first.json()["id"])
    assert other.post(f"{API}/notifications/read", json={}).json() == {"unread": 0}
    assert other.post(f"{API}/comments", json=about | {"body": "yes", "parent": first.json()["id"]}).status_code == 201
    assert len(client.get(f"{API}/comments", params=about).json()["items"]) == 2
    vote = {"subject": "comment", "subject_id": first.json()["id"], "value": 1}
    assert other.put(f"{API}/votes", json=vote).json()["up"] == 1
    params = {"subject": "comment", "subject_id": first.json()["id"]}
    assert client.get(f"{API}/votes", params=params).json()["items"][0]["mine"] == 0
    assert other.delete(f"{API}/comments/{first.json()['id']}", headers={"If-Match": '"1"'}).status_code == 200  # everybody is admin


def test_files(client: Any) -> None:
    made = client.post(f"{API}/label-sets", json=NEW | {"blind": False, "name": "Wh/at?"}).json()
    path = f"{API}/label-sets/{made['id']}"
    client.post(f"{path}/ratings", json={"layer": "stage1", "unit": 0, "answer": "sky"})
    for format in ("csv", "json", "parquet"):
        file = client.get(f"{path}/export", params={"format": format})
        assert file.headers["content-disposition"] == f'attachment; filename="Wh-at.{format}"'
        copy = client.post(f"{API}/label-sets/import", files={"file": ("x", file.content)}, data={"name": f"from {format}"})
        assert copy.status_code == 201
        assert (copy.json()["name"], copy.json()["answers"]) == (f"from {format}", 1)
    wrong = client.post(f"{API}/label-sets/import", files={"file": ("x", b"model,layer,unit,annotation\nfake,stage1,x,sky\n")})
    assert (wrong.status_code, wrong.json()["field"]) == (422, "unit")
    assert "Row 1" in wrong.json()["detail"]
    assert len(client.get(f"{API}/label-sets").json()["items"]) == 4


def test_the_client_and_the_command_line(
    settings: Any, ready: Any, monkeypatch: pytest.MonkeyPatch, capsysbinary: Any, tmp_path: Any
) -> None:
    from microtome.api.app import create_app
    from microtome.cli import main
    from microtome.client import Client
    from microtome.core.settings import settings as read_settings
    from tests.api.serve import serving

    with serving(create_app(settings, engine=ready)) as url, Client(url) as lab:
        made = lab.make_label_set("what", "fake", NEW["schema"], [("stage1", 0), ("stage1", 1)], raters=1)  # type: ignore[arg-type]
        unit = lab.next_unit(made["id"])
        assert unit is not None
        rated = lab.rate(made["id"], unit["layer"], unit["unit"], "sky")
        assert lab.change_rating(rated, "tree")["revision"] == 2
        machine = {"name": "milan", "version": "1"}
        batch = lab.rate_many(made["id"], [{"layer": "stage1", "unit": u, "answer": "tree"} for u in (0, 1)], machine)
        assert lab.agreement(made["id"])["machine_scores"][0]["percent"] == 1.0
        assert lab.undo_batch(batch["id"])["undone"]
        assert [r["answer"] for r in lab.ratings(made["id"])] == ["tree"]
        lab.rate(made["id"], "stage1", 1, "sky")
        file = lab.export_labels(made["id"], "json")
        assert lab.import_labels(file, name="copy")["answers"] == 2
        assert [s["name"] for s in lab.label_sets("fake")] == ["copy", "what"]

    def microtome(*arguments: str) -> bytes:
        monkeypatch.setattr("sys.argv", ["microtome", "labels", *arguments])
        read_settings.cache_clear()
        with contextlib.suppress(SystemExit):
            main()
        shown = capsysbinary.readouterr()
        return bytes(shown.out or shown.err)

    monkeypatch.setenv("MICROTOME_DATA_DIR", str(settings.data_dir))
    try:
        listed = orjson.loads(microtome("list", "--json"))["items"]
        assert [s["name"] for s in listed] == ["copy", "what"]
        assert b"blind" in microtome("list")
        assert b"hidden" in microtome("export", made["id"])
        out = tmp_path / "labels.csv"
        assert microtome("export", made["id"][:8], "--reveal", "--out", str(out)).decode().split() == [str(out)]
        assert orjson.loads(microtome("import", str(out), "--name", "again", "--json"))["answers"] == 2
        assert orjson.loads(microtome("agreement", made["id"], "--json"))["people"] == 1
        assert b"Krippendorff" in microtome("agreement", made["id"])
        assert b"0 label sets begin" in microtome("agreement", "nothing")
        assert b"no workspace" in microtome("list", "--workspace", "elsewhere")
    finally:
        read_settings.cache_clear()
