"""The log of events that the stream is fed from: ids only grow, so a client can say how far it got."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text

from microtome.store import tables as t
from microtome.store.database import Store
from microtome.store.times import now
from microtome.store.wake import EVENTS, wake

KEEP = 20_000


class EventRepository:
    """Writing and reading events. Several processes may do both."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._written = 0

    def add(
        self, type: str, data: Any, connection: Connection | None = None, *, workspace: str | None = None, person: str | None = None
    ) -> None:
        """Append an event, in the caller's transaction if one is given.

        Args:
            type: its name on the wire.
            data: what JSON can hold.
            connection: the caller's transaction.
            workspace: only members of it hear of the event; everybody signed in if left out.
            person: only this person hears of it.
        """
        if connection is None:
            with self.store.write() as own:
                self.add(type, data, own, workspace=workspace, person=person)
            return
        if not self.store.sqlite:
            # Sequences number rows before they are visible; one writer at a time keeps ids in order of appearance,
            # else a reader that has seen id 8 would never see a 7 that commits later.
            connection.execute(text("SELECT pg_advisory_xact_lock(7013)"))
        connection.execute(insert(t.event).values(type=type, data=data, at=time.time(), workspace_id=workspace, person_id=person))
        wake(self.store, connection, EVENTS)
        self._written += 1
        if self._written % 1000 == 0:
            newest = connection.execute(select(func.max(t.event.c.id))).scalar() or 0
            connection.execute(delete(t.event).where(t.event.c.id <= newest - KEEP))

    def newest(self) -> int:
        with self.store.read() as connection:
            return int(connection.execute(select(func.max(t.event.c.id))).scalar() or 0)

    def oldest(self) -> int:
        with self.store.read() as connection:
            return int(connection.execute(select(func.min(t.event.c.id))).scalar() or 0)

    def after(self, id: int, limit: int = 500) -> list[Row[Any]]:
        query = select(t.event).where(t.event.c.id > id).order_by(t.event.c.id).limit(limit)
        with self.store.read() as connection:
            return list(connection.execute(query))


def audit(connection: Connection, person_id: str | None, action: str, subject: str, workspace: str | None = None) -> None:
    """Note a write in the audit log, in the same transaction; ``workspace`` is where it happened, if it was in one."""
    values = {"at": now(), "person_id": person_id, "action": action, "subject": subject[:300], "workspace_id": workspace}
    connection.execute(insert(t.audit).values(values))
