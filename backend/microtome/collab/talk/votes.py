"""Votes for or against an annotation, rating or comment: one per person, which can be changed and taken back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, case, delete, func, select

from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape
from microtome.collab.talk.subjects import Subject, check_subject, tell
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import EventRepository, audit
from microtome.store.times import now


class Votes:
    """See the module's docstring."""

    def __init__(self, store: Store, events: EventRepository) -> None:
        self.store, self.events = store, events

    def cast(self, me: PersonRow, subject: Subject, subject_id: str, value: int) -> Shape:
        """My vote: 1, -1, or 0 to take it back. The same vote again changes nothing."""
        v = t.vote
        mine = (v.c.subject == subject, v.c.subject_id == subject_id, v.c.person_id == me.id)
        with self.store.write() as connection:
            check_subject(connection, me, subject, subject_id)
            before = connection.execute(select(v.c.value).where(*mine)).scalar() or 0
            if value != before:
                connection.execute(delete(v).where(*mine))
                if value:
                    row = {"subject": subject, "subject_id": subject_id, "person_id": me.id, "value": value, "at": now()}
                    connection.execute(insert_ignore(connection, v), row)
                audit(connection, me.id, "vote", f"{subject} {subject_id}: {value}", me.workspace)
                tell(connection, self.events, me, "vote", {"subject": subject, "subject_id": subject_id}, subject, subject_id)
            return _counts(connection, me, subject, [subject_id])[0]

    def counts(self, me: PersonRow, subject: Subject, ids: Sequence[str]) -> list[Shape]:
        """How the votes stand."""
        with self.store.read() as connection:
            for id in ids:
                check_subject(connection, me, subject, id)
            return _counts(connection, me, subject, ids)


def _counts(connection: Connection, me: PersonRow, subject: str, ids: Sequence[str]) -> list[Shape]:
    v = t.vote
    query = (
        select(
            v.c.subject_id,
            func.sum(case((v.c.value > 0, 1), else_=0)).label("up"),
            func.sum(case((v.c.value < 0, 1), else_=0)).label("down"),
            func.sum(case((v.c.person_id == me.id, v.c.value), else_=0)).label("mine"),
        )
        .where(v.c.subject == subject, v.c.subject_id.in_(ids))
        .group_by(v.c.subject_id)
    )
    found = {row.subject_id: (int(row.up), int(row.down), int(row.mine)) for row in connection.execute(query)}
    names = ("up", "down", "mine")
    return [{"subject": subject, "subject_id": id} | dict(zip(names, found.get(id, (0, 0, 0)), strict=True)) for id in ids]
