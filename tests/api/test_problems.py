"""Every error is the same document: application/problem+json with type, title, status and a detail that says what to do."""

from __future__ import annotations

import json
from typing import Any

import pytest

API = "/api/v1"
RUN = {"method": "dissection", "subjects": {"model": "fake", "probe": "fake-probe"}}
NOTE = {"kind": "note", "model": "fake", "layer": "stage1", "unit": 0, "body": "x"}
UNIT = {"probe": "fake-probe"}

CASES: list[tuple[str, str, Any, int, str | None]] = [
    ("GET", "/nothing", None, 404, None),
    ("PUT", "/models", None, 405, None),
    ("GET", "/models/nothing", None, 404, "model"),
    ("DELETE", "/models/nothing", None, 404, "model"),
    ("GET", "/probes/nothing", None, 404, "probe"),
    ("GET", "/probes/fake-probe/examples/99", None, 404, "index"),
    ("GET", "/probes/fake-probe/examples/99/image", None, 404, "index"),
    ("GET", "/probes/fake-probe/examples/1/image?size=9999", None, 422, "size"),
    ("GET", "/probes/fake-probe/examples?subset=wrong", None, 422, "model"),
    ("GET", "/probes/fake-probe/examples?subset=wrong&model=fake", None, 422, "subset"),
    ("GET", "/probes/fake-probe/examples?cursor=abc", None, 422, "cursor"),
    ("GET", "/methods/nothing", None, 404, "method"),
    ("GET", "/runs/nothing", None, 404, "id"),
    ("GET", "/runs?state=odd", None, 422, "state"),
    ("GET", "/runs?limit=100000", None, 422, "limit"),
    ("POST", "/runs/nothing/cancel", None, 404, "id"),
    ("POST", "/runs", RUN | {"method": "nothing"}, 404, "method"),
    ("POST", "/runs", RUN | {"subjects": {"model": "nothing", "probe": "fake-probe"}}, 404, "subjects.model"),
    ("POST", "/runs", {**RUN, "subjects": {**RUN["subjects"], "layers": ["stage9"]}}, 404, "subjects.layers"),  # type: ignore[dict-item]
    ("POST", "/runs", RUN | {"params": {"quantile": 7}}, 422, "params.quantile"),
    ("POST", "/runs", RUN | {"params": {"quantile": 7, "nope": 1}}, 422, None),
    ("POST", "/runs", RUN | {"colour": "red"}, 422, "colour"),
    ("POST", "/runs", {"method": "dissection"}, 422, "subjects"),
    ("POST", "/runs", b"{not json", 422, "body"),
    ("POST", "/runs/estimate", RUN | {"method": "nothing"}, 404, "method"),
    ("GET", "/results/abc", None, 422, "key"),
    ("GET", "/results/" + "0" * 64, None, 404, "key"),
    ("GET", "/results/" + "0" * 64 + "/map/figure", None, 404, "key"),
    ("GET", "/results/" + "0" * 64 + "/map/export?format=pdf", None, 422, "format"),
    ("GET", "/blobs/" + "0" * 64, None, 404, "sha256"),
    ("GET", "/uploads/" + "0" * 64 + "/image", None, 404, "sha256"),
    ("GET", "/atlas?model=nothing&probe=fake-probe", None, 404, "model"),
    ("GET", "/atlas?model=fake", None, 422, "probe"),
    ("GET", "/units/fake/stage9/0?probe=fake-probe", None, 404, "layer"),
    ("GET", "/units/fake/stage1/600?probe=fake-probe", None, 404, "unit"),
    ("GET", "/units/fake/stage1/x?probe=fake-probe", None, 422, "unit"),
    ("GET", "/units/fake/stage1/0/concepts?probe=fake-probe&quantile=3", None, 422, "quantile"),
    ("GET", "/units/fake/stage1/0/strip?probe=fake-probe&band=odd", None, 404, "band"),
    ("GET", "/units/fake/stage1/0?probe=fake-probe&share=no", None, 404, "id"),
    ("POST", "/units/query", {"model": "fake", "probe": "fake-probe", "sort": "magic"}, 422, "sort"),
    ("POST", "/units/query", {"model": "fake", "probe": "fake-probe", "cursor": "x"}, 422, "cursor"),
    ("POST", "/units/query", {"model": "fake", "probe": "fake-probe", "selection": {"iou": {"min": 2, "max": 1}}}, 422, "selection.iou"),
    ("POST", "/units/aggregate", {"model": "fake", "probe": "fake-probe", "limit": 3}, 422, "limit"),
    ("POST", "/units/aggregate",
     {"model": "fake", "probe": "fake-probe",
      "selection": {"brush": {"view": "map", "key": "0" * 64, "polygon": [[0, 0], [1, 0], [1, 1]]}}}, 404, "key"),
    ("POST", "/annotations", NOTE | {"model": "nothing"}, 404, "model"),
    ("POST", "/annotations", NOTE | {"layer": "stage9"}, 404, "layer"),
    ("POST", "/annotations", NOTE | {"unit": 6}, 422, "unit"),
    ("POST", "/annotations", NOTE | {"body": "   "}, 422, "body"),
    ("POST", "/annotations", NOTE | {"kind": "label", "body": "x" * 300}, 422, "body"),
    ("PATCH", "/annotations/nothing", {"body": "x"}, 404, "id"),
    ("GET", "/annotations/nothing/history", None, 404, "id"),
    ("DELETE", "/selections/nothing", None, 404, "id"),
    ("POST", "/shares", {"state": {"model": "nothing"}}, 404, "state.model"),
    ("POST", "/shares", {"state": {"version": 9}}, 422, "state.version"),
    ("GET", "/shares/nothing", None, 404, "id"),
    ("POST", "/models", {"source": "path:/etc"}, 403, "source"),
    ("POST", "/models", {"source": "module:os:system"}, 403, "source"),
    ("POST", "/models", {"source": "builtin:nothing"}, 404, "source"),
    ("POST", "/models", {"source": "builtin:fake", "name": "Not A Slug!"}, 422, "name"),
    ("POST", "/probes", {"source": "path:/etc"}, 403, "source"),
    ("POST", "/probes", {"source": "path:a\0b"}, 422, "source"),
    ("POST", "/probes", {"source": "path:~nobody-of-that-name/x"}, 422, "source"),
    ("POST", "/runs", json.dumps(RUN | {"params": {"seed": float("nan")}}).encode(), 422, "params"),
    ("POST", "/runs", json.dumps(RUN | {"params": {"seed": "\ud800"}}).encode(), 422, "params"),
    ("POST", "/runs", json.dumps(RUN | {"params": {"seed": 10**40}}).encode(), 422, "params"),
    ("PATCH", "/session", {"name": ""}, 422, "name"),
    ("GET", "/search", None, 422, "q"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path", "body", "status", "field"), CASES, ids=[f"{c[0]} {c[1][:60]} {i}" for i, c in enumerate(CASES)])
def test_error_shape(shared_client: Any, method: str, path: str, body: Any, status: int, field: str | None) -> None:
    kind = {"content": body, "headers": {"Content-Type": "application/json"}} if isinstance(body, bytes) else {"json": body}
    answer = shared_client.request(method, API + path, **(kind if body is not None else {}))
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["type"].startswith("/problems/")
    assert problem["status"] == status
    assert len(problem["detail"]) > 20
    assert "Traceback" not in answer.text
    if field is not None:
        assert problem["field"] == field


def test_an_unexpected_error_tells_nothing(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise RuntimeError("secret inside")

    monkeypatch.setattr(client.app.state.desk.engine, "get", explode)
    answer = client.get(f"{API}/runs/abc")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_api_addresses_never_fall_back_to_the_frontend(client: Any) -> None:
    assert client.get("/api/v2/anything").headers["content-type"] == "application/problem+json"
    page = client.get("/browse/anything")
    assert "make build" in page.text or "<html" in page.text.lower()
