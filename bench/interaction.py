"""What a person waits for: a cached read, moving a unit's threshold, a cross-filter over all units.

Measured at the client over loopback with one kept connection, so the figures hold the whole way through the server. Outside:
the dissection itself and the first request of each kind. The answers are checked: a repeated run computes nothing, a threshold
at the dissection's quantile gives the dissection's IoU, and the counts of a cross-filter agree with the rows it returns.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import httpx
from common import arguments, document, finish, percentiles, report

MODEL, GOALS = "builtin:tinyplaces-resnet", {"cached read": 20.0, "threshold move": 100.0, "cross-filter": 100.0}


def timed(call: Callable[[int], Any], count: int) -> list[float]:
    """Milliseconds of ``count`` calls after two that warm up."""
    call(0), call(1)
    out = []
    for index in range(count):
        start = time.perf_counter()
        call(index)
        out.append((time.perf_counter() - start) * 1000)
    return out


def measure(http: httpx.Client, images: int, count: int) -> tuple[dict[str, Any], dict[str, Any]]:
    finish(http, "/models", {"source": MODEL})
    finish(http, "/probes", {"source": f"builtin:tinyplaces#val:{images}", "name": "tinyplaces"})
    subjects = {"model": "tinyplaces-resnet", "probe": "tinyplaces"}
    first = finish(http, "/runs", {"method": "dissection", "subjects": subjects})
    finish(http, "/runs", {"method": "unit-map", "subjects": subjects})
    again = http.post("/runs", json={"method": "dissection", "subjects": subjects}).json()
    if not again["cached"] or again["forward_passes"]:
        sys.exit("the repeated run was computed again; no time is printed")
    layers = http.get("/atlas", params=subjects).json()["layers"]
    computed = [x for x in layers if x["computed"]]
    grid = http.get("/atlas", params=subjects).json()["grid"]
    points = http.get("/units/map", params=subjects).json()
    concepts = http.post("/units/aggregate", json={**subjects, "selection": {}}).json()["concepts"]

    def read(index: int) -> None:
        http.get(f"/results/{first['keys'][index % len(first['keys'])]}").raise_for_status()

    def run_again(_: int) -> None:
        assert http.post("/runs", json={"method": "dissection", "subjects": subjects}).json()["cached"]

    def move(index: int) -> None:
        layer = computed[index % len(computed)]
        path = f"/units/tinyplaces-resnet/{layer['name']}/{index % layer['units']}/concepts"
        http.get(path, params={"probe": "tinyplaces", "quantile": grid[index % len(grid)]}).raise_for_status()

    def cross(index: int) -> None:
        x = (index % 10) / 10 - 1
        polygon = [[x, -1.0], [x + 1, -1.0], [x + 1, 1.0], [x, 1.0]]
        name = concepts[index % len(concepts)] if concepts else None
        selection = {
            "iou": {"min": 0.01 + index % 7 * 0.005}, "brush": {"view": "map", "key": points["key"], "polygon": polygon},
            "not_concepts": [f"{name['category']}:{name['concept']}"] if name else [],
        }  # fmt: skip
        answer = http.post("/units/aggregate", json={**subjects, "selection": selection}).raise_for_status().json()
        if index == 0:
            query = {**subjects, "selection": selection, "table": "filter", "sort": "iou", "descending": True, "limit": 1}
            if http.post("/units/query", json=query).json()["counts"]["in_filter"] != answer["counts"]["in_filter"]:
                sys.exit("counts of table and views differ; no time is printed")

    figures: dict[str, Any] = {"images": images, "units": sum(x["units"] for x in computed), "repeats": count}
    for name, call in {"cached read": read, "cached run": run_again, "threshold move": move, "cross-filter": cross}.items():
        figures[f"{name} ms"] = {k: round(v, 2) for k, v in percentiles(timed(call, count)).items()}
    ratios = {}
    for name, goal in GOALS.items():
        p = figures[f"{name} ms"]
        ratios[f"{name} p95 over its goal of {goal:g} ms"] = {
            "median": p["p95"] / goal, "min": p["p50"] / goal, "max": p["p95"] / goal, "goal": 1.0,
        }  # fmt: skip
    return ratios, figures


def main() -> None:
    options = arguments(__doc__ or "")
    with tempfile.TemporaryDirectory() as data:
        environment = {**os.environ, "MICROTOME_DATA_DIR": data}
        command = [sys.executable, "-m", "microtome.cli", "serve", "--port", "0"]
        server = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            assert server.stdout
            match = re.search(r"http://\S+?(?=/?\s)", server.stdout.readline())
            assert match, "the server did not start"
            with httpx.Client(base_url=f"{match[0]}/api/v1", timeout=300) as http:
                ratios, figures = measure(http, 120 if options.quick else 2400, 100 if options.quick else 300)
        finally:
            server.terminate()
            server.wait()
    report(document("interaction", ratios, figures, ("fastapi", "uvicorn", "sqlalchemy", "numpy")), options.json)


if __name__ == "__main__":
    main()
