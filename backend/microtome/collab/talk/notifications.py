"""What somebody should know of: they were mentioned, answered, given units to label, or their hypothesis has an outcome."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, func, insert, select, update

from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape, named
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import EventRepository
from microtome.store.times import now

Kind = Literal["mention", "reply", "assigned", "shared", "outcome"]


def notify(
    connection: Connection, events: EventRepository, actor: PersonRow, people: Iterable[str], kind: Kind, subject: str, subject_id: str,
    comment: str | None = None, *, own: bool = False,
) -> None:  # fmt: skip
    """Tell some people of something, in the caller's transaction; not oneself of one's own doing, but for ``own``: what came of it."""
    n = t.notification
    for person in sorted(set(people) - (set() if own else {actor.id})):
        values = {
            "person_id": person, "workspace_id": actor.workspace, "kind": kind, "subject": subject, "subject_id": subject_id,
            "comment_id": comment, "actor_id": actor.id, "at": now(), "read": None,
        }  # fmt: skip
        id = connection.execute(insert(n).values(values).returning(n.c.seq)).scalar_one()
        told = {"id": str(id), "kind": kind, "unread": _unread(connection, person, actor.workspace)}
        events.add("notification", told, connection, workspace=actor.workspace, person=person)


class Notifications:
    """My own, in the workspace that I am in."""

    def __init__(self, store: Store, events: EventRepository) -> None:
        self.store, self.events = store, events

    def page(self, me: PersonRow, unread: bool, before: int | None, limit: int) -> Shape:
        """Newest first."""
        n = t.notification
        query = select(n).where(n.c.person_id == me.id, n.c.workspace_id == me.workspace).order_by(n.c.seq.desc())
        if unread:
            query = query.where(n.c.read.is_(None))
        if before is not None:
            query = query.where(n.c.seq < before)
        with self.store.read() as connection:
            rows = list(connection.execute(query.limit(limit + 1)))
            people = named(connection, (row.actor_id for row in rows[:limit]))
            left = _unread(connection, me.id, me.workspace)
        items = [
            {"id": str(r.seq), "kind": r.kind, "subject": r.subject, "subject_id": r.subject_id, "comment": r.comment_id,
             "actor": people[r.actor_id], "at": r.at, "read": r.read}
            for r in rows[:limit]
        ]  # fmt: skip
        return {"items": items, "next": str(rows[limit - 1].seq) if len(rows) > limit else None, "unread": left}

    def read(self, me: PersonRow, ids: Sequence[int] | None) -> Shape:
        """Mark some as read, or all if ``ids`` is None."""
        n = t.notification
        mine: list[Any] = [n.c.person_id == me.id, n.c.workspace_id == me.workspace, n.c.read.is_(None)]
        with self.store.write() as connection:
            connection.execute(update(n).where(*mine, *([] if ids is None else [n.c.seq.in_(ids)])).values(read=now()))
            left = _unread(connection, me.id, me.workspace)
            self.events.add("notification", {"id": None, "kind": None, "unread": left}, connection, workspace=me.workspace, person=me.id)
        return {"unread": left}


def _unread(connection: Connection, person: str, workspace: str) -> int:
    n = t.notification
    query = select(func.count()).where(n.c.person_id == person, n.c.workspace_id == workspace, n.c.read.is_(None))
    return int(connection.execute(query).scalar_one())
