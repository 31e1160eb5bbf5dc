"""Browse on the server: atlas, query, aggregate, map, unit, threshold, strip."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from microtome.api.browse.unitmap import COLUMNS

ABOUT = {"model": "fake", "probe": "fake-probe"}
API = "/api/v1"


def ask(client: Any, path: str, **body: Any) -> Any:
    answer = client.post(f"{API}{path}", json=ABOUT | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(client: Any, path: str, **query: Any) -> Any:
    answer = client.get(f"{API}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def whole_map(client: Any, **query: Any) -> dict[str, Any]:
    """Head and points of the map, in the map's own order."""
    head = get(client, "/units/map", **ABOUT | query)
    count, chunks = head["count"], head["chunks"]
    out: dict[str, Any] = {name: np.zeros(count) for name in COLUMNS}
    for chunk in range(chunks):
        answer = client.get(f"{API}/units/map/{chunk}", params=ABOUT | query | {"version": head["version"]})
        assert answer.status_code == 200, answer.text
        assert len(answer.content) <= 2_000_000
        size, at = len(range(chunk, count, chunks)), 0
        for name, type_ in COLUMNS.items():
            out[name][chunk::chunks] = np.frombuffer(answer.content, type_, size, at)
            at += size * np.dtype(type_).itemsize
        assert at == len(answer.content)
    for axis in ("x", "y"):
        low, high = head[axis]
        out[axis] = low + out[axis] / 65535 * (high - low)
    return head | out | {"layer": out["layer"].astype(int), "unit": out["unit"].astype(int)}


def test_atlas(client: Any) -> None:
    atlas = get(client, "/atlas", **ABOUT)
    assert atlas["state"] == "current"
    assert [x["computed"] for x in atlas["layers"]] == [True, True]
    assert atlas["grid"] == [0.98, 0.99, 0.995]
    assert atlas["map"]["projection"] == "fake of profiles"
    assert atlas["categories"] == ["object", "colour", "material", "scene"]


def test_query_pages_and_sorts(client: Any) -> None:
    first = ask(client, "/units/query", limit=5)
    assert first["counts"] == {"brushed": 0, "in_filter": 16, "all": 16}
    ious = [row["iou"] for row in first["items"]]
    rest = ask(client, "/units/query", limit=50, cursor=first["next"])
    assert rest["next"] is None
    ious += [row["iou"] for row in rest["items"]]
    assert len(ious) == 16
    assert ious == sorted(ious, reverse=True)
    row = first["items"][0]
    assert len(row["sparkline"]) == 26
    assert max(row["sparkline"]) == 1
    by_unit = ask(client, "/units/query", sort="unit", descending=False)["items"]
    assert [(r["layer"], r["unit"]) for r in by_unit] == [("stage1", i) for i in range(6)] + [("stage2", i) for i in range(10)]


def test_filters_agree_with_rows(client: Any) -> None:
    rows = ask(client, "/units/query")["items"]
    median = float(np.median([r["iou"] for r in rows]))
    concept = rows[0]["concept"]
    selections: list[tuple[Any, Any]] = [
        ({"iou": {"min": median}}, lambda r: r["iou"] >= median),
        ({"concepts": [concept]}, lambda r: r["concept"] == concept),
        ({"not_concepts": [concept]}, lambda r: r["concept"] != concept),
        ({"categories": [rows[0]["category"]]}, lambda r: r["category"] == rows[0]["category"]),
        ({"layers": ["s2"]}, lambda r: r["layer"] == "stage2"),
        ({"detector": True}, lambda r: r["detector"]),
        ({"text": "stage1/3"}, lambda r: (r["layer"], r["unit"]) == ("stage1", 3)),
        ({"labelled": True}, lambda r: False),
        ({"density": {"max": 0.5}}, lambda r: r["density"] <= 0.5),
    ]
    for selection, holds in selections:
        page = ask(client, "/units/query", selection=selection)
        assert page["counts"]["in_filter"] == len(page["items"]) == sum(map(holds, rows)), selection
        assert all(holds(r) for r in page["items"])


def test_aggregate_and_brush(client: Any) -> None:
    points = whole_map(client)
    assert len(points["x"]) == 16
    inside = [i for i, (x, y) in enumerate(zip(points["x"], points["y"], strict=True)) if x < 0 and y < 0.5]
    polygon = [[-2, -2], [0, -2], [0, 0.5], [-2, 0.5]]
    brush = {"view": "map", "key": points["key"], "polygon": polygon}
    found = ask(client, "/units/aggregate", selection={"brush": brush})
    assert found["counts"]["brushed"] == len(inside)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(found["members"]["brushed"]), np.uint8), bitorder="little")[:16]
    assert np.flatnonzero(bits).tolist() == inside
    assert sum(found["histogram"]["all"]) == 16
    assert sum(found["histogram"]["brushed"]) == len(inside)
    assert sum(layer["brushed"] for layer in found["layers"]) == len(inside)
    rows = ask(client, "/units/query", selection={"brush": brush}, table="brushed")["items"]
    assert len(rows) == len(inside)
    assert all(r["brushed"] for r in rows)
    both = ask(client, "/units/aggregate", selection={"brush": {"view": "histogram", "range": {"min": 0.02}}, "layers": ["stage1"]})
    assert both["layers"][1]["brushed"] == 0


def test_concepts_of_other_filters_stay_on_offer(client: Any) -> None:
    everything = ask(client, "/units/aggregate")["concepts"]
    chosen = everything[0]["concept"]
    some = ask(client, "/units/aggregate", selection={"concepts": [chosen]})["concepts"]
    assert {c["concept"]: c["units"] for c in some} == {c["concept"]: c["units"] for c in everything}
    assert [c["concept"] for c in some if c["in_filter"]] == [chosen]


def test_unit_and_threshold_move(client: Any, ready: Any) -> None:
    unit = get(client, "/units/fake/stage1/3", probe="fake-probe")
    assert (unit["previous"], unit["next"]) == (["stage1", 2], ["stage1", 4])
    assert unit["address"] == "fake/stage1/3"
    similar = get(client, "/units/fake/stage1/3/similar", probe="fake-probe")["items"]
    assert len(similar) > 0
    assert all(s["unit"] != 3 or s["layer"] != "stage1" for s in similar)
    before = sum(m.forward_passes for m in ready._inline.worker.workshop.models)
    moved = get(client, "/units/fake/stage1/3/concepts", probe="fake-probe", quantile=0.98)
    assert moved["quantile"] == 0.98
    assert moved["threshold"] <= unit["concepts"]["threshold"]
    assert moved["positions_active"] >= unit["concepts"]["positions_active"]
    assert sum(m.forward_passes for m in ready._inline.worker.workshop.models) == before
    # the stored table and the recorded counts tell the same
    best = unit["concepts"]["items"][0]
    assert best["concept"] == unit["row"]["concept"]
    assert best["iou"] == pytest.approx(unit["row"]["iou"], rel=1e-6)
    maps = client.get(unit["exemplars"]["maps"]["url"])
    assert maps.headers["x-dtype"] == "float32"
    assert maps.headers["x-shape"] == "4,8,8"
    assert len(maps.content) == 4 * 4 * 8 * 8


def test_similar_is_pearson(client: Any, ready: Any) -> None:
    atlas = get(client, "/atlas", **ABOUT)
    peaks = [ready.results.load(layer["key"])["peaks"].arrays["values"] for layer in atlas["layers"]]
    table = np.corrcoef(np.concatenate(peaks))
    expected = np.argsort(-np.where(np.arange(16) == 7, -2, table[7]))[0]
    best = get(client, "/units/fake/stage2/1/similar", probe="fake-probe")["items"][0]
    assert (0 if best["layer"] == "stage1" else 6) + best["unit"] == expected
    assert best["correlation"] == pytest.approx(table[7, expected], abs=1e-3)


def test_strip_is_a_cached_picture(client: Any) -> None:
    key = get(client, "/atlas", **ABOUT)["layers"][0]["key"]
    query = {"probe": "fake-probe", "count": 3, "size": 36, "scale": 2, "key": key}
    answer = client.get(f"{API}/units/fake/stage1/0/strip", params=query)
    assert answer.headers["content-type"] == "image/webp"
    assert "immutable" in answer.headers["cache-control"]
    assert Image.open(io.BytesIO(answer.content)).size == (3 * 72 + 2 * 4, 72)
    again = client.get(f"{API}/units/fake/stage1/0/strip", params=query, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_the_outline_is_where_the_map_crosses_the_threshold() -> None:
    from microtome.api.browse.strips import bilinear, outlined

    values = np.zeros((8, 8), np.float32)
    values[3:5, 3:5] = 1
    tile = outlined(np.full((64, 64, 3), 200, np.uint8), values, (3, 3), 0.5, 72, 1.5).astype(int)
    yellow = (tile[..., 0] > 220) & (tile[..., 2] < 80)
    assert yellow.any()
    assert tile[36, 36].tolist() == [200, 200, 200]  # inside untouched
    assert tile[1, 1].tolist() == [140, 140, 140]  # outside dimmed by 30 %
    # half-pixel centres: a pixel in the middle of a cell has the cell's value
    assert bilinear(values, np.array([3.5], np.float32), np.array([3.5], np.float32))[0, 0] == 1
    assert bilinear(values, np.array([3.0], np.float32), np.array([3.5], np.float32))[0, 0] == pytest.approx(0.5)


def test_export_has_every_row(client: Any) -> None:
    answer = client.post(f"{API}/units/export", json=ABOUT | {"limit": 3})
    assert answer.headers["content-type"].startswith("text/csv")
    assert len(answer.text.strip().splitlines()) == 17


def test_search(client: Any) -> None:
    def hits(q: str) -> set[str]:
        return {h["type"] for h in get(client, "/search", q=q, **ABOUT)["items"]}

    assert "concept" in hits("sky")
    assert "unit" in hits("stage1/3")
    assert "method" in hits("grad")
    assert "model" in hits("fake")
