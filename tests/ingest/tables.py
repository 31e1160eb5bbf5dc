"""A small, consistent import folder, written with pyarrow from random activations: the numbers belong together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

GRID = [0.9, 0.98]
CONCEPTS = ["object:sky", "object:tree", "colour:red"]
EXAMPLES, SIZE, BINS = 20, 4, 8
BANDS = {"top": 3, "random": 2}
LAYERS = {"stage1": 6, "stage2": 9}
Change = Callable[[str, str, dict[str, Any]], dict[str, Any]]


def measure(units: int, seed: int) -> dict[str, Any]:
    """Everything about a layer of random activations [examples, units, SIZE, SIZE], computed in the plainest way."""
    rng = np.random.default_rng(seed)
    maps = rng.normal(0, 1, (EXAMPLES, units, SIZE, SIZE)).astype(np.float32)
    labels = np.random.default_rng(9).random((EXAMPLES, len(CONCEPTS), SIZE, SIZE)) < 0.3
    flat = maps.transpose(1, 0, 2, 3).reshape(units, -1)
    thresholds = np.quantile(flat, GRID, axis=1, method="higher").T.astype(np.float32)
    masks = maps[..., None] > thresholds[None, :, None, None, :]
    shared = np.einsum("euyxp,ecyx->ucp", masks.astype(np.int64), labels.astype(np.int64))
    peaks = maps.max(axis=(2, 3)).T
    order = np.argsort(-peaks, axis=1, kind="stable")
    slots = np.concatenate([order[:, : BANDS["top"]], np.tile([[3, 7]], (units, 1))], axis=1)
    edges = np.linspace(flat.min(1), flat.max(1), BINS + 1, axis=1).astype(np.float32)
    counts = np.stack([np.histogram(flat[u], edges[u])[0] for u in range(units)])
    return {
        "maps": maps, "flat": flat, "thresholds": thresholds, "attained": (flat[..., None] > thresholds[:, None]).mean(1),
        "unit_area": masks.sum((0, 2, 3)), "concept_areas": labels.sum((0, 2, 3)), "shared": shared, "peaks": peaks, "slots": slots,
        "edges": edges, "counts": counts,
    }  # fmt: skip


def tables_of(units: int, seed: int) -> dict[str, dict[str, Any]]:
    """Columns of every table of a layer."""
    m = measure(units, seed)
    unit = np.arange(units)
    point = GRID.index(0.98)
    pairs = [(u, c) for u in range(units) for c in range(len(CONCEPTS))]
    names = [b for b, n in BANDS.items() for _ in range(n)]
    ranks = [r for n in BANDS.values() for r in range(n)]
    rows = [(u, s) for u in range(units) for s in range(len(names))]
    site = {(u, s): np.unravel_index(m["maps"][m["slots"][u, s], u].argmax(), (SIZE, SIZE)) for u, s in rows}
    return {
        "units": {
            "unit": unit, "mean": m["flat"].mean(1, dtype=np.float64), "std": m["flat"].std(1, dtype=np.float64), "min": m["flat"].min(1),
            "max": m["flat"].max(1), "threshold": m["thresholds"][:, point], "attained": m["attained"][:, point],
            "density": (m["peaks"] > m["thresholds"][:, point, None]).mean(1), "active_positions": m["unit_area"][:, point],
        },
        "quantiles": {
            "unit": unit, "threshold": m["thresholds"].tolist(), "attained": m["attained"].tolist(), "unit_area": m["unit_area"].tolist(),
        },
        "scores": {
            "unit": [u for u, _ in pairs], "concept": [CONCEPTS[c] for _, c in pairs],
            "intersection": [m["shared"][u, c].tolist() for u, c in pairs],
        },
        "exemplars": {
            "unit": [u for u, _ in rows], "band": [names[s] for _, s in rows], "rank": [ranks[s] for _, s in rows],
            "example": [int(m["slots"][u, s]) for u, s in rows], "activation": [float(m["peaks"][u, m["slots"][u, s]]) for u, s in rows],
            "site_row": [int(site[r][0]) for r in rows], "site_column": [int(site[r][1]) for r in rows],
            "map": [m["maps"][m["slots"][u, s], u].ravel().tolist() for u, s in rows],
        },
        "histograms": {"unit": unit, "edges": m["edges"].tolist(), "counts": m["counts"].tolist()},
        "peaks": {"unit": unit, "peaks": m["peaks"].tolist()},
    }  # fmt: skip


def write_table(path: Path, columns: Mapping[str, Any], **options: Any) -> dict[str, Any]:
    """Write a table; returns its entry for the manifest, without the folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = columns if isinstance(columns, pa.Table) else pa.table(dict(columns))
    if path.suffix == ".arrow":
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    else:
        pq.write_table(table, path, **options)
    return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": len(table)}


def write_folder(
    folder: Path, *, keep: set[str] | None = None, change: Change = lambda _layer, _table, columns: columns, suffix: str = ".parquet",
    **manifest: Any,
) -> Path:  # fmt: skip
    """Write a whole import.

    Args:
        keep: tables that are written, all if None. change: alters the columns of a table before it is written.
        manifest: parts of the manifest, merged into its sections.
    """
    layers = []
    for seed, (name, units) in enumerate(LAYERS.items()):
        files = {}
        for table, columns in tables_of(units, seed).items():
            if keep is None or table in keep:
                file = f"{name}/{table}{suffix}"
                files[table] = {"file": file, **write_table(folder / file, change(name, table, columns))}
        layers.append({"name": name, "units": units, "height": SIZE, "width": SIZE, "files": files})
    x = np.random.default_rng(5).uniform(-30, 30, (2, sum(LAYERS.values())))
    points = {"layer": [n for n, u in LAYERS.items() for _ in range(u)], "unit": [i for u in LAYERS.values() for i in range(u)]}
    entry = write_table(folder / f"map{suffix}", change("", "map", {**points, "x": x[0], "y": x[1]}))
    names = {
        "example": np.arange(EXAMPLES),
        "name": [f"street/{i:03d}.jpg" for i in range(EXAMPLES)],
        "label": [i % 2 for i in range(EXAMPLES)],
    }
    listed = write_table(folder / f"names{suffix}", change("", "names", names))
    document: dict[str, Any] = {
        "format": "microtome-import", "version": 1,
        "model": {"name": "far-net", "family": "ResNet", "input": [3, 32, 32], "parameters": 1234, "classes": ["a", "b"]},
        "probe": {
            "name": "far-images", "examples": EXAMPLES, "classes": ["a", "b"], "concepts": CONCEPTS,
            "names": {"file": f"names{suffix}", **listed},
        },
        "measure": {
            "quantile": 0.98, "grid": GRID, "bins": BINS, "positions": EXAMPLES * SIZE * SIZE,
            "concept_areas": measure(1, 0)["concept_areas"].tolist(),
        },
        "bands": [{"name": n, "count": c} for n, c in BANDS.items()], "layers": layers, "software": {"torch": "9.9"}, "device": "cluster",
        "map": {"file": f"map{suffix}", "projection": "a drawing", **entry},
    }  # fmt: skip
    for section, values in manifest.items():
        document[section] = {**document[section], **values} if isinstance(values, dict) else values
    (folder / "manifest.json").write_text(json.dumps({k: v for k, v in document.items() if v is not None}))
    return folder


def reseal(folder: Path) -> None:
    """Write the checksums of the files as they are now into the manifest."""
    path = folder / "manifest.json"
    document = json.loads(path.read_text())
    entries = [f for layer in document["layers"] for f in layer["files"].values()]
    for entry in [*entries, document["map"], document["probe"]["names"]]:
        entry["sha256"] = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
    path.write_text(json.dumps(document))
