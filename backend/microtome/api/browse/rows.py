"""The units table: pages of rows, and all of them as CSV."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.api.browse import atlas as atlases
from microtome.api.browse.atlas import AtlasState
from microtome.api.browse.columns import Columns, Flags
from microtome.api.browse.filter import Masks, Notes, masks, notes_of
from microtome.api.desk import Desk
from microtome.api.schemas.units import UnitsQuery
from microtome.collab.people import PersonRow
from microtome.core.errors import InvalidInput

_NUMBERS = {"iou": "best_iou"}
_SHOWN = ("best_iou", "best_ceiling", "best_chance", "density", "threshold", "mean", "std", "max")
_CSV_ROWS = 5000  # rows written between two yields
Order = npt.NDArray[np.int32]


def page(desk: Desk, me: PersonRow, query: UnitsQuery) -> dict[str, Any]:
    """The document of ``POST /units/query``."""
    found = atlases.find(desk, query.model, query.probe, query.share)
    columns = desk.browse.columns(found.keys)
    notes = notes_of(desk, me, found, columns)
    chosen = masks(desk, found, columns, notes, query.selection)
    order, mask = _order(desk, found, columns, notes, query), _wanted(chosen, query)
    start, totals = _offset(query.cursor), counts(columns, chosen)
    size = {"brushed": totals["brushed"], "filter": totals["in_filter"], "all": totals["all"]}[query.table]
    some = _some(order, mask, start, query.limit)
    return {
        "items": shapes(found, columns, notes, chosen, some),
        "next": f"o{start + query.limit}" if start + query.limit < size else None,
        "counts": totals,
    }


def counts(columns: Columns, chosen: Masks) -> dict[str, int]:
    return {"brushed": int(chosen.brushed.sum()), "in_filter": int(chosen.in_filter.sum()), "all": columns.count}


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not re.fullmatch(r"o\d{1,9}", cursor, re.ASCII):
        raise InvalidInput("This cursor is not one that was given out. Begin without a cursor.", field="cursor")
    return int(cursor[1:])


def _wanted(chosen: Masks, query: UnitsQuery) -> Flags | None:
    """Which rows the table holds; None for all."""
    return {"brushed": chosen.brushed, "filter": chosen.in_filter, "all": None}[query.table]


def _some(order: Order, mask: Flags | None, start: int, limit: int) -> Order:
    """``limit`` of the wanted rows, from the ``start``-th: the order is walked only as far as needed."""
    if mask is None:
        return order[start : start + limit]
    found: list[Order] = []
    have, place, step = 0, 0, 4096
    while place < len(order) and have < start + limit:
        block = order[place : place + step]
        hits = block[mask[block]]
        found.append(hits[max(0, start - have) : max(0, start + limit - have)])
        have, place, step = have + len(hits), place + step, step * 2
    return np.concatenate([order[:0], *found])


def _order(desk: Desk, found: AtlasState, columns: Columns, notes: Notes, query: UnitsQuery) -> Order:
    """All rows in the table's order, remembered; filtering keeps it. 4 bytes per unit and order."""
    key = ("order", found.keys, query.sort, query.descending, notes.stamp if query.sort == "notes" else None)
    return desk.browse.remember(key, lambda: _sorted(columns, notes, query.sort, query.descending).astype(np.int32), cap=16)


def _sorted(columns: Columns, notes: Notes, sort: str, descending: bool) -> npt.NDArray[np.int64]:
    sign = -1.0 if descending else 1.0
    if sort == "notes":
        values = np.zeros(columns.count)
        for row, count in notes.counts.items():
            values[row] = count
        for row, labels in notes.labels.items():
            values[row] += 0.5 * len(labels)
    elif sort == "unit":
        # by address: layers in their order, then the index
        values = columns.layer.astype(np.float64) * 1e7 + columns.unit
    elif sort == "layer":
        values = columns.layer.astype(np.float64)
    elif sort in ("concept", "category"):
        codes = columns.concept if sort == "concept" else columns.category
        # units without a concept come last, whichever way
        values = np.where(codes < 0, np.nan, codes.astype(np.float64))
    elif sort == "detector":
        values = columns.flag("detector").astype(np.float64)
    else:
        values = columns.number(_NUMBERS.get(sort, sort))
    keyed = np.where(np.isnan(values), np.inf, sign * values)
    # equal ones: the better detector first, then by address (the sort is stable)
    return np.argsort(keyed, kind="stable") if sort == "iou" else np.lexsort((-np.nan_to_num(columns.iou), keyed))


def shapes(found: AtlasState, columns: Columns, notes: Notes, chosen: Masks | None, rows: npt.NDArray[Any]) -> list[dict[str, Any]]:
    """Rows as documents."""
    sparks, marks = columns.sparks(rows)
    least = float(found.params.get("min_iou", 0.04))
    numbers = {name: [None if v != v else v for v in columns.number(name)[rows].tolist()] for name in _SHOWN}
    out = []
    for i, row in enumerate(rows.tolist()):
        layer = columns.layers[columns.layer[row]]
        concept, category = int(columns.concept[row]), int(columns.category[row])
        out.append(
            {
                "layer": layer.name, "label": found.label_of(layer.name), "unit": int(columns.unit[row]),
                "concept": columns.concepts[concept] if concept >= 0 else None,
                "category": columns.categories[category] if category >= 0 else None,
                "iou": numbers["best_iou"][i], "ceiling": numbers["best_ceiling"][i], "chance": numbers["best_chance"][i],
                "detector": bool(columns.flag("detector")[row]), "density": numbers["density"][i],
                "threshold": numbers["threshold"][i], "mean": numbers["mean"][i], "std": numbers["std"][i],
                "max": numbers["max"][i], "dead": bool(columns.flag("dead")[row]),
                "detectable": (ceiling := numbers["best_ceiling"][i]) is None or ceiling >= least, "sparkline": sparks[i],
                "threshold_bin": int(marks[i]), "key": layer.key, "labels": notes.labels.get(row, []),
                "notes": notes.counts.get(row, 0), "brushed": bool(chosen.brushed[row]) if chosen is not None else False,
                "in_filter": bool(chosen.in_filter[row]) if chosen is not None else True,
            }
        )  # fmt: skip
    return out


def csv_of(desk: Desk, me: PersonRow, query: UnitsQuery) -> Iterator[bytes]:
    """Every row of the table in order, with where it comes from in the first columns, a few thousand at a time."""
    from microtome.api.results import safe_cell

    found = atlases.find(desk, query.model, query.probe, query.share)
    columns = desk.browse.columns(found.keys)
    notes = notes_of(desk, me, found, columns)
    order, mask = _order(desk, found, columns, notes, query), _wanted(masks(desk, found, columns, notes, query.selection), query)
    rows = order if mask is None else order[mask[order]]

    def parts() -> Iterator[bytes]:
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(["model", "layer", "unit", "concept", "category", "detector", *_SHOWN, "labels", "key"])
        for start in range(0, max(1, len(rows)), _CSV_ROWS):
            some = rows[start : start + _CSV_ROWS]
            numbers = [columns.number(name)[some].tolist() for name in _SHOWN]
            detector = columns.flag("detector")[some].tolist()
            for i, row in enumerate(some.tolist()):
                layer = columns.layers[columns.layer[row]]
                concept, category = int(columns.concept[row]), int(columns.category[row])
                labels = "; ".join(label["text"] for label in notes.labels.get(row, []))
                writer.writerow(
                    [
                        found.model, layer.name, int(columns.unit[row]), columns.concepts[concept] if concept >= 0 else "",
                        columns.categories[category] if category >= 0 else "", int(detector[i]),
                        *(repr(values[i]) for values in numbers), safe_cell(labels), layer.key,
                    ]
                )  # fmt: skip
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()

    return parts()
