"""All linked views at once: counts by layer and concept, the IoU histogram, who is inside."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from microtome.api.browse import atlas as atlases
from microtome.api.browse.atlas import AtlasState
from microtome.api.browse.columns import BINS, Columns, Flags
from microtome.api.browse.filter import Masks, Notes, map_points, masks, notes_of, rows_of_points
from microtome.api.browse.rows import counts
from microtome.api.desk import Desk
from microtome.api.schemas.units import AggregateQuery

MAX_CONCEPTS = 5000  # rows of the concept list; the rest are counted


def aggregate(desk: Desk, query: AggregateQuery) -> dict[str, Any]:
    """The document of ``POST /units/aggregate``."""
    found = atlases.find(desk, query.model, query.probe, query.share)
    columns = desk.browse.columns(found.keys)
    notes = notes_of(desk, found, columns)
    key = ("aggregate", found.keys, found.map_key, notes.stamp, query.selection.model_dump_json())
    return desk.browse.remember(key, lambda: _aggregate(desk, found, columns, notes, query), cap=64)


def _aggregate(desk: Desk, found: AtlasState, columns: Columns, notes: Notes, query: AggregateQuery) -> dict[str, Any]:
    chosen = masks(desk, found, columns, notes, query.selection)
    detectors = columns.flag("detector")
    ious = columns.iou[chosen.brushed]
    return {
        "counts": counts(columns, chosen) | {"detectors": int((detectors & chosen.in_filter).sum())},
        "layers": _layers(found, columns, chosen),
        "concepts": (concepts := _concepts(columns, chosen, query))[:MAX_CONCEPTS],
        "more_concepts": max(0, len(concepts) - MAX_CONCEPTS),
        "histogram": {
            "edges": columns.iou_edges,
            "all": np.bincount(columns.iou_bin, minlength=BINS),
            "in_filter": np.bincount(columns.iou_bin[chosen.in_filter], minlength=BINS),
            "brushed": np.bincount(columns.iou_bin[chosen.brushed], minlength=BINS),
        },
        "brushed_median": float(np.nanmedian(ious)) if len(ious) and not np.isnan(ious).all() else None,
        "members": _members(desk, found, columns, chosen),
    }


def _layers(found: AtlasState, columns: Columns, chosen: Masks) -> list[dict[str, Any]]:
    """Per layer: detectors by category within the filters, and how many are inside."""
    kinds = len(columns.categories) + 1
    codes = columns.layer * kinds + columns.category + 1
    inside = np.bincount(codes[chosen.in_filter & columns.flag("detector")], minlength=len(columns.layers) * kinds)
    table = inside.reshape(len(columns.layers), kinds)
    size = len(columns.layers)
    brushed = np.bincount(columns.layer[chosen.brushed], minlength=size)
    in_filter = np.bincount(columns.layer[chosen.in_filter], minlength=size)
    return [
        {
            "name": layer.name, "label": found.label_of(layer.name),
            "categories": {name: int(table[i, c + 1]) for c, name in enumerate(columns.categories) if table[i, c + 1]},
            "total": layer.stop - layer.start, "brushed": int(brushed[i]), "in_filter": int(in_filter[i]),
        }
        for i, layer in enumerate(columns.layers)
    ]  # fmt: skip


def _concepts(columns: Columns, chosen: Masks, query: AggregateQuery) -> list[dict[str, Any]]:
    """Detectors per concept within all filters but the concept ones, so that other concepts stay on offer."""
    size = len(columns.concepts)
    has = columns.flag("detector") & (columns.concept >= 0)
    units = np.bincount(columns.concept[has & chosen.but_concepts], minlength=size)
    brushed = np.bincount(columns.concept[has & chosen.brushed], minlength=size)
    selection = query.selection
    out = []
    for code in np.lexsort((np.arange(size), -units)).tolist():
        name = columns.concepts[code]
        category = name.split(":", 1)[0]
        kept = (
            (not selection.concepts or name in selection.concepts)
            and name not in selection.not_concepts
            and (not selection.categories or category in selection.categories)
        )
        if units[code] or name in selection.concepts or name in selection.not_concepts:
            out.append({"concept": name, "category": category, "units": int(units[code]), "brushed": int(brushed[code]), "in_filter": kept})
    return out


def _members(desk: Desk, found: AtlasState, columns: Columns, chosen: Masks) -> dict[str, str] | None:
    if found.map_key is None:
        return None
    points = map_points(desk, found.map_key)
    rows = desk.browse.remember(("map-rows", found.map_key, found.keys), lambda: rows_of_points(columns, points), cap=16)

    def bits(mask: Flags) -> str:
        return base64.b64encode(np.packbits(mask[rows] & (rows >= 0), bitorder="little").tobytes()).decode()

    return {"in_filter": bits(chosen.in_filter), "brushed": bits(chosen.brushed)}
