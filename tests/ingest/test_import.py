"""What an import leaves behind: the numbers that were given, seen through Browse, and nothing that was not given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from microtome.api.app import create_app
from microtome.api.browse import atlas as atlases
from microtome.core.errors import Conflict
from tests.ingest.conftest import imported
from tests.ingest.tables import BANDS, CONCEPTS, EXAMPLES, GRID, LAYERS, measure, write_folder

AT = {"model": "far-net", "probe": "far-images"}


@pytest.fixture
def browse(lab: Any, tmp_path: Path) -> Any:
    desk = lab()
    imported(desk, write_folder(tmp_path / "in"))
    with TestClient(create_app(desk.settings, engine=desk.engine), base_url="http://127.0.0.1:8000") as client:
        yield client


def get(client: Any, path: str, **query: Any) -> Any:
    answer = client.get(f"/api/v1{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def reference_iou(layer: str, unit: int, quantile: float) -> dict[str, float]:
    """From the masks themselves."""
    m = measure(LAYERS[layer], list(LAYERS).index(layer))
    point = GRID.index(quantile)
    shared, area = m["shared"][unit, :, point], m["unit_area"][unit, point]
    return {c: float(s / (area + a - s)) for c, s, a in zip(CONCEPTS, shared, m["concept_areas"], strict=True)}


def test_browse_shows_what_was_given(browse: Any) -> None:
    atlas = get(browse, "/atlas", **AT)
    assert (atlas["state"], atlas["grid"], atlas["quantile"], atlas["images"]) == ("current", GRID, 0.98, EXAMPLES)
    assert [(x["name"], x["units"], x["computed"]) for x in atlas["layers"]] == [(n, u, True) for n, u in LAYERS.items()]
    assert atlas["imported"]["folder"] == "in"
    assert atlas["map"]["projection"] == "a drawing"
    rows = browse.post("/api/v1/units/query", json={**AT, "limit": 500}).json()["items"]
    assert len(rows) == sum(LAYERS.values())
    for row in rows:
        expected = reference_iou(row["layer"], row["unit"], 0.98)
        assert row["concept"] == max(expected, key=lambda c: expected[c])
        assert row["iou"] == pytest.approx(max(expected.values()), abs=1e-12)
        m = measure(LAYERS[row["layer"]], list(LAYERS).index(row["layer"]))
        assert row["mean"] == pytest.approx(float(m["flat"].mean(1, dtype=np.float64)[row["unit"]]), abs=1e-12)
        assert row["density"] == pytest.approx(float((m["peaks"] > m["thresholds"][:, 1:]).mean(1)[row["unit"]]), abs=1e-12)
        assert max(row["sparkline"]) <= 1


@pytest.mark.parametrize("quantile", GRID)
def test_the_threshold_moves_by_imported_counts(browse: Any, quantile: float) -> None:
    unit = get(browse, "/units/far-net/stage2/4", probe="far-images")
    moved = get(browse, "/units/far-net/stage2/4/concepts", probe="far-images", quantile=quantile)
    m = measure(LAYERS["stage2"], 1)
    expected = reference_iou("stage2", 4, quantile)
    assert {i["concept"]: i["iou"] for i in moved["items"]} == pytest.approx(expected, abs=1e-12)
    assert moved["threshold"] == unit["thresholds"][GRID.index(quantile)] == float(m["thresholds"][4, GRID.index(quantile)])
    assert moved["images_active"] == int((m["peaks"][4] > moved["threshold"]).sum())
    assert unit["exemplars"]["example"] == m["slots"][4].tolist()
    assert {b["band"]: len(b["slots"]) for b in unit["exemplars"]["bands"]} == BANDS
    assert unit["histogram"]["counts"] == m["counts"][4].tolist()
    similar = get(browse, "/units/far-net/stage2/4/similar", probe="far-images")["items"]
    table = np.corrcoef(np.concatenate([measure(u, i)["peaks"] for i, u in enumerate(LAYERS.values())]))[6 + 4]
    table[6 + 4] = -2
    best = similar[0]
    assert (0 if best["layer"] == "stage1" else 6) + best["unit"] == int(table.argmax())


def test_examples_are_shown_by_name_and_pictures_say_so(browse: Any) -> None:
    probe = get(browse, "/probes/far-images")
    assert (probe["kind"], probe["examples"], probe["state"]) == ("imported", EXAMPLES, "ready")
    example = get(browse, "/probes/far-images/examples/7")
    assert (example["name"], example["label_name"]) == ("street/007.jpg", "b")
    tile = browse.get("/api/v1/probes/far-images/examples/7/image", params={"size": 64})
    assert tile.headers["content-type"] == "image/webp"
    strip = browse.get("/api/v1/units/far-net/stage1/0/strip", params={"probe": "far-images", "count": 3})
    assert strip.headers["content-type"] == "image/webp"


def test_provenance_says_that_it_was_imported(browse: Any) -> None:
    key = get(browse, "/atlas", **AT)["layers"][0]["key"]
    found = get(browse, f"/results/{key}")["provenance"]
    assert found["software"] == {"torch": "9.9"}
    assert found["device"] == "cluster"
    assert found["imported"]["folder"] == "in"
    assert "microtome" in found["imported"]["by"]
    share = browse.post("/api/v1/shares", json={"state": {"version": 1, "model": "far-net", "probe": "far-images"}}).json()
    assert get(browse, f"/shares/{share['id']}")["drift"] == []


def test_methods_are_refused_with_the_remedy(browse: Any) -> None:
    for path in ("/runs", "/runs/estimate"):
        answer = browse.post(f"/api/v1{path}", json={"method": "dissection", "subjects": AT})
        assert answer.status_code == 409
        assert "imported for browsing only" in answer.json()["detail"]
        assert "microtome models add" in answer.json()["detail"]


@pytest.mark.parametrize("keep", [{"units"}, {"units", "exemplars"}, {"units", "scores"}])
def test_what_is_not_given_is_absent_never_zero(lab: Any, tmp_path: Path, keep: set[str]) -> None:
    def bare(layer: str, table: str, columns: dict[str, Any]) -> dict[str, Any]:
        m = measure(LAYERS.get(layer, 1), list(LAYERS).index(layer) if layer else 0)
        if table == "units":
            return {"unit": columns["unit"], "mean": columns["mean"]}
        if table == "scores":
            values = [reference_iou(layer, u, 0.98)[c] for u, c in zip(columns["unit"], columns["concept"], strict=True)]
            return {"unit": columns["unit"][1:], "concept": columns["concept"][1:], "iou": values[1:]}
        return {n: v for n, v in columns.items() if n not in ("map", "site_row", "site_column")} if m else columns

    desk = lab()
    measured = {"grid": [], "positions": None, "concept_areas": None}
    imported(desk, write_folder(tmp_path / "in", keep=keep, change=bare, measure=measured, map=None))
    with TestClient(create_app(desk.settings, engine=desk.engine), base_url="http://127.0.0.1:8000") as client:
        rows = client.post("/api/v1/units/query", json={**AT, "limit": 500, "sort": "unit", "descending": False}).json()["items"]
        assert all(row["mean"] is not None for row in rows)
        assert {row[n] for row in rows for n in ("std", "max", "threshold", "density", "chance", "ceiling")} == {None}
        unit = get(client, "/units/far-net/stage1/0", probe="far-images")
        assert unit["histogram"] is None
        assert unit["thresholds"] == []
        assert unit["concepts"]["threshold"] is None
        assert unit["concepts"]["images_active"] is None
        scored = "scores" in keep
        assert (rows[0]["iou"] is not None) == scored
        # the first pair was left out: it has no score, which is not a score of nought
        assert len(unit["concepts"]["items"]) == (len(CONCEPTS) - 1 if scored else 0)
        assert "not imported" in unit["concepts"]["note"]
        assert client.post("/api/v1/units/aggregate", json=AT).status_code == 200
        strip = client.get("/api/v1/units/far-net/stage1/0/strip", params={"probe": "far-images", "count": 3})
        if "exemplars" in keep:
            assert unit["exemplars"]["maps"] is None
            assert unit["exemplars"]["site"][0] == [-1, -1]
            assert strip.status_code == 200
        else:
            assert unit["exemplars"] is None
            assert strip.status_code == 404
            assert "not imported" in strip.json()["detail"]


def test_a_detector_without_a_chance_level_is_judged_by_iou_and_says_so(lab: Any, tmp_path: Path) -> None:
    def given(layer: str, table: str, columns: dict[str, Any]) -> dict[str, Any]:
        if table == "units":
            units = len(columns["unit"])
            return {"unit": columns["unit"], "best_concept": [CONCEPTS[0], None] * (units // 2) + [None] * (units % 2),
                    "best_iou": [0.2, None] * (units // 2) + [0.01] * (units % 2)}  # fmt: skip
        return columns

    desk = lab()
    imported(desk, write_folder(tmp_path / "in", keep={"units"}, change=given, map=None))
    found = atlases.find(desk, **AT)
    columns = desk.browse.columns(found.keys)
    assert columns.flag("detector").tolist() == [True, False] * 3 + [True, False] * 4 + [False]
    assert np.isnan(columns.number("best_chance")).all()
    assert "not imported" in atlases.facts(desk, found)["chance_note"]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_the_same_folder_twice_is_one_import(lab: Any, tmp_path: Path, suffix: str) -> None:
    desk = lab()
    folder = write_folder(tmp_path / "in", suffix=suffix)
    first = imported(desk, folder)
    created = [desk.engine.results.head(key).created for _, key, _ in desk.engine.runs.parts([first.id])[first.id]]
    second = imported(desk, folder)
    again = [desk.engine.results.head(key).created for _, key, _ in desk.engine.runs.parts([second.id])[second.id]]
    assert created == again
    assert len(desk.engine.sources.all("model")) == len(desk.engine.sources.all("probe")) == 1


def test_imported_results_are_never_evicted(lab: Any, tmp_path: Path) -> None:
    from microtome.store.eviction import evict

    desk = lab()
    imported(desk, write_folder(tmp_path / "in"))
    assert evict(desk.store, 0) == 0
    assert len(atlases.find(desk, **AT).keys) == 2


def test_through_the_web_only_allowed_folders_are_read(lab: Any, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    desk = lab()
    outside = tmp_path_factory.mktemp("elsewhere")
    with TestClient(create_app(desk.settings, engine=desk.engine), base_url="http://127.0.0.1:8000") as client:
        answer = client.post("/api/v1/imports", json={"folder": str(write_folder(outside / "in"))})
        assert answer.status_code == 403
        inside = write_folder(tmp_path / "in", probe={"source": f"path:{outside}", "names": None})
        assert client.post("/api/v1/imports", json={"folder": str(inside)}).status_code == 403
        (tmp_path / "link").symlink_to(outside / "in")
        assert client.post("/api/v1/imports", json={"folder": str(tmp_path / "link")}).status_code == 403
        good = client.post("/api/v1/imports", json={"folder": str(write_folder(tmp_path / "good"))})
        assert good.status_code == 202
        assert [p["part"] for p in good.json()["parts"]] == ["stage1", "stage2", ""]


def test_the_name_is_kept_for_the_real_model(lab: Any, tmp_path: Path) -> None:
    """Checked with sources alone; the real model's layers decide whether it is the same."""
    desk = lab()
    imported(desk, write_folder(tmp_path / "in", model={"hash": "a" * 64}))
    layers = [
        {"name": n, "label": n, "kind": "Conv", "units": u, "height": 4, "width": 4, "default": True, "depth": 0} for n, u in LAYERS.items()
    ]
    description = {**desk.engine.sources.get("model", "far-net").description, "layers": layers[:1]}
    assert desk.engine.sources.save("model", "module:lab.nets:other", "a" * 64, description) == "lab.nets-other"
    desk.engine.sources.remove("model", "lab.nets-other")
    assert desk.engine.sources.save("model", "module:lab.nets:build", "a" * 64, {**description, "layers": layers}) == "far-net"
    row = desk.engine.sources.get("model", "far-net")
    assert row.source == "module:lab.nets:build"
    assert len(atlases.find(desk, **AT).keys) == 2
    with pytest.raises(Conflict):  # the images are still not here
        desk.engine.submit("dissection", AT)
