"""Whose things people see and change: those of their workspace, except what others keep private. A private thing is its author's,
and of whom they name (table ``permit``).

What one may not see is not there: it answers as an unknown id does, so that nobody learns of ids by trying.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Table, select

from microtome.collab.people import PersonRow
from microtome.core.errors import Forbidden, NotFound
from microtome.store import tables as t


def visible_to(me: PersonRow, table: Table) -> ColumnElement[bool]:
    """The condition on rows of a table with ``id``, ``workspace_id``, ``visibility`` and an author."""
    c = table.c
    author = c.author_id if "author_id" in c else c.person_id
    named = c.id.in_(select(t.permit.c.subject_id).where(t.permit.c.person_id == me.id))
    return (c.workspace_id == me.workspace) & ((c.visibility != "private") | (author == me.id) | named)


def seen_by(me: PersonRow, row: Row[Any], what: str, connection: Connection | None = None) -> None:
    """
    Args:
        me: who asks.
        row: a row with ``id``, ``workspace_id``, ``visibility`` and an author.
        what: how messages call it.
        connection: with it, people whom the author named see it too; without, a private thing is its author's alone.

    Raises:
        NotFound: it is in another workspace, or private to somebody else.
    """
    inside = row.workspace_id == me.workspace
    if inside and (row.visibility != "private" or author_of(row) == me.id):
        return
    if not inside or connection is None or me.id not in named_for(connection, row.id):
        raise NotFound(f"There is no {what} '{row.id[:64]}'.", field="id")


def changed_by(me: PersonRow, row: Row[Any], author: str, what: str, connection: Connection | None = None) -> None:
    """
    Raises:
        NotFound: as :func:`seen_by`. Forbidden: it is somebody else's, and ``me`` is no editor.
    """
    seen_by(me, row, what, connection)
    if author != me.id and not me.may("editor"):
        raise Forbidden(f"This {what} is somebody else's. Only its author and editors of the workspace change it.", field="id")


def author_of(row: Row[Any]) -> str:
    return str(row.author_id if hasattr(row, "author_id") else row.person_id)


def named_for(connection: Connection, subject_id: str) -> set[str]:
    """Ids of the people who see this private thing beside its author."""
    return set(connection.execute(select(t.permit.c.person_id).where(t.permit.c.subject_id == subject_id)).scalars())


def audience(connection: Connection, row: Row[Any]) -> list[str | None]:
    """For whom events about a thing are: ``[None]``, the whole workspace, or the people who see a private one, one by one."""
    if row.visibility != "private":
        return [None]
    return [*sorted({author_of(row)} | named_for(connection, row.id))]
