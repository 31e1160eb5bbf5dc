"""A synthetic load: a model of any number of units with its dissection, exemplar rows and map, in SQLite or PostgreSQL.

    python bench/synthetic.py --units 1000000 --data /tmp/million
    MICROTOME_DATA_DIR=/tmp/million microtome serve

The numbers are drawn, not measured: there is no network behind them. The model says so in its family, its card and its state
(its weights are missing), so that nobody takes them for a finding. They hang together like a real dissection, though: IoU
follows from counts of positions, exemplars are the images with the largest peaks, thresholds lie in the histograms, near
points of the map share their concept. Images are those of the built-in tinyplaces.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.core.keys import content_key
from microtome.core.settings import Settings
from microtome.engine.system import concept_counts
from microtome.probes import ProbeSet, open_probe
from microtome.results import Column, Distribution, Gallery, Matrix, Result, Scatter, Scorecard, UnitTable
from microtome.results.iou import MIN_IOU, scores
from microtome.store import open_store
from microtome.store.events import EventRepository
from microtome.store.results import ResultHead, ResultRepository
from microtome.store.sources import SourceRepository

MODEL, PROBE, SOURCE = "synthetic", "tinyplaces", "path:/no-network/these-numbers-are-synthetic"
GRID, POINT = (0.98, 0.99, 0.995), 2  # the dissection's quantile is GRID[POINT]
CONCEPTS, SLOTS, BINS, MAP = 24, 20, 40, 2
CHUNK = 50_000  # units drawn at once


def draw(units: int, layer: str, number: int, probe: ProbeSet, concepts: list[str]) -> tuple[dict[str, Result], npt.NDArray[np.float32]]:
    """Results of one layer and the places of its units on the map."""
    images, positions = len(probe), len(probe) * 96 * 96
    kinds = min(CONCEPTS, len(concepts))
    slots = min(SLOTS, images)
    rng = np.random.default_rng([7, number])
    centres = np.random.default_rng(1).uniform(-1, 1, (kinds, 2))
    shown = np.random.default_rng(2).random((kinds, images)) < 0.3  # which concept is in which image
    share = 1 / np.arange(1, kinds + 1)
    areas = np.random.default_rng(3).integers(positions // 200, positions // 8, kinds)
    f32 = {n: np.empty((units, kinds), np.float32) for n in ("values", "ceiling", "chance")}
    counts = np.empty((units, kinds, len(GRID)), np.int32)
    row_areas = np.empty((units, len(GRID)), np.int32)
    peaks = np.empty((units, images), np.float32)
    example, activation = np.empty((units, slots), np.int32), np.empty((units, slots), np.float32)
    site, maps = np.empty((units, slots, 2), np.int32), np.empty((units, slots, MAP, MAP), np.float32)
    edges, bins = np.empty((units, BINS + 1), np.float32), np.empty((units, BINS), np.int32)
    thresholds = np.empty((units, len(GRID)), np.float32)
    points, best = np.empty((units, 2), np.float32), np.empty(units, np.int64)
    moments = {n: np.empty(units) for n in ("mean", "std")}
    for start in range(0, units, CHUNK):
        here = slice(start, min(start + CHUNK, units))
        n = here.stop - here.start
        kind = rng.choice(kinds, n, p=share / share.sum())
        strength = rng.beta(1.1, 9, n)  # how much of its concept a unit covers
        row_areas[here] = (positions * (1 - np.array(GRID)) * rng.uniform(0.8, 1, (n, 1))).astype(np.int32)
        overlap = rng.uniform(0, 0.05, (n, kinds)).astype(np.float32)
        overlap[np.arange(n), kind] += strength
        shared = (overlap[:, :, None] * np.minimum(row_areas[here][:, None, :], areas[None, :, None])).astype(np.int32)
        counts[here] = shared
        score = scores(shared[:, :, POINT], row_areas[here][:, POINT], areas, positions)
        for name, values in (("values", score.iou), ("ceiling", score.ceiling), ("chance", score.chance)):
            f32[name][here] = values
        best[here] = score.iou.argmax(axis=1)
        drawn = rng.gamma(2, 1, (n, images)).astype(np.float32) + shown[kind] * (2 + 8 * strength[:, None]).astype(np.float32)
        peaks[here] = drawn
        top = np.argpartition(-drawn, slots - 1, axis=1)[:, :slots]
        top = np.take_along_axis(top, np.argsort(-np.take_along_axis(drawn, top, 1), axis=1, kind="stable"), 1)
        example[here], activation[here] = top, np.take_along_axis(drawn, top, 1)
        place = rng.integers(0, MAP * MAP, (n, slots))
        site[here] = np.stack([place // MAP, place % MAP], -1)
        cells = rng.random((n, slots, MAP * MAP), np.float32) * activation[here][:, :, None]
        np.put_along_axis(cells, place[:, :, None], activation[here][:, :, None], 2)
        maps[here] = cells.reshape(n, slots, MAP, MAP)
        top_value = drawn.max(axis=1)
        edges[here] = np.linspace(0, 1, BINS + 1, dtype=np.float32) * top_value[:, None]
        bins[here] = rng.poisson(positions / 40 * np.exp(-np.arange(BINS) / rng.uniform(2, 6, (n, 1))))
        thresholds[here] = top_value[:, None] * np.sort(rng.uniform(0.5, 0.8, (n, len(GRID))).astype(np.float32), axis=1)
        moments["mean"][here], moments["std"][here] = drawn.mean(axis=1) / 4, drawn.std(axis=1) / 4
        points[here] = centres[kind] + rng.normal(0, 0.03 + 0.16 * np.exp(-12 * strength)[:, None], (n, 2))
    row = np.arange(units)
    names = np.array(concepts[:kinds], object)
    best_iou, best_chance = f32["values"][row, best], f32["chance"][row, best]
    detector = (best_iou > MIN_IOU) & (best_iou > best_chance)
    density = np.concatenate([(peaks[s : s + CHUNK] > thresholds[s : s + CHUNK, POINT, None]).mean(axis=1) for s in range(0, units, CHUNK)])
    off = np.zeros(units, np.bool_)
    table = UnitTable.of(
        title=f"Units of {layer}", note="Synthetic numbers; there is no network behind them.", layer=layer, rows=units,
        columns=[
            Column("mean", "Mean activation", "number", moments["mean"]), Column("std", "Standard deviation", "number", moments["std"]),
            Column("min", "Minimum", "number", np.zeros(units)), Column("max", "Maximum", "number", peaks.max(axis=1)),
            Column("threshold", "Threshold", "number", thresholds[:, POINT]),
            Column("attained", "Share of positions above", "number", row_areas[:, POINT] / positions),
            Column("density", "Share of images above", "number", density), Column("dead", "Never fires", "flag", off),
            Column("constant", "Never varies", "flag", off), Column("ties", "Ties at the threshold", "flag", off),
            Column("best_concept", "Best concept", "text", names[best]),
            Column("best_category", "Category", "text", np.array([n.split(":")[0] for n in names], object)[best]),
            Column("best_iou", "IoU", "number", best_iou), Column("best_ceiling", "Ceiling", "number", f32["ceiling"][row, best]),
            Column("best_chance", "Chance level", "number", best_chance), Column("detector", "Detector", "flag", detector),
            Column("active_positions", "Positions above", "integer", row_areas[:, POINT]),
        ],
    )  # fmt: skip
    facts: dict[str, Any] = {
        "quantile": GRID[POINT], "min_iou": MIN_IOU, "images": images, "positions": positions, "units": units,
        "detectors": int(detector.sum()), "chance": float(np.median(best_chance)), "synthetic": True,
    }  # fmt: skip
    results: dict[str, Result] = {
        "units": table,
        "activation": Distribution(
            title=f"Activations of {layer}", rows=[], quantity="activation", grid=list(GRID), layer=layer,
            arrays={
                "edges": edges, "counts": bins, "thresholds": thresholds, "attained": (row_areas / positions).astype(np.float32),
            },
        ),
        "exemplars": Gallery(
            title=f"Exemplars of {layer}", layer=layer, bands=["top"] * slots, input_size=(96, 96),
            arrays={"example": example, "activation": activation, "site": site, "maps": maps},
        ),
        "peaks": Matrix(
            title="Largest activation per image", rows=[], columns=[], row_axis="unit", column_axis="example", quantity="activation",
            layer=layer, arrays={"values": peaks},
        ),
        "iou": Matrix(
            title=f"IoU of {layer} with concepts", rows=[], columns=concepts[:kinds], row_axis="unit", column_axis="concept",
            quantity="IoU", grid=list(GRID), positions=positions, layer=layer,
            arrays={**f32, "counts": counts, "row_areas": row_areas, "column_areas": areas},
        ),
        "summary": Scorecard(title=f"Detectors in {layer}", note="Synthetic numbers.", scores=[], facts=facts),
    }  # fmt: skip
    return results, points


def parts(units: int, layers: int) -> Iterator[tuple[str, int]]:
    for number in range(layers):
        yield f"layer{number}", units * (number + 1) // layers - units * number // layers


def load(settings: Settings, units: int, layers: int = 1, images: int = 64) -> dict[str, Any]:
    """Write everything; returns what was written and how long it took."""
    store = open_store(settings)
    results, sources = ResultRepository(store), SourceRepository(store)
    probe = open_probe(f"builtin:tinyplaces#val:{images}")
    model_hash = content_key({"synthetic": units, "layers": layers, "images": images})
    sizes = list(parts(units, layers))
    card = "Synthetic numbers drawn by bench/synthetic.py, for measuring the workbench with many units. There is no network."
    sources.save("model", SOURCE, model_hash, {
        "family": "synthetic, no network", "parameters": 0, "units": units, "input": [3, 96, 96], "class_names": list(probe.classes),
        "config": {"synthetic": True}, "card": card, "bytes": 0, "images_per_second": None,
        "geometry": {"mode": "exact", "resize": [96, 96], "input": [96, 96], "stated": "synthetic"},
        "layers": [
            {"name": name, "label": name, "kind": "synthetic", "units": size, "height": MAP, "width": MAP, "default": True, "depth": i}
            for i, (name, size) in enumerate(sizes)
        ],
    }, MODEL)  # fmt: skip
    sources.mark("model", MODEL, "missing", "These numbers are synthetic, drawn by bench/synthetic.py. There is no network behind them.")
    sources.save("probe", probe.source, probe.hash, {
        "kind": probe.kind, "examples": images, "classes": list(probe.classes), "size": list(probe.size or ()), "bytes": probe.bytes,
        "skipped": 0, "reports": [], "categories": dict(Counter(c.category for c in probe.concepts)),
        "concept_counts": concept_counts(probe, lambda *_: None),
        "concepts": [{"name": c.name, "category": c.category} for c in probe.concepts],
    }, PROBE)  # fmt: skip
    every = [f"{c.category}:{c.name}" for c in probe.concepts]
    concepts = every[:: max(1, len(every) // CONCEPTS)][:CONCEPTS]  # of all categories
    keys, places, seconds = [], [], {"draw": 0.0, "store": 0.0}
    group = content_key({"group": model_hash})
    subjects = {"model": MODEL, "probe": PROBE}
    about: dict[str, Any] = {
        "version": "synthetic", "model_hash": model_hash, "probe_hash": probe.hash, "seconds": 0.0,
        "provenance": {"model_hash": model_hash, "probe_hash": probe.hash, "device": "none: synthetic", "software": {}, "seed": 7},
    }  # fmt: skip
    for number, (name, size) in enumerate(sizes):
        begun = time.perf_counter()
        made, points = draw(size, name, number, probe, concepts)
        seconds["draw"] += time.perf_counter() - begun
        begun = time.perf_counter()
        key = content_key({"layer": name, "of": model_hash})
        head = {"method": "dissection", "part": name, "params": {"quantile": GRID[POINT], "min_iou": MIN_IOU}, "builds_on": []}
        results.put(ResultHead(key=key, group_key=group, subjects=subjects, **about, **head), made)
        seconds["store"] += time.perf_counter() - begun
        keys.append(key)
        places.append(points)
    points = np.concatenate(places)
    points = (points - np.median(points, axis=0)) / np.abs(points - np.median(points, axis=0)).max()
    map_ = Scatter(
        title="Unit map", layers=[name for name, _ in sizes], projection="synthetic: drawn around one centre per concept",
        arrays={
            "points": points.astype(np.float32), "unit": np.concatenate([np.arange(size, dtype=np.int32) for _, size in sizes]),
            "layer": np.repeat(np.arange(layers, dtype=np.int32), [size for _, size in sizes]),
        },
    )  # fmt: skip
    key = content_key({"map": model_hash})
    results.put(ResultHead(
        key=key, method="unit-map", part="", subjects=subjects, params={}, group_key=key, builds_on=keys, **about
    ), {"map": map_})  # fmt: skip
    EventRepository(store).add("model", {"slug": MODEL, "change": "added"})
    store.close()
    return {"units": units, "layers": layers, "exemplar_rows": units * min(SLOTS, images), "images": images,
            **{f"{name} seconds": round(value, 1) for name, value in seconds.items()}}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--layers", type=int, default=1, help="layers that the units are spread over")
    parser.add_argument("--images", type=int, default=64, help="images of tinyplaces, at least 20 for 20 exemplars per unit")
    parser.add_argument("--data", type=Path, required=True, help="data folder of the installation to fill")
    parser.add_argument("--database", help="PostgreSQL as postgresql+psycopg://...; SQLite in the data folder if left out")
    options = parser.parse_args()
    if not 1 <= options.layers <= options.units <= 2_000_000 or not 2 <= options.images <= 1000:
        parser.error("give 1 to 2,000,000 units, at most as many layers, and 2 to 1000 images")
    settings = Settings(data_dir=options.data, database_url=options.database)
    print(json.dumps(load(settings, options.units, options.layers, options.images)))


if __name__ == "__main__":
    main()
