"""The units table: pages of rows, and all of them as CSV."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import numpy as np
import numpy.typing as npt

from microtome.api.browse import atlas as atlases
from microtome.api.browse.atlas import AtlasState
from microtome.api.browse.columns import Columns
from microtome.api.browse.filter import Masks, Notes, masks, notes_of
from microtome.api.desk import Desk
from microtome.api.schemas.units import UnitsQuery
from microtome.core.errors import InvalidInput

_NUMBERS = {"iou": "best_iou"}


def page(desk: Desk, query: UnitsQuery) -> dict[str, Any]:
    """The document of ``POST /units/query``."""
    found = atlases.find(desk, query.model, query.probe, query.share)
    columns = desk.browse.columns(found.keys)
    notes = notes_of(desk, found, columns)
    chosen = masks(desk, found, columns, notes, query.selection)
    rows = _sorted(desk, found, columns, notes, chosen, query)
    start = _offset(query.cursor)
    some = rows[start : start + query.limit]
    return {
        "items": shapes(found, columns, notes, chosen, some),
        "next": f"o{start + query.limit}" if start + query.limit < len(rows) else None,
        "counts": counts(columns, chosen),
    }


def counts(columns: Columns, chosen: Masks) -> dict[str, int]:
    return {"brushed": int(chosen.brushed.sum()), "in_filter": int(chosen.in_filter.sum()), "all": columns.count}


def _offset(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not re.fullmatch(r"o\d{1,9}", cursor, re.ASCII):
        raise InvalidInput("This cursor is not one that was given out. Begin without a cursor.", field="cursor")
    return int(cursor[1:])


def _sorted(desk: Desk, found: AtlasState, columns: Columns, notes: Notes, chosen: Masks, query: UnitsQuery) -> npt.NDArray[np.int64]:
    """Rows of the table in order. The order of all rows is remembered; filtering keeps it."""
    if query.sort == "notes":
        order = _order(columns, notes, query.sort, query.descending)
    else:
        key = ("order", found.keys, query.sort, query.descending)
        order = desk.browse.remember(key, lambda: _order(columns, notes, query.sort, query.descending), cap=40)
    if query.table == "all":
        return order
    mask = chosen.brushed if query.table == "brushed" else chosen.in_filter
    return order[mask[order]]


def _order(columns: Columns, notes: Notes, sort: str, descending: bool) -> npt.NDArray[np.int64]:
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
        values = columns.flags["detector"].astype(np.float64)
    else:
        values = columns.numbers[_NUMBERS.get(sort, sort)]
    keyed = sign * values
    last = np.isnan(keyed)
    # equal ones: the better detector first, then by address
    return np.lexsort((np.arange(columns.count), -np.nan_to_num(columns.iou), np.where(last, 0, keyed), last))


def shapes(found: AtlasState, columns: Columns, notes: Notes, chosen: Masks | None, rows: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    """Rows as documents."""
    sparks, marks = columns.sparks
    least = float(found.params.get("min_iou", 0.04))
    numbers = {name: np.nan_to_num(columns.numbers[name][rows]).tolist() for name in columns.numbers}
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
                "detector": bool(columns.flags["detector"][row]), "density": numbers["density"][i],
                "threshold": numbers["threshold"][i], "mean": numbers["mean"][i], "std": numbers["std"][i],
                "max": numbers["max"][i], "dead": bool(columns.flags["dead"][row]),
                "detectable": numbers["best_ceiling"][i] >= least, "sparkline": sparks[row],
                "threshold_bin": int(marks[row]), "key": layer.key, "labels": notes.labels.get(row, []),
                "notes": notes.counts.get(row, 0), "brushed": bool(chosen.brushed[row]) if chosen is not None else False,
                "in_filter": bool(chosen.in_filter[row]) if chosen is not None else True,
            }
        )  # fmt: skip
    return out


def csv_of(desk: Desk, query: UnitsQuery) -> bytes:
    """Every row of the table in order, with where it comes from in the first columns."""
    from microtome.api.results import safe_cell

    found = atlases.find(desk, query.model, query.probe, query.share)
    columns = desk.browse.columns(found.keys)
    notes = notes_of(desk, found, columns)
    rows = _sorted(desk, found, columns, notes, masks(desk, found, columns, notes, query.selection), query)
    out = io.StringIO()
    writer = csv.writer(out)
    names = ("best_iou", "best_ceiling", "best_chance", "density", "threshold", "mean", "std", "max")
    writer.writerow(["model", "layer", "unit", "concept", "category", "detector", *names, "labels", "key"])
    for row in rows.tolist():
        layer = columns.layers[columns.layer[row]]
        concept, category = int(columns.concept[row]), int(columns.category[row])
        labels = "; ".join(label["text"] for label in notes.labels.get(row, []))
        writer.writerow(
            [
                found.model, layer.name, int(columns.unit[row]), columns.concepts[concept] if concept >= 0 else "",
                columns.categories[category] if category >= 0 else "", int(columns.flags["detector"][row]),
                *(repr(float(columns.numbers[n][row])) for n in names), safe_cell(labels), layer.key,
            ]
        )  # fmt: skip
    return out.getvalue().encode()
