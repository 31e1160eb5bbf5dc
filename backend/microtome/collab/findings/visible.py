"""Who reads a finding: its workspace, or whom it is kept to, or everybody. Its frozen views are seen by the same people.

A revision is read by those who could have read it when it was the newest one: what was written in private stays there when a later
revision is shown to everybody.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, select

from microtome.collab.access import named_for
from microtome.collab.people import PersonRow
from microtome.store import tables as t

#: Who is not signed in may read these; ``public`` ones are also listed for everybody.
OPEN = ("link", "public")
#: Visibility of a share that is a view of a finding.
OF_FINDING = "finding"


def shows(connection: Connection, me: PersonRow | None, finding: Row[Any]) -> bool:
    """True if ``me`` may read it; None is who is not signed in."""
    if finding.deleted:
        if me is None or me.workspace != finding.workspace_id:
            return False
        return me.id == finding.author_id or (me.may("editor") and finding.visibility != "private")
    return finding.visibility in reads(connection, me, finding)


def inside(connection: Connection, me: PersonRow, finding: Row[Any]) -> bool:
    """True if ``me`` may read it as somebody of its workspace; there it is talked about."""
    return me.workspace == finding.workspace_id and shows(connection, me, finding)


def reads(connection: Connection, me: PersonRow | None, finding: Row[Any]) -> tuple[str, ...]:
    """Revisions of which visibility ``me`` may read, of a finding that :func:`shows`; None is who is not signed in."""
    if me is None or me.workspace != finding.workspace_id:
        return OPEN
    kept = me.id == finding.author_id or me.id in named_for(connection, finding.id)
    return (*OPEN, "workspace", *(["private"] if kept else []))


def finding_of(connection: Connection, share_id: str) -> Row[Any] | None:
    """The finding that a frozen view belongs to."""
    query = select(t.finding).join(t.finding_view, t.finding_view.c.finding_id == t.finding.c.id)
    return connection.execute(query.where(t.finding_view.c.share_id == share_id)).one_or_none()


def view_shows(connection: Connection, me: PersonRow | None, share: Row[Any]) -> bool:
    """The same of a frozen view of a finding; before the finding is written, its maker alone."""
    finding = finding_of(connection, share.id)
    if finding is None:
        return me is not None and me.id == share.person_id and me.workspace == share.workspace_id
    if not shows(connection, me, finding):
        return False
    past = t.finding_revision.c
    query = select(past.figures).where(past.of_id == finding.id, past.visibility.in_(reads(connection, me, finding)))
    return any(figure["share"] == share.id for figures in connection.execute(query).scalars() for figure in figures)
