"""Rows that people sort, filter and join on, made from results by the names of kinds and columns alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import Connection, insert

from microtome.results import Gallery, Matrix, Result, UnitTable
from microtome.store import tables as t

STAT_TYPES = {c.name: c.type.python_type for c in t.unit_stat.columns if c.name not in ("key", "unit")}
BEST = 8  # rows of unit_concept per unit; the whole matrix stays in its blob
SLOTS = 10  # rows of exemplar per unit


def index_rows(connection: Connection, key: str, result: Result) -> None:
    """Index one result, if its kind has rows."""
    if isinstance(result, UnitTable):
        _stats(connection, key, result)
    elif isinstance(result, Matrix) and (result.row_axis, result.column_axis) == ("unit", "concept"):
        _concepts(connection, key, result)
    elif isinstance(result, Gallery):
        _exemplars(connection, key, result)


def _insert(connection: Connection, table: Any, rows: list[dict[str, Any]]) -> None:
    if rows:
        connection.execute(insert(table), rows)


def _as(kind: type, value: Any) -> Any:
    """The value as its column's type; null where it has none (a not finite number, a text in a column of numbers)."""
    if value is None or (kind is float and not np.isfinite(value)):
        return None
    return kind(value)


def _stats(connection: Connection, key: str, table: UnitTable) -> None:
    columns = {c.name: [_as(STAT_TYPES[c.name], v) for v in c.values] for c in table.columns if c.name in STAT_TYPES}
    if not columns:
        return
    rows = [{"key": key, "unit": unit, **{name: values[i] for name, values in columns.items()}} for i, unit in enumerate(table.units)]
    _insert(connection, t.unit_stat, rows)


def _concepts(connection: Connection, key: str, matrix: Matrix) -> None:
    values = np.nan_to_num(matrix.arrays["values"], nan=-1.0)
    ceiling, chance = matrix.arrays.get("ceiling"), matrix.arrays.get("chance")
    count = min(BEST, values.shape[1])
    order = np.argsort(-values, axis=1, kind="stable")[:, :count]
    rows = [
        {
            "key": key, "unit": int(unit), "rank": rank, "concept": matrix.columns[c][:300], "iou": float(values[unit, c]),
            "ceiling": None if ceiling is None else float(ceiling[unit, c]),
            "chance": None if chance is None else float(chance[unit, c]),
        }
        for unit in range(values.shape[0])
        for rank, c in enumerate(order[unit].tolist())
        if values[unit, c] > 0
    ]  # fmt: skip
    _insert(connection, t.unit_concept, rows)


def _exemplars(connection: Connection, key: str, gallery: Gallery) -> None:
    example, activation, site = (np.asarray(gallery.arrays[n]) for n in ("example", "activation", "site"))
    slots = [i for i, band in enumerate(gallery.bands) if band == "top"][:SLOTS]
    rows = [
        {
            "key": key, "unit": unit, "slot": slot, "band": gallery.bands[slot], "example": int(example[unit, slot]),
            "activation": float(activation[unit, slot]), "site_row": int(site[unit, slot, 0]),
            "site_column": int(site[unit, slot, 1]),
        }
        for unit in range(example.shape[0])
        for slot in slots
        if example[unit, slot] >= 0
    ]  # fmt: skip
    _insert(connection, t.exemplar, rows)
