"""From an example to units: which of them have it among their exemplars. An index search per layer, whatever the number of units."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import select, tuple_

from microtome.api.browse.atlas import AtlasState
from microtome.api.desk import Desk
from microtome.core.errors import InvalidInput
from microtome.store import tables as t


def driven_page(desk: Desk, found: AtlasState, example: int, cursor: str | None, limit: int) -> dict[str, Any]:
    """The document of ``GET /units/driven``: by rank, then layer, then unit."""
    columns = desk.browse.columns(found.keys)
    rank, place, unit = _place(cursor)
    c = t.exemplar.c
    rows: list[tuple[int, int, Any]] = []
    with desk.store.read() as connection:
        for number, layer in enumerate(columns.layers):
            # what comes after the cursor: in earlier layers the next rank, in later ones the same rank from its beginning
            after = (rank, unit) if number == place else (rank, -1) if number > place else (rank + 1, -1)
            query = (
                select(c.rank, c.unit, c.activation, c.site_row, c.site_column)
                .where(c.result == layer.number, c.example == example, tuple_(c.rank, c.unit) > tuple_(*after))
                .order_by(c.rank, c.unit)
                .limit(limit + 1)
            )
            rows += [(row.rank, number, row) for row in connection.execute(query)]
    rows.sort(key=lambda r: (r[0], r[1], r[2].unit))
    items = []
    for _, number, row in rows[:limit]:
        layer = columns.layers[number]
        at = layer.start + row.unit
        concept = int(columns.concept[at])
        items.append(
            {
                "layer": layer.name, "label": found.label_of(layer.name), "unit": row.unit, "key": layer.key, "rank": row.rank,
                "activation": row.activation, "site": (row.site_row, row.site_column),
                "concept": columns.concepts[concept] if concept >= 0 else None, "iou": float(columns.iou[at]),
                "detector": bool(columns.flag("detector")[at]),
            }
        )  # fmt: skip
    last = rows[limit - 1] if len(rows) > limit else None
    return {"items": items, "next": f"r{last[0]}.{last[1]}.{last[2].unit}" if last is not None else None}


def _place(cursor: str | None) -> tuple[int, int, int]:
    if cursor is None:
        return -1, -1, -1
    match = re.fullmatch(r"r(\d{1,4})\.(\d{1,6})\.(\d{1,9})", cursor, re.ASCII)
    if match is None:
        raise InvalidInput("This cursor is not one that was given out. Begin without a cursor.", field="cursor")
    return int(match[1]), int(match[2]), int(match[3])
