"""Session, annotations over HTTP, idempotency, selections, shares."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from microtome.api.app import create_app

API = "/api/v1"
NOTE = {"kind": "label", "model": "fake", "layer": "stage1", "unit": 2, "body": "sky"}
ABOUT = {"model": "fake", "probe": "fake-probe"}


def test_a_profile_is_a_person(client: Any) -> None:
    first = client.get(f"{API}/session").json()["person"]
    assert client.get(f"{API}/session").json()["person"] == first
    renamed = client.patch(f"{API}/session", json={"name": "Ada Lovelace"}).json()["person"]
    assert (renamed["id"], renamed["initials"]) == (first["id"], "AL")
    other = TestClient(client.app, base_url="http://127.0.0.1:8000")
    assert other.get(f"{API}/session").json()["person"]["id"] != first["id"]


def test_two_browsers_and_one_label(client: Any) -> None:
    other = TestClient(client.app, base_url="http://127.0.0.1:8000")
    made = client.post(f"{API}/annotations", json=NOTE)
    assert made.status_code == 201
    assert made.headers["etag"] == '"1"'
    path = f"{API}/annotations/{made.json()['id']}"
    assert client.patch(path, json={"body": "x"}).status_code == 428
    assert other.patch(path, json={"body": "clouds"}, headers={"If-Match": '"1"'}).status_code == 200
    late = client.patch(path, json={"body": "air"}, headers={"If-Match": '"1"'})
    assert late.status_code == 412
    assert late.json()["current"]["body"] == "clouds"
    assert client.patch(path, json={"body": "air"}, headers={"If-Match": '"2"'}).json()["revision"] == 3
    history = client.get(f"{path}/history").json()["items"]
    assert len({r["author"]["id"] for r in history}) == 2
    row = next(r for r in client.post(f"{API}/units/query", json=ABOUT).json()["items"] if r["unit"] == 2 and r["layer"] == "stage1")
    assert row["labels"][0]["text"] == "air"
    labelled = client.post(f"{API}/units/query", json=ABOUT | {"selection": {"labelled": True}}).json()
    assert labelled["counts"]["in_filter"] == 1
    assert client.get(f"{API}/models").json()["items"][0]["dissection"]["labelled"] == 1


def test_a_repeated_write_is_done_once(client: Any) -> None:
    client.get(f"{API}/session")
    headers = {"Idempotency-Key": "k1"}
    first = client.post(f"{API}/annotations", json=NOTE, headers=headers)
    again = client.post(f"{API}/annotations", json=NOTE, headers=headers)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["etag"] == first.headers["etag"]
    assert len(client.get(f"{API}/annotations", params={"model": "fake"}).json()["items"]) == 1
    other = client.post(f"{API}/annotations", json=NOTE | {"body": "other"}, headers=headers)
    assert other.status_code == 409
    assert other.json()["field"] == "Idempotency-Key"
    bad = client.post(f"{API}/annotations", json=NOTE, headers={"Idempotency-Key": "x" * 101})
    assert bad.status_code == 422
    run = {"method": "dissection", "subjects": ABOUT}
    runs = [client.post(f"{API}/runs", json=run, headers={"Idempotency-Key": "k2"}).json()["id"] for _ in range(2)]
    assert runs[0] == runs[1]


def test_saved_selections(client: Any) -> None:
    body = {"name": "sky detectors", **ABOUT, "selection": {"concepts": ["object:sky"]}}
    made = client.post(f"{API}/selections", json=body).json()
    assert client.get(f"{API}/selections", params={"model": "fake"}).json()["items"] == [made]
    assert made["selection"]["concepts"] == ["object:sky"]
    assert client.delete(f"{API}/selections/{made['id']}").status_code == 200
    assert client.get(f"{API}/selections").json()["items"] == []


def test_a_share_stays_as_it_was(settings: Any, make_engine: Any, tmp_path: Path) -> None:
    weights = tmp_path / "net"
    weights.write_bytes(b"one")
    engine = make_engine(settings)
    engine.add_source("add-model", f"path:{weights}")
    engine.add_source("add-probe", "builtin:fake-probe")
    subjects = {"model": "net", "probe": "fake-probe"}
    engine.submit("unit-map", subjects)
    engine.submit("grad-cam", {"model": "net", "example": "fake-probe:3", "targets": [1]})
    with TestClient(create_app(settings, engine=engine), base_url="http://127.0.0.1:8000") as client:
        before = client.post(f"{API}/units/query", json=subjects).json()
        state = {**subjects, "explain": {"example": "fake-probe:3", "methods": ["grad-cam"], "targets": [1]}}
        share = client.post(f"{API}/shares", json={"state": state}).json()
        assert len(share["id"]) >= 20
        fresh = TestClient(client.app, base_url="http://127.0.0.1:8000")
        view = fresh.get(f"{API}/shares/{share['id']}").json()
        assert view["drift"] == []
        assert len(view["frozen"]["keys"]) == 4  # two layers, the map, the explanation
        assert view["state"]["model"] == "net"

        weights.write_bytes(b"two")
        engine.reader._seen.clear()
        engine.submit("dissection", subjects, {"seed": 3})
        atlas = client.get(f"{API}/atlas", params=subjects).json()
        assert atlas["layers"][0]["key"] not in view["frozen"]["keys"]
        view = fresh.get(f"{API}/shares/{share['id']}").json()
        assert [(d["what"], d["name"]) for d in view["drift"]] == [("model", "net")]
        assert view["available"] is True
        frozen = fresh.get(f"{API}/atlas", params=subjects | {"share": share["id"]}).json()
        assert frozen["frozen"] is True
        assert frozen["layers"][0]["key"] in view["frozen"]["keys"]
        shown = fresh.post(f"{API}/units/query", json=subjects | {"share": share["id"]}).json()
        assert shown["items"] == before["items"]
        assert fresh.get(f"{API}/units/net/stage1/0", params={"probe": "fake-probe", "share": share["id"]}).status_code == 200

        # what a share shows is never evicted nor dropped
        from microtome.store.eviction import evict

        evict(engine.store, 0)
        client.delete(f"{API}/models/net", params={"results": "drop"})
        assert fresh.get(f"{API}/shares/{share['id']}").json()["available"] is True
        assert fresh.post(f"{API}/units/query", json=subjects | {"share": share["id"]}).status_code == 200
        assert client.delete(f"{API}/shares/{share['id']}").status_code == 204
        assert fresh.get(f"{API}/shares/{share['id']}").status_code == 404


def test_stale_results_are_still_shown_with_the_reason(settings: Any, make_engine: Any, tmp_path: Path) -> None:
    weights = tmp_path / "net"
    weights.write_bytes(b"one")
    engine = make_engine(settings)
    engine.add_source("add-model", f"path:{weights}")
    engine.add_source("add-probe", "builtin:fake-probe")
    subjects = {"model": "net", "probe": "fake-probe"}
    engine.submit("dissection", subjects)
    with TestClient(create_app(settings, engine=engine), base_url="http://127.0.0.1:8000") as client:
        assert client.get(f"{API}/models/net").json()["state"] == "ready"
        weights.write_bytes(b"two")
        engine.reader._seen.clear()
        model = client.get(f"{API}/models/net").json()
        assert model["state"] == "changed"
        assert "changed" in model["problem"]
        atlas = client.get(f"{API}/atlas", params=subjects).json()
        assert atlas["state"] == "stale"
        assert atlas["reason"]
        assert client.post(f"{API}/units/query", json=subjects).json()["counts"]["all"] == 16
        weights.unlink()
        engine.reader._seen.clear()
        assert client.get(f"{API}/models/net").json()["state"] == "missing"
        assert client.post(f"{API}/units/query", json=subjects).json()["counts"]["all"] == 16


def test_the_results_of_an_older_version_are_stale(settings: Any, make_engine: Any, tmp_path: Path) -> None:
    weights = tmp_path / "net"
    weights.write_bytes(b"one")
    engine = make_engine(settings)
    engine.add_source("add-model", f"path:{weights}")
    engine.add_source("add-probe", "builtin:fake-probe")
    subjects = {"model": "net", "probe": "fake-probe"}
    engine.submit("dissection", subjects)
    weights.write_bytes(b"two")
    engine.submit("grad-cam", {"model": "net", "example": "fake-probe:1"})  # reads the new weights
    with TestClient(create_app(settings, engine=engine), base_url="http://127.0.0.1:8000") as client:
        atlas = client.get(f"{API}/atlas", params=subjects).json()
        assert atlas["state"] == "stale"
        assert all(layer["computed"] for layer in atlas["layers"])
