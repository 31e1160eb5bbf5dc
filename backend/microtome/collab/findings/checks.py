"""Every time a finding was checked: what was computed again, and how far it lies from what the finding says."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, func, insert, select, update

from microtome.collab.access import audience
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape, named
from microtome.core.errors import Conflict
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import EventRepository, audit
from microtome.store.times import now

BUSY = "This finding is being checked already. Wait for it, or cancel its runs."


class Checks:
    """See the module's docstring. What a check says is worked out by :mod:`microtome.collab.findings.verify`."""

    def __init__(self, store: Store, events: EventRepository) -> None:
        self.store, self.events = store, events

    def begin(self, me: PersonRow, finding: Row[Any], entries: Sequence[Shape]) -> Row[Any]:
        """Write down that it is being checked.

        Args:
            entries: of each result: ``{key, mode, run, now, why}``, see :class:`microtome.engine.check.Again`.

        Raises:
            Conflict: it is being checked already.
        """
        id = secrets.token_hex(12)
        values = {
            "id": id, "finding_id": finding.id, "revision": finding.revision, "person_id": me.id, "at": now(), "entries": list(entries),
        }  # fmt: skip
        c = t.finding_check.c
        with self.store.write(lock=f"check {finding.id}") as connection:
            if connection.execute(select(c.id).where(c.finding_id == finding.id, c.outcome.is_(None)).limit(1)).first() is not None:
                raise Conflict(BUSY, field="id")
            connection.execute(insert(t.finding_check).values(**values))
            audit(connection, me.id, "check-finding", f"{finding.seq} {id}", me.workspace)
        self._tell(finding, id)
        return self.get(finding.id, id)

    def settle(self, finding: Row[Any], id: str, outcome: Shape) -> None:
        """Write what came out, once: the first to know says it."""
        with self.store.write() as connection:
            done = connection.execute(
                update(t.finding_check)
                .where(t.finding_check.c.id == id, t.finding_check.c.outcome.is_(None))
                .values(outcome=outcome, ended=now())
            )
        if done.rowcount:
            self._tell(finding, id)

    def get(self, finding_id: str, id: str) -> Row[Any]:
        c = t.finding_check.c
        with self.store.read() as connection:
            return connection.execute(select(t.finding_check).where(c.finding_id == finding_id, c.id == id)).one()

    def unsettled(self) -> list[Row[Any]]:
        """Checks under way, oldest first."""
        c = t.finding_check.c
        with self.store.read() as connection:
            return list(connection.execute(select(t.finding_check).where(c.outcome.is_(None)).order_by(c.seq).limit(200)))

    def page(self, finding_id: str, revisions: Sequence[int], limit: int = 100) -> list[Row[Any]]:
        """Checks of these revisions, newest first."""
        c = t.finding_check.c
        query = select(t.finding_check).where(c.finding_id == finding_id, c.revision.in_(revisions)).order_by(c.seq.desc()).limit(limit)
        with self.store.read() as connection:
            return list(connection.execute(query))

    def last(self, finding_ids: Sequence[str]) -> dict[str, Row[Any]]:
        """The newest check of each."""
        c = t.finding_check.c
        newest = select(func.max(c.seq)).where(c.finding_id.in_(finding_ids)).group_by(c.finding_id)
        with self.store.read() as connection:
            return {row.finding_id: row for row in connection.execute(select(t.finding_check).where(c.seq.in_(newest)))}

    def shapes(self, rows: Sequence[Row[Any]]) -> list[Shape]:
        with self.store.read() as connection:
            people = named(connection, {row.person_id for row in rows})
        return [
            {"id": row.id, "revision": row.revision, "person": people[row.person_id], "at": row.at, "ended": row.ended,
             "runs": list(dict.fromkeys(e["run"] for e in row.entries if e["run"])), "outcome": row.outcome}
            for row in rows
        ]  # fmt: skip

    def _tell(self, finding: Row[Any], id: str) -> None:
        with self.store.write() as connection:
            told = {"id": finding.id, "check": id}
            for person in audience(connection, finding):
                self.events.add("finding-check", told, connection, workspace=finding.workspace_id, person=person)
