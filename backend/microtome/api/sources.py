"""Models and probe sets in their shapes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Row, select

from microtome.api.browse import atlas as atlases
from microtome.api.desk import Desk
from microtome.collab.people import PersonRow
from microtome.store import tables as t
from microtome.store.sources import Type


def looked_at(desk: Desk, type: Type, row: Row[Any]) -> tuple[str, str | None]:
    """State of a source now; news is written down and told to everybody."""
    state, problem = desk.engine.reader.state(type, row.source, row.hash)
    if (state, problem) != (row.state, row.problem) and desk.engine.sources.mark(type, row.slug, state, problem):
        desk.engine.events.add(type, {"slug": row.slug, "change": state})
    return state, problem


def model_shapes(desk: Desk, me: PersonRow) -> list[dict[str, Any]]:
    return [_model(desk, me, row) for row in desk.engine.sources.all("model")]


def model_detail(desk: Desk, me: PersonRow, slug: str) -> dict[str, Any]:
    row = desk.engine.sources.get("model", slug)
    about = row.description
    layers = [layer_shape(la) for la in desk.engine.sources.layers(row.id)]
    return _model(desk, me, row) | {
        "layers": layers, "class_names": about["class_names"], "config": about.get("config") or {}, "card": about.get("card"),
    }  # fmt: skip


def layer_shape(row: Row[Any]) -> dict[str, Any]:
    return {
        "name": row.name, "label": row.label, "kind": row.kind, "units": row.units, "height": row.height, "width": row.width,
        "default": row.chosen, "order": row.position, "depth": row.depth,
    }  # fmt: skip


def _model(desk: Desk, me: PersonRow, row: Row[Any]) -> dict[str, Any]:
    state, problem = looked_at(desk, "model", row)
    about = row.description
    return {
        "slug": row.slug, "source": row.source, "family": about["family"], "modality": about.get("modality", "image"),
        "task": about.get("task"), "hash": row.hash, "state": state, "problem": problem,
        "parameters": about["parameters"], "units": about["units"], "input": about["input"],
        "classes": len(about["class_names"]), "bytes": about["bytes"], "added": row.added,
        "builtin": row.source.startswith("builtin:"), "dissection": _dissection(desk, me, row),
    }  # fmt: skip


def _dissection(desk: Desk, me: PersonRow, row: Row[Any]) -> dict[str, Any] | None:
    """What Home shows: the newest dissection of the model, or the one under way."""
    probe = _dissected_on(desk, row)
    if probe is None:
        return None
    found = atlases.find(desk, row.slug, probe)
    columns = desk.browse.columns(found.keys)
    layers = []
    for layer in found.layers:
        if layer.default or layer.computed:
            categories = columns.detectors_by_category(layer.name) if layer.key is not None else {}
            layers.append(
                {
                    "label": layer.label,
                    "name": layer.name,
                    "units": layer.units,
                    "categories": categories,
                    "computed": layer.computed,
                }
            )
    state = {"partial": "current"}.get(found.state, found.state)
    labelled = len({(a.layer, a.unit) for a in desk.annotations.of_units(me, row.slug) if a.kind == "label"})
    run = found.run.id if found.run is not None else None
    return {"probe": probe, "state": state, "run": run, "layers": layers, "labelled": labelled}


def _dissected_on(desk: Desk, row: Row[Any]) -> str | None:
    hashes = [v.hash for v in desk.engine.sources.versions("model", row.slug)]
    with desk.store.read() as connection:
        open_run = connection.execute(
            select(t.run.c.subjects)
            .where(t.run.c.model == row.slug, t.run.c.method == "dissection", t.run.c.state.in_(("queued", "running")))
            .order_by(t.run.c.seq.desc())
        ).scalar()
        newest = connection.execute(
            select(t.result.c.probe_hash)
            .where(t.result.c.method == "dissection", t.result.c.model_hash.in_(hashes))
            .order_by(t.result.c.created.desc())
        ).scalar()
    names = [open_run["probe"]] if open_run else []
    if newest is not None and (probe := desk.engine.sources.by_hash("probe", newest)) is not None:
        names.append(probe.slug)
    return next((n for n in names if desk.engine.sources.find("probe", n) is not None), None)


def probe_shapes(desk: Desk) -> list[dict[str, Any]]:
    return [_probe(desk, row) for row in desk.engine.sources.all("probe")]


def probe_detail(desk: Desk, slug: str) -> dict[str, Any]:
    row = desk.engine.sources.get("probe", slug)
    return _probe(desk, row) | {
        "concept_list": list(_concepts(desk.engine.sources.concepts(row.id), row.description.get("concept_counts") or [])),
        "reports": row.description["reports"],
    }


def _concepts(rows: Iterable[Row[Any]], counts: list[list[int]]) -> Iterable[dict[str, Any]]:
    """Concepts with the images and pixels that have them; null for sets that were read before these were counted."""
    for row in rows:
        images, pixels = counts[row.position] if row.position < len(counts) else (None, None)
        yield {"index": row.position, "name": row.name, "category": row.category, "images": images, "pixels": pixels}


def _probe(desk: Desk, row: Row[Any]) -> dict[str, Any]:
    state, problem = looked_at(desk, "probe", row)
    about = row.description
    return {
        "slug": row.slug, "source": row.source, "hash": row.hash, "modality": about.get("modality", "image"),
        "kind": about["kind"], "examples": about["examples"],
        "classes": about["classes"], "size": about["size"], "concepts": sum(about["categories"].values()),
        "categories": about["categories"], "bytes": about["bytes"], "added": row.added,
        "builtin": row.source.startswith("builtin:"), "skipped": about["skipped"], "state": state, "problem": problem,
    }  # fmt: skip
