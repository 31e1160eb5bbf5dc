"""Who reads a finding: its workspace, or whom it is kept to, or everybody. Its frozen views are seen by the same people."""

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
    inside = me is not None and me.workspace == finding.workspace_id
    own = inside and me is not None and me.id == finding.author_id
    if finding.deleted:
        return bool(own or (inside and me is not None and me.may("editor") and finding.visibility != "private"))
    if finding.visibility in OPEN or own:
        return True
    if not inside or me is None:
        return False
    return finding.visibility != "private" or me.id in named_for(connection, finding.id)


def finding_of(connection: Connection, share_id: str) -> Row[Any] | None:
    """The finding that a frozen view belongs to."""
    query = select(t.finding).join(t.finding_view, t.finding_view.c.finding_id == t.finding.c.id)
    return connection.execute(query.where(t.finding_view.c.share_id == share_id)).one_or_none()


def view_shows(connection: Connection, me: PersonRow | None, share: Row[Any]) -> bool:
    """The same of a frozen view of a finding; before the finding is written, its maker alone."""
    finding = finding_of(connection, share.id)
    if finding is None:
        return me is not None and me.id == share.person_id and me.workspace == share.workspace_id
    return shows(connection, me, finding)
