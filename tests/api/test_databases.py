"""The whole way over HTTP on each database."""

from __future__ import annotations

from typing import Any

from fastapi.testclient import TestClient

from microtome.api.app import create_app

API = "/api/v1"
ABOUT = {"model": "fake", "probe": "fake-probe"}


def test_the_whole_way(any_settings: Any, any_engine: Any) -> None:
    app = create_app(any_settings, engine=any_engine)
    with TestClient(app, base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:

        def ok(method: str, path: str, **options: Any) -> Any:
            answer = client.request(method, API + path, **options)
            assert answer.is_success, (path, answer.text)
            return answer.json()

        assert ok("POST", "/models", json={"source": "builtin:fake"})["state"] == "done"
        assert ok("POST", "/probes", json={"source": "builtin:fake-probe"})["state"] == "done"
        for method in ("unit-map", "predictions"):
            assert ok("POST", "/runs", json={"method": method, "subjects": ABOUT})["state"] == "done"
        unit = {"layer": "stage1", "indices": [3]}
        ablation = ok("POST", "/runs", json={"method": "ablate-units", "subjects": ABOUT | {"units": unit}})
        assert ok("GET", "/atlas", params=ABOUT)["state"] == "current"
        assert ok("POST", "/units/query", json=ABOUT)["counts"]["all"] == 16
        assert ok("POST", "/units/aggregate", json=ABOUT)["members"]
        detail = ok("GET", "/units/fake/stage1/3", params={"probe": "fake-probe"})
        assert detail["ablation"] == {"key": ablation["keys"][0]}
        assert ok("GET", "/units/fake/stage1/4", params={"probe": "fake-probe"})["ablation"] is None
        wrong = ok("GET", "/probes/fake-probe/examples", params={"model": "fake", "subset": "wrong", "order": "confidence"})["items"]
        right = ok("GET", "/probes/fake-probe/examples", params={"model": "fake", "subset": "correct"})["items"]
        assert len(wrong) + len(right) == 24
        assert not any(x["prediction"]["correct"] for x in wrong)
        note = {"kind": "note", "model": "fake", "layer": "stage1", "unit": 3, "body": "why?"}
        made = [ok("POST", "/annotations", json=note, headers={"Idempotency-Key": "k"}) for _ in range(2)]
        assert made[0] == made[1]
        share = ok("POST", "/shares", json={"state": ABOUT})
        assert ok("GET", f"/shares/{share['id']}")["available"] is True
        assert ok("GET", "/search", params=ABOUT | {"q": "why"})["items"]
        assert ok("GET", "/system")["database"] == any_engine.store.dialect
        assert client.get(f"{API}/metrics").status_code == client.get(f"{API}/ready").status_code == 200
        assert [r["method"] for r in ok("GET", "/runs", params={"model": "fake", "limit": 1})["items"]] == ["ablate-units"]
        for path in ("/atlas?model=%00&probe=x", "/models/%00", "/runs?method=%00", "/search?q=%00&model=fake&probe=fake-probe"):
            assert client.get(API + path).status_code < 500, path
        assert client.post(f"{API}/selections", json={"name": "a\0b", **ABOUT, "selection": {}}).status_code < 500
        assert client.patch(f"{API}/session", json={"name": "a\0b"}).status_code == 422
