"""Rows of others as ours: explanations in the style of Neuronpedia, annotations in the style of MILANNOTATIONS."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import orjson

from microtome.collab.labels.exchange.rows import COLUMNS, Flat
from microtome.collab.people import PersonRow
from microtome.core.errors import InvalidInput
from microtome.store.times import now

LONGEST = 2000


def from_foreign(rows: list[dict[str, Any]], me: PersonRow, id: str, name: str, model: str | None) -> list[Flat]:
    """Rows that were not exported by us: a set of free texts, one answer per row, none of them informed.

    Who explained by a machine is that machine. Authors become people who cannot sign in; where there is no author they are called
    'annotator 1', 'annotator 2' by their order at the unit.
    """
    made = now()
    models = {row["model"] for row in rows if row.get("model") is not None}
    if model is None and len(models) != 1:
        raise InvalidInput(f"The file speaks of {len(models)} models. Say with 'model' which one the set is about.", field="model")
    about = model or str(next(iter(models)))
    units: dict[tuple[str, int], int] = {}
    answers = []
    for number, row in enumerate(rows, 1):
        for column in ("layer", "unit", "text"):
            if row.get(column) in (None, ""):
                raise InvalidInput(f"Row {number}, column '{column}': is empty.", field=column)
        if model is not None and row.get("model") not in (None, model):
            continue
        unit = (row["layer"], row["unit"])
        units[unit] = units.get(unit, 0) + 1
        author = row.get("person_name") or (me.name if row.get("machine_name") else f"annotator {units[unit]}")
        person = row.get("person_id") or (me.id if row.get("machine_name") else _id("author", author))
        answers.append(
            _flat(
                "rating", about, id=_id(id, str(number)), layer=unit[0], unit=unit[1], revision=1, version=1, deleted=False, informed=False,
                answer=orjson.dumps(row["text"]).decode(), person_id=person, person_name=author[:60], at=_time(row.get("at"), made, number),
                machine_name=row.get("machine_name"),
                machine_version=(row.get("machine_version") or "unknown") if row.get("machine_name") else None,
            )
        )  # fmt: skip
    content = {
        "name": name, "question": "", "schema": {"type": "text", "max_length": LONGEST}, "raters": min(50, max(units.values(), default=1)),
        "blind": False, "closed": False, "probe": None, "selection": None,
    }  # fmt: skip
    mine = {"person_id": me.id, "person_name": me.name, "at": made}
    head = _flat("set", about, id=id, revision=1, version=1, deleted=False, content=orjson.dumps(content).decode(), **mine)
    return [head, *(_flat("unit", about, layer=layer, unit=unit) for layer, unit in units), *answers]


def _flat(kind: str, model: str, **more: Any) -> Flat:
    return dict.fromkeys(COLUMNS) | {"kind": kind, "model": model, "model_hash": ""} | more


def _id(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]


def _time(given: str | None, otherwise: str, number: int) -> str:
    if not given:
        return otherwise
    try:
        moment = datetime.fromisoformat(given)
    except ValueError as error:
        raise InvalidInput(f"Row {number}, column 'at': {repr(given)[:60]} is no time in ISO 8601.", field="at") from error
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
