"""All linked views at once: counts by layer and concept, the IoU histogram, who is inside."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.api.browse import atlas as atlases
from microtome.api.browse.atlas import AtlasState
from microtome.api.browse.columns import BINS, Columns, Flags
from microtome.api.browse.filter import Masks, Notes, map_points, masks, notes_of, rows_of_points
from microtome.api.browse.rows import counts
from microtome.api.desk import Desk
from microtome.api.schemas.units import AggregateQuery
from microtome.collab.people import PersonRow

MAX_CONCEPTS = 5000  # rows of the concept list; the rest are counted


def aggregate(desk: Desk, me: PersonRow, query: AggregateQuery) -> dict[str, Any]:
    """The document of ``POST /units/aggregate``."""
    found = atlases.find(desk, query.model, query.probe, query.share)
    columns = desk.browse.columns(found.keys)
    notes = notes_of(desk, me, found, columns)
    key = ("aggregate", found.keys, found.map_key, notes.stamp, query.selection.model_dump_json())
    return desk.browse.remember(key, lambda: _aggregate(desk, found, columns, notes, query), cap=64)


def _aggregate(desk: Desk, found: AtlasState, columns: Columns, notes: Notes, query: AggregateQuery) -> dict[str, Any]:
    chosen = masks(desk, found, columns, notes, query.selection)
    ious = columns.iou[chosen.brushed]
    return {
        "counts": counts(columns, chosen) | {"detectors": int(chosen.in_filter[columns.detectors].sum())},
        "layers": _layers(found, columns, chosen),
        "concepts": (concepts := _concepts(columns, chosen, query))[:MAX_CONCEPTS],
        "more_concepts": max(0, len(concepts) - MAX_CONCEPTS),
        "histogram": {
            "edges": columns.iou_edges,
            "all": columns.iou_counts,
            "in_filter": np.bincount(columns.iou_bin[chosen.in_filter], minlength=BINS),
            "brushed": np.bincount(columns.iou_bin[chosen.brushed], minlength=BINS),
        },
        "brushed_median": float(np.nanmedian(ious)) if len(ious) and not np.isnan(ious).all() else None,
        "members": _members(desk, found, columns, chosen),
    }


def _layers(found: AtlasState, columns: Columns, chosen: Masks) -> list[dict[str, Any]]:
    """Per layer: detectors by category within the filters, and how many are inside."""
    kinds = len(columns.categories) + 1
    rows = columns.detectors[chosen.in_filter[columns.detectors]]
    codes = columns.layer[rows] * kinds + columns.category[rows] + 1
    table = np.bincount(codes, minlength=len(columns.layers) * kinds).reshape(len(columns.layers), kinds)
    brushed, in_filter = ([int(mask[la.start : la.stop].sum()) for la in columns.layers] for mask in (chosen.brushed, chosen.in_filter))
    return [
        {
            "name": layer.name, "label": found.label_of(layer.name),
            "categories": {name: int(table[i, c + 1]) for c, name in enumerate(columns.categories) if table[i, c + 1]},
            "total": layer.stop - layer.start, "brushed": brushed[i], "in_filter": in_filter[i],
        }
        for i, layer in enumerate(columns.layers)
    ]  # fmt: skip


def _concepts(columns: Columns, chosen: Masks, query: AggregateQuery) -> list[dict[str, Any]]:
    """Detectors per concept within all filters but the concept ones, so that other concepts stay on offer."""
    size = len(columns.concepts)
    rows = columns.detectors[columns.concept[columns.detectors] >= 0]
    concept = columns.concept[rows]
    units = np.bincount(concept[chosen.but_concepts[rows]], minlength=size)
    brushed = np.bincount(concept[chosen.brushed[rows]], minlength=size)
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

    def places() -> npt.NDArray[np.int32] | None:
        """Row of each point; None where point and row are the same."""
        rows = rows_of_points(columns, points)
        return None if len(rows) == columns.count and np.array_equal(rows, np.arange(len(rows))) else rows

    rows = desk.browse.remember(("map-rows", found.map_key, found.keys), places, cap=4)

    def bits(mask: Flags) -> str:
        inside = mask if rows is None else mask[rows] & (rows >= 0)
        return base64.b64encode(np.packbits(inside, bitorder="little").tobytes()).decode()

    return {"in_filter": bits(chosen.in_filter), "brushed": bits(chosen.brushed)}
