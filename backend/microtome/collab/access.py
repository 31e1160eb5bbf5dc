"""Whose things people see and change: those of their workspace, except what others keep private.

What one may not see is not there: it answers as an unknown id does, so that nobody learns of ids by trying.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Row, Table

from microtome.collab.people import PersonRow
from microtome.core.errors import Forbidden, NotFound


def visible_to(me: PersonRow, table: Table) -> ColumnElement[bool]:
    """The condition on rows of a table with ``workspace_id``, ``visibility`` and an author."""
    c = table.c
    author = c.author_id if "author_id" in c else c.person_id
    return (c.workspace_id == me.workspace) & ((c.visibility != "private") | (author == me.id))


def seen_by(me: PersonRow, row: Row[Any], what: str) -> None:
    """
    Raises:
        NotFound: it is in another workspace, or private to somebody else.
    """
    author = row.author_id if hasattr(row, "author_id") else row.person_id
    if row.workspace_id != me.workspace or (row.visibility == "private" and author != me.id):
        raise NotFound(f"There is no {what} '{row.id[:64]}'.", field="id")


def changed_by(me: PersonRow, row: Row[Any], author: str, what: str) -> None:
    """
    Raises:
        NotFound: as :func:`seen_by`. Forbidden: it is somebody else's, and ``me`` is no editor.
    """
    seen_by(me, row, what)
    if author != me.id and not me.may("editor"):
        raise Forbidden(f"This {what} is somebody else's. Only its author and editors of the workspace change it.", field="id")
