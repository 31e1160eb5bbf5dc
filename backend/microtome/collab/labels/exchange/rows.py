"""The flat form of a label set: one row per revision of the set, of a rating or of a decision, one per unit and per batch.

``answer`` and ``content`` are JSON, so that a cell holds any answer. What is not exported: leases, assignments, who looked before
answering (``informed`` on each revision says what came of it), comments and votes.
"""

from __future__ import annotations

from typing import Any, Literal

import orjson
from sqlalchemy import Connection, Row, Table, select

from microtome.collab.labels.sets import LABEL_SET, selection_of
from microtome.store import tables as t

Kind = Literal["set", "unit", "rating", "decision", "batch"]
#: Columns and their types, in the order of files.
COLUMNS: dict[str, type] = {
    "kind": str, "id": str, "model": str, "model_hash": str, "layer": str, "unit": int, "revision": int, "version": int, "answer": str,
    "informed": bool, "deleted": bool, "reason": str, "person_id": str, "person_name": str, "at": str, "machine_name": str,
    "machine_version": str, "batch": str, "content": str,
}  # fmt: skip
Flat = dict[str, Any]


def rows_of(connection: Connection, of: Row[Any], only: str | None = None) -> list[Flat]:
    """All rows of a label set; of ratings only those of one rater, and no decisions, if ``only`` is given."""
    people = {row.id: row.name for row in connection.execute(select(t.person.c.id, t.person.c.name))}
    units = list(connection.execute(select(t.label_unit).where(t.label_unit.c.set_id == of.id).order_by(t.label_unit.c.place)))
    names = {u.place: {"layer": u.layer, "unit": u.unit} for u in units}
    about = {"model": of.model, "model_hash": of.model_hash}

    def flat(kind: Kind, id: str | None, **more: Any) -> Flat:
        row = dict.fromkeys(COLUMNS) | {"kind": kind, "id": id} | about | more
        row["person_name"] = people.get(row["person_id"]) if row["person_id"] is not None else None
        return row

    found = []
    for r in LABEL_SET.history(connection, of.id):
        content: dict[str, Any] = LABEL_SET.of(r)
        version = content.pop("version")
        if r.revision == 1:
            content |= {"probe": of.probe, "selection": selection_of(of)}
        found.append(flat("set", of.id, **_common(r), version=version, content=_json(content)))
    found += [flat("unit", None, layer=u.layer, unit=u.unit) for u in units]
    batches = select(t.label_batch).where(t.label_batch.c.set_id == of.id).order_by(t.label_batch.c.at, t.label_batch.c.id)
    if only is None:
        found += [
            flat("batch", b.id, person_id=b.person_id, at=b.at, content=_json({"ratings": b.ratings, "undone": b.undone}))
            for b in connection.execute(batches)
        ]
    wanted = (t.rating.c.set_id == of.id) if only is None else (t.rating.c.set_id == of.id) & (t.rating.c.rater == only)
    for head, r in _past(connection, t.rating, t.rating_revision, wanted, "place", "rater", "machine"):
        machine = {} if head["machine"] is None else {f"machine_{k}": v for k, v in head["machine"].items()}
        more = {"version": r.version, "answer": _json(r.answer), "informed": r.informed, "batch": r.batch if only is None else None}
        found.append(flat("rating", head["id"], **names[head["place"]], **_common(r), **more, **machine))
    if only is None:
        for head, r in _past(connection, t.decision, t.decision_revision, t.decision.c.set_id == of.id, "place"):
            more = {"version": r.version, "answer": _json(r.answer), "reason": r.reason}
            found.append(flat("decision", head["id"], **names[head["place"]], **_common(r), **more))
    return found


def _past(connection: Connection, head: Table, past: Table, wanted: Any, *columns: str) -> list[tuple[dict[str, Any], Any]]:
    """Revisions with some columns of their heads, in order of unit and time."""
    named = [head.c.id.label("head_id"), *(head.c[name].label(f"head_{name}") for name in columns)]
    query = select(*named, past).join(past, past.c.of_id == head.c.id).where(wanted)
    rows = connection.execute(query.order_by(head.c.place, head.c.seq, past.c.revision))
    return [({name: getattr(row, f"head_{name}") for name in ("id", *columns)}, row) for row in rows]


def _common(revision: Row[Any]) -> Flat:
    return {"revision": revision.revision, "deleted": revision.deleted, "person_id": revision.person_id, "at": revision.at}


def _json(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
