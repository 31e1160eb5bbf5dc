"""Writing dissections as a folder of Parquet tables with a manifest, which :mod:`importer` reads back without loss."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Row, select

from microtome.core.errors import Conflict, InvalidInput, NotFound
from microtome.core.keys import file_hash
from microtome.ingest.layer import STATISTICS
from microtome.ingest.manifest import FORMAT, NAME, Manifest
from microtome.probes import open_probe, split_source
from microtome.results import Gallery, Result, Scatter, UnitTable
from microtome.store import tables as t
from microtome.store.results import ResultRepository
from microtome.store.sources import IMPORT_SOURCE, SourceRepository

Array = npt.NDArray[Any]
_BLOCK_BYTES = 32 * 2**20


def export_folder(results: ResultRepository, key: str, out: Path) -> Path:
    """Write all layers of the dissection that ``key`` belongs to, and its map, into a new folder below ``out``.

    Raises:
        InvalidInput: the key is not of a dissection. Conflict: the folder is there already.
    """
    head = results.head(key)
    if head.method != "dissection":
        raise InvalidInput(f"{key[:12]} is a result of {head.method}; parquet holds dissections. Use npz or json.", field="format")
    parts = _parts(results, head)
    sources = SourceRepository(results.store)
    model, probe = sources.by_hash("model", head.model_hash), sources.by_hash("probe", head.probe_hash)
    if model is None or probe is None:
        raise NotFound(
            "The model or probe set of this result is not known any more, so the export would not say what it is of.", field="key"
        )
    folder = out / f"{model.slug}-{probe.slug}-{head.group_key[:8]}"
    if folder.exists():
        raise Conflict(f"{folder} is there already. Remove it, or choose another --out.", field="out")
    out.mkdir(parents=True, exist_ok=True)
    partial = out / f".export-{secrets.token_hex(6)}"
    partial.mkdir()
    try:
        rows = {la.name: la for la in sources.layers(model.id)}
        kept = [(name, parts[name], rows[name]) for name in rows if name in parts]
        first = results.load(kept[0][1])
        layers = [_layer(partial, number, row, results.load(own)) for number, (_, own, row) in enumerate(kept)]
        document = {
            "format": FORMAT, "version": 1, "model": _model(model, head), "probe": _probe(partial, probe, head, first),
            "measure": _measure(head, first), "bands": _bands(first), "layers": layers,
            "map": _map(partial, results, head, set(parts.values())), "software": dict(head.provenance.get("software") or {}),
            "device": str(head.provenance.get("device") or "not stated"), "created": head.created,
        }  # fmt: skip
        manifest = Manifest.model_validate(document)  # what is written can be read
        (partial / NAME).write_bytes(orjson.dumps(manifest.model_dump(mode="json", exclude_none=True), option=orjson.OPT_INDENT_2))
        os.rename(partial, folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return folder


def _parts(results: ResultRepository, head: Row[Any]) -> dict[str, str]:
    """Key by layer of all results that answer the same question."""
    query = select(t.result.c.part, t.result.c.key).where(t.result.c.group_key == head.group_key, t.result.c.method == head.method)
    with results.store.read() as connection:
        return {row.part: row.key for row in connection.execute(query)}


def _table(folder: Path, file: str, blocks: Iterator[Mapping[str, Any]]) -> dict[str, Any]:
    """Write a table block by block; its entry for the manifest."""
    path, rows = folder / file, 0
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = None
    try:
        for block in blocks:
            table = pa.table(dict(block))
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
            rows += len(table)
    finally:
        if writer is not None:
            writer.close()
    return {"file": file, "sha256": file_hash(path), "rows": rows}


def _lists(values: Array) -> pa.Array:
    """[rows, n] as lists of n."""
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.ListArray.from_arrays(pa.array(np.arange(len(values) + 1, dtype=np.int32) * values.shape[1]), flat)


def _spans(units: int, per_unit: int) -> Iterator[slice]:
    step = max(1, min(65_536, _BLOCK_BYTES // max(1, per_unit)))
    yield from (slice(start, min(start + step, units)) for start in range(0, units, step))


def _layer(folder: Path, number: int, row: Row[Any], results: Mapping[str, Result]) -> dict[str, Any]:
    """Write the tables of a layer; its entry for the manifest."""
    table = results["units"]
    assert isinstance(table, UnitTable)
    place = f"{number:03d}"  # layer names may be longer than file names
    files = {"units": _table(folder, f"{place}/units.parquet", iter([_units(table)]))}
    activation, iou = results.get("activation"), results.get("iou")
    if activation is not None and "thresholds" in activation.arrays:
        areas = iou.arrays.get("row_areas") if iou is not None else None
        files["quantiles"] = _table(folder, f"{place}/quantiles.parquet", _quantiles(activation.arrays, areas))
    if activation is not None and "counts" in activation.arrays:
        files["histograms"] = _table(
            folder, f"{place}/histograms.parquet", _per_unit(activation.arrays, {"edges": "edges", "counts": "counts"})
        )
    if iou is not None and iou.arrays["values"].shape[1]:
        files["scores"] = _table(folder, f"{place}/scores.parquet", _scores(iou.arrays, iou.columns))  # type: ignore[attr-defined]
    if isinstance(gallery := results.get("exemplars"), Gallery):
        files["exemplars"] = _table(folder, f"{place}/exemplars.parquet", _exemplars(gallery))
    if "peaks" in results:
        files["peaks"] = _table(folder, f"{place}/peaks.parquet", _per_unit(results["peaks"].arrays, {"values": "peaks"}))
    return {
        "name": row.name, "label": row.label or None, "kind": row.kind, "units": row.units, "height": row.height, "width": row.width,
        "depth": row.depth, "main": row.chosen, "files": files,
    }  # fmt: skip


def _units(table: UnitTable) -> dict[str, Any]:
    known = {field.name for field in STATISTICS}
    out: dict[str, Any] = {"unit": pa.array(np.asarray(table.units))}
    for head in table.columns:
        if head.name in known:
            values = table.column(head.name)
            if head.type == "text":
                out[head.name] = pa.array(values.tolist(), pa.string())
            else:
                out[head.name] = pa.array(np.asarray(values), mask=np.isnan(values) if head.type == "number" else None)
    return out


def _per_unit(arrays: Mapping[str, Array], names: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """One row per unit with lists: array name -> column name."""
    units = len(arrays[next(iter(names))])
    for rows in _spans(units, 8 * sum(arrays[name].shape[1] for name in names)):
        yield {"unit": np.arange(rows.start, rows.stop)} | {column: _lists(arrays[name][rows]) for name, column in names.items()}


def _quantiles(arrays: Mapping[str, Array], areas: Array | None) -> Iterator[dict[str, Any]]:
    held = {"thresholds": arrays["thresholds"]} | {n: arrays[n] for n in ("attained",) if n in arrays}
    names = {"thresholds": "threshold", "attained": "attained", "areas": "unit_area"}
    held |= {"areas": areas} if areas is not None else {}
    yield from _per_unit(held, {name: names[name] for name in held})


def _scores(arrays: Mapping[str, Array], concepts: list[str]) -> Iterator[dict[str, Any]]:
    """Pairs that share a position at the lowest quantile, with all counts; without counts, all pairs that are known."""
    values, counts = arrays["values"], arrays.get("counts")
    names = pa.array(concepts)
    for rows in _spans(len(values), len(concepts) * (24 + 8 * (counts.shape[2] if counts is not None else 0))):
        kept = np.asarray(counts[rows]).max(axis=2) > 0 if counts is not None else ~np.isnan(values[rows])
        if rows.start == 0 and counts is not None and kept.size:
            kept[0, 0] = True  # a layer that shares nothing with any concept was scored all the same: its table is not empty
        unit, concept = np.nonzero(kept)
        block = {
            "unit": unit + rows.start, "concept": pa.DictionaryArray.from_arrays(pa.array(concept.astype(np.int32)), names),
            "iou": np.asarray(values[rows])[unit, concept],
        }  # fmt: skip
        if counts is not None:
            block["intersection"] = _lists(np.asarray(counts[rows])[unit, concept])
        else:
            block |= {n: np.asarray(arrays[n][rows])[unit, concept] for n in ("chance", "ceiling") if n in arrays}
        yield block


def _exemplars(gallery: Gallery) -> Iterator[dict[str, Any]]:
    arrays = gallery.arrays
    maps = arrays.get("maps")
    ranks = np.array([rank for _, same in groupby(gallery.bands) for rank, _ in enumerate(same)])
    bands = pa.array(list(dict.fromkeys(gallery.bands)))
    code = np.array([list(dict.fromkeys(gallery.bands)).index(b) for b in gallery.bands], np.int32)
    per_slot = 32 + (4 * maps.shape[2] * maps.shape[3] if maps is not None else 0)
    for rows in _spans(len(arrays["example"]), len(ranks) * per_slot):
        example, site = np.asarray(arrays["example"][rows]), np.asarray(arrays["site"][rows])
        unit, slot = np.nonzero(example >= 0)
        at = site[unit, slot]
        block = {
            "unit": unit + rows.start, "band": pa.DictionaryArray.from_arrays(pa.array(code[slot]), bands), "rank": ranks[slot],
            "example": example[unit, slot], "activation": np.asarray(arrays["activation"][rows])[unit, slot],
            "site_row": pa.array(at[:, 0], mask=at[:, 0] < 0), "site_column": pa.array(at[:, 1], mask=at[:, 1] < 0),
        }  # fmt: skip
        if maps is not None:
            block["map"] = _lists(np.asarray(maps[rows])[unit, slot].reshape(len(unit), maps.shape[2] * maps.shape[3]))
        yield block


def _model(row: Row[Any], head: Row[Any]) -> dict[str, Any]:
    about = row.description
    geometry = about.get("geometry")
    return {
        "name": row.slug, "family": about["family"], "input": about["input"], "parameters": about["parameters"],
        "classes": about["class_names"], "hash": head.model_hash, "card": about.get("card"),
        "source": about.get("real_source") if row.source.startswith(IMPORT_SOURCE) else row.source,
        "geometry": {n: geometry[n] for n in ("mode", "resize", "input", "stated") if n in geometry} if geometry else None,
    }  # fmt: skip


def _probe(folder: Path, row: Row[Any], head: Row[Any], results: Mapping[str, Result]) -> dict[str, Any]:
    about, iou = row.description, results.get("iou")
    listed = [f"{c['category']}:{c['name']}" for c in about.get("concepts", [])]
    examples = int(results["summary"].facts["images"])  # type: ignore[attr-defined]
    out = {
        "name": row.slug, "examples": examples, "classes": about["classes"], "hash": head.probe_hash, "size": about["size"],
        "concepts": iou.columns if iou is not None else listed,  # type: ignore[attr-defined]
    }  # fmt: skip
    if row.source.startswith(IMPORT_SOURCE):
        probe = open_probe(row.source)
        names, labels = [probe.name(i) for i in range(examples)], [probe.label(i) for i in range(examples)]
        block = {"example": np.arange(examples), "name": names, "label": pa.array(labels, pa.int64())}
        return out | {"names": _table(folder, "names.parquet", iter([block]))}
    scheme, place, fragment = split_source(row.source)
    place = str(Path(place).expanduser().resolve()) if scheme == "path" else place
    return out | {"source": f"{scheme}:{place}" + (f"#{fragment}" if fragment else "")}


def _measure(head: Row[Any], results: Mapping[str, Result]) -> dict[str, Any]:
    activation, iou, summary = results.get("activation"), results.get("iou"), results["summary"]
    facts = summary.facts  # type: ignore[attr-defined]
    out = {"quantile": facts["quantile"], "min_iou": facts["min_iou"], "positions": facts.get("positions"), "chance": summary.note}
    out["permutations"] = facts.get("permutations")
    if activation is not None:
        out["grid"] = activation.grid  # type: ignore[attr-defined]
        if "counts" in activation.arrays:
            out["bins"] = activation.arrays["counts"].shape[1]
    if iou is not None and "counts" in iou.arrays:
        out |= {"concept_areas": iou.arrays["column_areas"].tolist(), "omitted_scores": "zero"}
    return out


def _bands(results: Mapping[str, Result]) -> list[dict[str, Any]]:
    gallery = results.get("exemplars")
    return [{"name": n, "count": len(list(same))} for n, same in groupby(gallery.bands)] if isinstance(gallery, Gallery) else []


def _map(folder: Path, results: ResultRepository, head: Row[Any], keys: set[str]) -> dict[str, Any] | None:
    """The newest map of exactly these layers."""
    query = select(t.result.c.key, t.result.c.builds_on).where(
        t.result.c.method == "unit-map", t.result.c.model_hash == head.model_hash, t.result.c.probe_hash == head.probe_hash
    )
    with results.store.read() as connection:
        rows = connection.execute(query.order_by(t.result.c.created.desc())).all()
    key = next((row.key for row in rows if set(row.builds_on) == keys), None)
    if key is None:
        return None
    points = results.load(key)["map"]
    assert isinstance(points, Scatter)
    layer = pa.DictionaryArray.from_arrays(pa.array(np.asarray(points.arrays["layer"])), pa.array(points.layers))
    xy = np.asarray(points.arrays["points"])
    block = {"layer": layer, "unit": np.asarray(points.arrays["unit"]), "x": xy[:, 0], "y": xy[:, 1]}
    return {**_table(folder, "map.parquet", iter([block])), "projection": points.projection}
