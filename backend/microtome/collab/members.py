"""Who is in a workspace: its members; in single-user mode everybody."""

from __future__ import annotations

from sqlalchemy import Connection, Select, select

from microtome.collab.people import PersonRow
from microtome.store import tables as t


def members(connection: Connection, workspace: str, *, team: bool) -> list[PersonRow]:
    """Everybody who can be assigned to something or mentioned."""
    query = select(t.person.c.id, t.person.c.name).where(t.person.c.id.in_(present(workspace, team=team))).order_by(t.person.c.id)
    return [PersonRow(row.id, row.name, workspace=workspace) for row in connection.execute(query)]


def present(workspace: str, *, team: bool) -> Select[tuple[str]]:
    """Ids of the same people, to be used within a query."""
    query = select(t.person.c.id).where(t.person.c.state == "active")
    if team:
        query = query.join(t.member, t.member.c.person_id == t.person.c.id).where(t.member.c.workspace_id == workspace)
    return query
