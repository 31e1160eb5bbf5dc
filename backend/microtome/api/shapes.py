"""Rows of the store in the shapes of ``docs/routes.md``."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import Row, false, select

from microtome.api.desk import Desk
from microtome.collab.people import MAIN, PersonRow
from microtome.core.errors import InvalidInput
from microtome.store import tables as t


def person_shape(person: PersonRow) -> dict[str, str]:
    return person.shape()


def run_shapes(desk: Desk, rows: list[Row[Any]]) -> list[dict[str, Any]]:
    """Runs, with few queries for all of them."""
    parts = desk.engine.runs.parts([row.id for row in rows])
    people = desk.people.many({row.person_id for row in rows if row.person_id is not None})
    return [_run(desk, row, parts[row.id], people.get(row.person_id)) for row in rows]


def run_shape(desk: Desk, row: Row[Any]) -> dict[str, Any]:
    return run_shapes(desk, [row])[0]


def _run(desk: Desk, row: Row[Any], parts: list[tuple[str, str, bool]], person: PersonRow | None) -> dict[str, Any]:
    error = None
    if row.error is not None:
        error = {"title": row.error["title"], "detail": row.error["detail"], "field": row.error.get("field")}
    return {
        "id": row.id, "method": row.method, "title": row.title, "subjects": row.subjects, "params": row.params,
        "state": row.state, "cached": row.cached, "keys": [key for _, key, _ in parts],
        "parts": [{"part": part, "key": key, "done": done} for part, key, done in parts],
        "progress": row.progress if row.state == "running" else None, "place": desk.engine.runs.place(row), "error": error,
        "person": person.shape() if person is not None else None, "created": row.created, "started": row.started,
        "ended": row.ended, "seconds": row.seconds, "forward_passes": row.forward_passes,
    }  # fmt: skip


def run_page(desk: Desk, state: str | None, model: str | None, method: str | None, cursor: str | None, limit: int) -> dict[str, Any]:
    before = number_cursor(cursor)
    rows = desk.engine.runs.page(state=state, model=model, method=method, before=before, limit=limit + 1)
    return {
        "items": run_shapes(desk, rows[:limit]) if rows else [],
        "next": str(rows[limit - 1].seq) if len(rows) > limit else None,
    }


def audit_page(desk: Desk, me: PersonRow, cursor: str | None, limit: int) -> dict[str, Any]:
    """Lines of the workspace; with those of the installation in the first one."""
    before, c = number_cursor(cursor), t.audit.c
    query = select(t.audit).order_by(c.id.desc()).limit(limit + 1)
    query = query.where((c.workspace_id == me.workspace) | (c.workspace_id.is_(None) if me.workspace == MAIN else false()))
    if before is not None:
        query = query.where(c.id < before)
    with desk.store.read() as connection:
        rows = connection.execute(query).all()
    people = desk.people.many({row.person_id for row in rows if row.person_id is not None})
    items = []
    for row in rows[:limit]:
        person = people.get(row.person_id)
        line = {"id": row.id, "at": row.at, "action": row.action, "subject": row.subject, "workspace": row.workspace_id}
        items.append(line | {"person": person.shape() if person is not None else None})
    return {"items": items, "next": str(rows[limit - 1].id) if len(rows) > limit else None}


def number_cursor(cursor: str | None) -> int | None:
    """
    Raises:
        InvalidInput: it was not given out by this server.
    """
    if cursor is None:
        return None
    if not re.fullmatch(r"\d{1,18}", cursor, re.ASCII):
        raise InvalidInput("This cursor is not one that was given out. Begin without a cursor.", field="cursor")
    return int(cursor)
