"""Things that change by revisions: nothing is overwritten silently, nothing is lost, a retry writes once.

A kind of thing has a table of its present state and an append-only table of its revisions, which hold the same content columns.
Every function works in the caller's transaction.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Row, Table, insert, select, update

from microtome.collab.people import PersonRow
from microtome.core.errors import NotFound, PreconditionRequired, StaleVersion
from microtome.store import tables as t
from microtome.store.events import audit
from microtome.store.times import now

Shape = dict[str, Any]


def id_for(person: PersonRow, token: str | None) -> str:
    """A new id; the same one for the same person, workspace and Idempotency-Key, so that a retry can never write twice."""
    if token is None:
        return secrets.token_hex(12)
    return hashlib.sha256(f"{person.id}\n{person.workspace}\n{token}".encode()).hexdigest()[:24]


def mark_of(person: PersonRow, token: str | None) -> str | None:
    """What a revision keeps of the Idempotency-Key it was written under."""
    return None if token is None else id_for(person, token)


@dataclass(frozen=True)
class Revised:
    """One kind of thing.

    Args:
        what: how messages, the audit log and events call it.
        head: its present state, with ``id, revision, deleted, author_id, created, changed_by_id, changed``.
        past: its revisions; the first column of the primary key refers to ``head.id``.
    """

    what: str
    head: Table
    past: Table

    @property
    def key(self) -> Column[Any]:
        return next(iter(self.past.primary_key.columns))

    @property
    def content(self) -> list[str]:
        """Columns that both tables have, and that a change may give."""
        kept = {"revision", "deleted", "person_id", "at", "token", "batch", self.key.name}
        return [f"{c.name}" for c in self.past.columns if c.name not in kept]  # plain str: SQLAlchemy's own subclass is no key in JSON

    def find(self, connection: Connection, id: str, *, lock: bool = False) -> Row[Any]:
        """The present state; with ``lock``, nobody else changes it before this transaction ends."""
        query = select(self.head).where(self.head.c.id == id)
        row = connection.execute(query.with_for_update() if lock else query).one_or_none()
        if row is None:
            raise NotFound(f"There is no {self.what} '{id[:64]}'.", field="id")
        return row

    def add(self, connection: Connection, me: PersonRow, id: str, values: Mapping[str, Any], **noted: Any) -> Row[Any]:
        """The first revision. ``noted`` goes to the revision only (``token``, ``batch``)."""
        at = now()
        connection.execute(
            insert(self.head).values(
                id=id, revision=1, deleted=False, author_id=me.id, created=at, changed_by_id=me.id, changed=at, **values
            )
        )
        self._note(connection, me, id, 1, {name: values[name] for name in self.content}, False, at, noted)
        return self.find(connection, id)

    def revise(
        self, connection: Connection, me: PersonRow, row: Row[Any], changes: Mapping[str, Any], deleted: bool = False, **noted: Any
    ) -> Row[Any]:
        """One more revision, with ``changes`` to the content."""
        revision, at = row.revision + 1, now()
        content = {name: changes.get(name, getattr(row, name)) for name in self.content}
        connection.execute(
            update(self.head)
            .where(self.head.c.id == row.id)
            .values(**content, deleted=deleted, revision=revision, changed_by_id=me.id, changed=at)
        )
        self._note(connection, me, row.id, revision, content, deleted, at, noted)
        audit(connection, me.id, "delete" if deleted else "change", f"{self.what} {row.id}", me.workspace)
        return self.find(connection, row.id)

    def written(self, connection: Connection, id: str, mark: str | None) -> bool:
        """True if a revision under this mark is there already: the request is a retry."""
        if mark is None:
            return False
        query = select(self.past.c.revision).where(self.key == id, self.past.c.token == mark)
        return connection.execute(query.limit(1)).first() is not None

    def revision(self, connection: Connection, row: Row[Any], revision: int) -> Row[Any]:
        """An old revision of a thing."""
        found = connection.execute(select(self.past).where(self.key == row.id, self.past.c.revision == revision)).one_or_none()
        if found is None:
            raise NotFound(f"There is no revision {revision}; there are 1 to {row.revision}.", field="revision")
        return found

    def history(self, connection: Connection, id: str) -> list[Row[Any]]:
        """All revisions, oldest first."""
        rows = list(connection.execute(select(self.past).where(self.key == id).order_by(self.past.c.revision)))
        if not rows:
            raise NotFound(f"There is no {self.what} '{id[:64]}'.", field="id")
        return rows

    def of(self, row: Row[Any]) -> dict[str, Any]:
        """The content of a present state or of a revision."""
        return {name: getattr(row, name) for name in self.content}

    def _note(
        self, connection: Connection, me: PersonRow, id: str, revision: int, content: Mapping[str, Any], deleted: bool, at: str,
        noted: Mapping[str, Any],
    ) -> None:  # fmt: skip
        connection.execute(
            insert(self.past).values(**{self.key.name: id}, revision=revision, **content, deleted=deleted, person_id=me.id, at=at, **noted)
        )


def match(row: Row[Any], if_match: str | None, current: Callable[[], Shape]) -> None:
    """Refuse a change that was not made from the present revision.

    Raises:
        PreconditionRequired: without ``If-Match``. StaleVersion: somebody was faster; ``current()`` is what is there now.
    """
    if if_match is None:
        raise PreconditionRequired(
            'Say which revision you read: send If-Match: "<revision>", so that nobody\'s change is overwritten.',
            field="If-Match",
        )
    if if_match.strip().removeprefix("W/").strip('"') != str(row.revision):
        raise StaleVersion(
            f"Revision {row.revision} is the present one, your change was made from {if_match[:20]}. Compare with 'current', "
            "then send it again with its revision.",
            current=current(),
            field="If-Match",
        )


def named(connection: Connection, ids: Iterable[str | None]) -> dict[str, Shape]:
    """The shapes of these people, within the caller's transaction."""
    wanted = {id for id in ids if id is not None}
    if not wanted:
        return {}
    rows = connection.execute(select(t.person).where(t.person.c.id.in_(wanted)))
    return {row.id: PersonRow(row.id, row.name).shape() for row in rows}


def authorship(row: Row[Any], people: Mapping[str, Shape]) -> Shape:
    """What the shapes of all changeable things end with."""
    return {
        "author": people[row.author_id], "revision": row.revision, "created": row.created, "changed": row.changed,
        "deleted": row.deleted, "changed_by": people[row.changed_by_id],
    }  # fmt: skip
