"""All cards as one file, one row each, with what was measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, Literal

import orjson

from microtome.collab.hypotheses.cards import Hypotheses
from microtome.collab.people import PersonRow

_NUMBERS = ("value", "low", "high", "chance", "chance_low", "chance_high", "draws", "unit")
_PLAIN = (
    "id", "state", "why", "statement", "prediction", "comparison", "threshold", "interval", "model", "predicted", "note", "created",
    "changed", "revision",
)  # fmt: skip
_GIVEN = ("test", "control", "reference")
_SIDES = ("test", "control")


def export(cards: Hypotheses, me: PersonRow, format: Literal["csv", "json"]) -> tuple[bytes, str]:
    """Bytes and media type of all cards that ``me`` may see, newest first."""
    found = list(_all(cards, me))
    if format == "json":
        return orjson.dumps({"hypotheses": found}, option=orjson.OPT_INDENT_2), "application/json"
    out = io.StringIO()
    columns = [*_PLAIN, "author", "started", *_GIVEN]
    columns += [f"{side}_{name}" for side in _SIDES for name in ("verdict", *_NUMBERS, "problem", "key", "known_before")]
    writer = csv.DictWriter(out, columns, lineterminator="\n")
    writer.writeheader()
    for card in found:
        writer.writerow({name: _safe(value) for name, value in _row(card).items()})
    return out.getvalue().encode(), "text/csv; charset=utf-8"


def _all(cards: Hypotheses, me: PersonRow) -> Iterator[dict[str, Any]]:
    before = None
    while True:
        page = cards.page(me, None, None, before, 200)
        yield from page["items"]
        if page["next"] is None:
            return
        before = int(page["next"])


def _row(card: dict[str, Any]) -> dict[str, Any]:
    row = {name: card[name] for name in _PLAIN} | {"author": card["author"]["name"]}
    row |= {name: orjson.dumps(card[name], option=orjson.OPT_SORT_KEYS).decode() for name in _GIVEN}
    row["started"] = card["start"]["at"] if card["start"] else None
    for side in _SIDES:
        told = card[f"{side}_side"]
        row |= {f"{side}_{name}": told[name] for name in ("verdict", "problem", "key")}
        row |= {f"{side}_{name}": (told["measured"] or {}).get(name) for name in _NUMBERS}
        row[f"{side}_known_before"] = card["start"]["known_before"][side] if card["start"] else None
    return row


def _safe(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula begins with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
