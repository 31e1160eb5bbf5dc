"""Browse with a hundred thousand units in three layers: answers stay small and equal what plain loops over the arrays give."""

from __future__ import annotations

import base64
import csv
import io
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.synthetic import MODEL, PROBE, load
from fastapi.testclient import TestClient

from microtome.api.app import create_app
from microtome.core.settings import Settings
from microtome.engine import Engine
from microtome.store.results import ResultRepository
from tests.api.test_units import API, whole_map

UNITS, LAYERS, LIMIT = 100_000, 3, 2_000_000
ABOUT = {"model": MODEL, "probe": PROBE}


class Reference:
    """The same load as plain columns, one entry per unit, in the order of layers and units."""

    def __init__(self, results: ResultRepository, atlas: dict[str, Any]) -> None:
        self.parts = [results.load(layer["key"]) for layer in atlas["layers"]]
        self.names = [layer["name"] for layer in atlas["layers"]]
        self.layer = [name for name, part in zip(self.names, self.parts, strict=True) for _ in part["units"].units]
        self.unit = [int(u) for part in self.parts for u in part["units"].units]

    def column(self, name: str) -> list[Any]:
        return [v for part in self.parts for v in part["units"].column(name).tolist()]


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """A client, and the engine behind it."""
    folder: Path = tmp_path_factory.mktemp("large")
    settings = Settings(data_dir=folder / "data", inline=True, source_roots=[folder])
    load(settings, UNITS, LAYERS, 24)
    engine = Engine(settings, executor="inline")
    with TestClient(create_app(settings, engine=engine), base_url="http://127.0.0.1:8000", raise_server_exceptions=False) as client:
        yield client, engine
    engine.store.close()


@pytest.fixture(scope="module")
def client(large: tuple[Any, Any]) -> Any:
    return large[0]


@pytest.fixture(scope="module")
def atlas(client: Any) -> dict[str, Any]:
    return dict(client.get(f"{API}/atlas", params=ABOUT).json())


@pytest.fixture(scope="module")
def reference(large: tuple[Any, Any], atlas: dict[str, Any]) -> Reference:
    return Reference(large[1].results, atlas)


def ask(client: Any, path: str, **body: Any) -> Any:
    answer = client.post(f"{API}{path}", json=ABOUT | body)
    assert answer.status_code == 200, answer.text
    assert len(answer.content) <= LIMIT
    return answer.json()


def test_the_load_says_that_it_is_synthetic(client: Any, atlas: dict[str, Any]) -> None:
    model = client.get(f"{API}/models/{MODEL}").json()
    assert "synthetic" in model["family"]
    assert "There is no network" in model["card"]
    assert "synthetic" in str(atlas["reason"])


def test_no_answer_of_browse_is_larger_than_two_megabytes(client: Any, atlas: dict[str, Any]) -> None:
    layer = atlas["layers"][0]
    here = f"/units/{MODEL}/{layer['name']}/7"
    head = client.get(f"{API}/units/map", params=ABOUT).json()
    asked = [
        ("/models", {}), (f"/models/{MODEL}", {}), ("/atlas", ABOUT), ("/units/map", ABOUT),
        ("/units/driven", ABOUT | {"example": 3, "limit": 200}),
        ("/search", ABOUT | {"q": "layer0/7"}), (f"/results/{layer['key']}", {}), (f"/results/{layer['key']}/units/rows", {"limit": 500}),
        *((here + tail, {"probe": PROBE}) for tail in ("", "/concepts", "/similar", "/strip")),
        *((f"/units/map/{c}", ABOUT | {"version": head["version"]}) for c in range(head["chunks"])),
    ]  # fmt: skip
    for path, query in asked:
        answer = client.get(API + path, params=query)
        assert answer.status_code == 200, (path, answer.text)
        assert len(answer.content) <= LIMIT, path
    for name in ("iou", "activation", "peaks"):  # too large for a figure: said, not sent
        answer = client.get(f"{API}/results/{layer['key']}/{name}/figure")
        assert answer.status_code == 404 or len(answer.content) <= LIMIT, name
    ask(client, "/units/query", limit=500)
    ask(client, "/units/aggregate")


def test_pages_equal_a_sort_of_all_rows(client: Any, reference: Reference) -> None:
    iou, density, concept = (reference.column(n) for n in ("best_iou", "density", "best_concept"))
    wanted = [c for c, _ in Counter(concept).most_common(3)]
    selection = {"iou": {"min": 0.03, "max": 0.2}, "not_concepts": wanted[:1], "layers": reference.names[1:]}
    inside = [
        i for i in range(UNITS)
        if 0.03 <= iou[i] <= 0.2 and concept[i] != wanted[0] and reference.layer[i] != reference.names[0]
    ]  # fmt: skip
    assert 100 < len(inside) < UNITS / 2
    for sort, values in (("density", density), ("mean", reference.column("mean")), ("iou", iou)):
        for descending in (True, False):
            expected = sorted(inside, key=lambda i, v=values, d=descending: (-v[i] if d else v[i], -iou[i], i))  # type: ignore[misc]
            if sort == "iou":
                expected = sorted(inside, key=lambda i, d=descending: (-iou[i] if d else iou[i], i))  # type: ignore[misc]
            got: list[tuple[str, int]] = []
            cursor = None
            while len(got) < 700:
                page = ask(client, "/units/query", selection=selection, sort=sort, descending=descending, limit=350, cursor=cursor)
                assert page["counts"] == {"brushed": 0, "in_filter": len(inside), "all": UNITS}
                got += [(r["layer"], r["unit"]) for r in page["items"]]
                cursor = page["next"]
            assert got == [(reference.layer[i], reference.unit[i]) for i in expected[:700]], (sort, descending)


def test_the_last_page_ends(client: Any) -> None:
    everything = ask(client, "/units/query", table="all", limit=500, cursor=f"o{UNITS - 10}")
    assert len(everything["items"]) == 10
    assert everything["next"] is None


def test_a_lasso_and_the_linked_views_equal_a_loop(client: Any, reference: Reference) -> None:
    star = [[np.cos(a) * (0.5 if i % 2 else 0.2), np.sin(a) * 0.5] for i, a in enumerate(np.linspace(0, 2 * np.pi, 21)[:-1])]
    points = whole_map(client, **ABOUT)
    exact = reference_points(client, reference)
    inside = np.array([even_odd(star, x, y) for x, y in exact])
    detector, iou = np.array(reference.column("detector")), np.array(reference.column("best_iou"))
    brush = {"view": "map", "key": points["key"], "polygon": star}
    found = ask(client, "/units/aggregate", selection={"brush": brush, "detector": True})
    assert found["counts"]["brushed"] == int((inside & detector).sum()) > 100
    assert found["counts"]["in_filter"] == found["counts"]["detectors"] == int(detector.sum())
    bits = np.unpackbits(np.frombuffer(base64.b64decode(found["members"]["brushed"]), np.uint8), bitorder="little")[:UNITS]
    np.testing.assert_array_equal(bits.astype(bool), inside & detector)
    assert found["brushed_median"] == pytest.approx(np.median(iou[inside & detector]))
    for layer in found["layers"]:
        mine = np.array(reference.layer) == layer["name"]
        assert layer["brushed"] == int((inside & detector & mine).sum())
    counts = Counter(c for c, d in zip(reference.column("best_concept"), detector, strict=True) if d)
    assert {(c["concept"]): c["units"] for c in found["concepts"]} == dict(counts)
    edges = np.array(found["histogram"]["edges"])
    np.testing.assert_array_equal(found["histogram"]["all"], np.histogram(np.clip(iou, 0, edges[-1] - 1e-12), edges)[0])


def even_odd(polygon: list[list[float]], x: float, y: float) -> bool:
    odd = False
    for i, (x1, y1) in enumerate(polygon):
        x2, y2 = polygon[(i + 1) % len(polygon)]
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            odd = not odd
    return odd


def reference_points(client: Any, reference: Reference) -> Any:
    """Exact places of the map, which are in the order of layers and units."""
    key = client.get(f"{API}/units/map", params=ABOUT).json()["key"]
    arrays = client.get(f"{API}/results/{key}").json()["results"][0]["arrays"]
    raw = client.get(f"{API}/blobs/{arrays['points']['sha256']}").content
    return np.frombuffer(raw, np.float32).reshape(-1, 2).tolist()


def test_the_chunks_hold_every_point_to_within_a_step(client: Any, reference: Reference) -> None:
    points = whole_map(client, **ABOUT)
    exact = np.array(reference_points(client, reference))
    for axis, name in enumerate("xy"):
        low, high = points[name].min(), points[name].max()
        assert np.abs(points[name] - exact[:, axis]).max() <= (high - low) / 65535
    assert [points["layers"][la] for la in points["layer"].tolist()] == reference.layer
    assert points["unit"].tolist() == reference.unit
    assert np.abs(points["iou"] / 65535 - reference.column("best_iou")).max() <= 1 / 65535
    concepts = client.get(f"{API}/units/map", params=ABOUT).json()["concepts"]
    assert [concepts[int(c)] for c in points["concept"]] == reference.column("best_concept")


def test_chunks_are_immutable_and_belong_to_their_head(client: Any) -> None:
    head = client.get(f"{API}/units/map", params=ABOUT).json()
    query = ABOUT | {"version": head["version"]}
    answer = client.get(f"{API}/units/map/0", params=query)
    assert "immutable" in answer.headers["cache-control"]
    assert client.get(f"{API}/units/map/0", params=query, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    assert client.get(f"{API}/units/map/{head['chunks']}", params=query).status_code == 404
    wrong = client.get(f"{API}/units/map/0", params=ABOUT | {"version": "0" * 32})
    assert wrong.status_code == 409
    assert "Read GET /units/map again" in wrong.json()["detail"]


def test_the_units_that_an_image_drives(client: Any, reference: Reference) -> None:
    expected = sorted(
        (rank, number, unit)
        for number, part in enumerate(reference.parts)
        for unit, rank in zip(*np.nonzero(part["exemplars"].arrays["example"] == 5), strict=True)
    )
    got, cursor = [], None
    for _ in range(4):
        page = client.get(
            f"{API}/units/driven", params=ABOUT | {"example": 5, "limit": 200} | ({"cursor": cursor} if cursor else {})
        ).json()
        got += [(r["rank"], reference.names.index(r["layer"]), r["unit"]) for r in page["items"]]
        cursor = page["next"]
    assert got == expected[:800]
    last = expected[-1]
    end = client.get(f"{API}/units/driven", params=ABOUT | {"example": 5, "cursor": f"r{last[0]}.{last[1]}.{last[2] - 1}"}).json()
    assert [(r["rank"], r["unit"]) for r in end["items"]] == [(last[0], last[2])]
    assert end["next"] is None
    assert client.get(f"{API}/units/driven", params=ABOUT | {"example": 5, "cursor": "r1"}).status_code == 422


def test_the_export_has_every_row_in_order(client: Any, reference: Reference) -> None:
    answer = client.post(f"{API}/units/export", json=ABOUT | {"selection": {"iou": {"min": 0.1}}, "sort": "unit", "descending": False})
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    iou = reference.column("best_iou")
    assert [(r["layer"], int(r["unit"])) for r in rows] == [(reference.layer[i], reference.unit[i]) for i in range(UNITS) if iou[i] >= 0.1]
    assert [float(r["best_iou"]) for r in rows] == [v for v in iou if v >= 0.1]


def test_a_result_table_is_paged_and_sorted_on_the_server(client: Any, atlas: dict[str, Any], reference: Reference) -> None:
    key = atlas["layers"][1]["key"]
    table = reference.parts[1]["units"]
    document = client.get(f"{API}/results/{key}").json()["results"][0]["document"]
    names = [c["name"] for c in document["columns"]]
    page = client.get(f"{API}/results/{key}/units/rows", params={"sort": "density", "offset": 40, "limit": 20}).json()
    density = table.column("density").tolist()
    order = sorted(range(len(density)), key=lambda i: -density[i])[40:60]
    assert page["total"] == len(table.units)
    assert page["units"] == order
    assert [row[names.index("density")] for row in page["rows"]] == [density[i] for i in order]
    assert [row[names.index("best_concept")] for row in page["rows"]] == [table.column("best_concept")[i] for i in order]
    assert client.get(f"{API}/results/{key}/units/rows", params={"sort": "nothing"}).status_code == 422
    assert client.get(f"{API}/results/{key}/iou/rows").status_code == 422
