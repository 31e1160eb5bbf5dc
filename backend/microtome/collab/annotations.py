"""Labels, notes and tags. Every change is a revision; nothing is overwritten silently and nothing is lost."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, update

from microtome.collab.people import People, PersonRow
from microtome.core.errors import Conflict, InvalidInput, NotFound, PreconditionRequired, StaleVersion
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import EventRepository, audit
from microtome.store.sources import SourceRepository
from microtome.store.times import now

LABEL_LENGTH = 200


def id_for(person: PersonRow, token: str | None) -> str:
    """A new id; the same one for the same person and Idempotency-Key, so that a retry can never write twice."""
    if token is None:
        return secrets.token_hex(12)
    return hashlib.sha256(f"{person.id}\n{token}".encode()).hexdigest()[:24]


class Annotations:
    """What people say of units."""

    def __init__(self, store: Store, people: People, events: EventRepository) -> None:
        self.store, self.people, self.events = store, people, events
        self.sources = SourceRepository(store)

    def create(self, me: PersonRow, *, kind: str, model: str, layer: str, unit: int, body: str, token: str | None = None) -> dict[str, Any]:
        """
        Raises:
            NotFound, InvalidInput: no such model, layer or unit.
        """
        text = _checked(kind, body)
        row = self.sources.get("model", model)
        found = next((x for x in self.sources.layers(row.id) if layer in (x.name, x.label)), None)
        if found is None:
            raise NotFound(f"{model} has no layer '{layer[:100]}'. GET /api/v1/models/{model} lists them.", field="layer")
        if unit >= found.units:
            raise InvalidInput(
                f"Layer {found.name} has {found.units} units, numbered 0 to {found.units - 1}; there is no {unit}.", field="unit"
            )
        id, at = id_for(me, token), now()
        with self.store.write() as connection:
            if connection.execute(select(t.annotation.c.id).where(t.annotation.c.id == id)).first() is None:
                connection.execute(
                    insert(t.annotation).values(
                        id=id, kind=kind, model=row.slug, model_hash=row.hash, layer=found.name, unit=unit, body=text,
                        machine=False, revision=1, deleted=False, author_id=me.id, created=at, changed_by_id=me.id, changed=at,
                    )
                )  # fmt: skip
                self._note(connection, me, id, 1, text, False, at)
                audit(connection, me.id, f"{kind}", f"{row.slug}/{found.name}/{unit}")
                shape = self._shape(connection, id)
                self.events.add("annotation", shape, connection)
            else:
                shape = self._shape(connection, id)
        return shape

    def change(self, me: PersonRow, id: str, if_match: str | None, *, body: str | None = None, deleted: bool = False) -> dict[str, Any]:
        """A new revision with another text, or with the deletion.

        Raises:
            PreconditionRequired: without ``If-Match``. StaleVersion: somebody was faster; ``current`` is what is there now.
        """
        with self.store.write() as connection:
            row = self._locked(connection, id)
            self._match(connection, row, if_match)
            if row.deleted and not deleted:
                raise Conflict("This annotation is deleted. Restore it first.", field="id")
            text = _checked(row.kind, body) if body is not None else row.body
            return self._revise(connection, me, row, text, deleted)

    def restore(self, me: PersonRow, id: str, if_match: str | None, revision: int) -> dict[str, Any]:
        """A new revision with the text of an old one."""
        with self.store.write() as connection:
            row = self._locked(connection, id)
            self._match(connection, row, if_match)
            old = connection.execute(
                select(t.annotation_revision).where(
                    t.annotation_revision.c.annotation_id == id, t.annotation_revision.c.revision == revision
                )
            ).one_or_none()
            if old is None:
                raise NotFound(f"There is no revision {revision}; there are 1 to {row.revision}.", field="revision")
            return self._revise(connection, me, row, old.body, False)

    def history(self, id: str) -> list[dict[str, Any]]:
        query = select(t.annotation_revision).where(t.annotation_revision.c.annotation_id == id)
        with self.store.read() as connection:
            rows = connection.execute(query.order_by(t.annotation_revision.c.revision)).all()
        if not rows:
            raise NotFound(f"There is no annotation '{id[:64]}'.", field="id")
        people = self.people.many({r.person_id for r in rows})
        return [
            {"revision": r.revision, "body": r.body, "deleted": r.deleted, "author": people[r.person_id].shape(), "at": r.at} for r in rows
        ]

    def page(
        self, model: str | None, layer: str | None, unit: int | None, kind: str | None, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """Newest first, without deleted ones."""
        query = select(t.annotation).where(t.annotation.c.deleted.is_(False)).order_by(t.annotation.c.seq.desc())
        wanted = (
            (t.annotation.c.model, model),
            (t.annotation.c.layer, layer),
            (t.annotation.c.unit, unit),
            (t.annotation.c.kind, kind),
        )
        for column, value in wanted:
            if value is not None:
                query = query.where(column == value)
        if cursor is not None:
            if not re.fullmatch(r"\d{1,18}", cursor):
                raise InvalidInput("This cursor is not one that was given out. Begin without a cursor.", field="cursor")
            query = query.where(t.annotation.c.seq < int(cursor))
        with self.store.read() as connection:
            rows = connection.execute(query.limit(limit + 1)).all()
        more = rows[limit - 1].seq if len(rows) > limit else None
        return {"items": self.shapes(rows[:limit]), "next": None if more is None else str(more)}

    def of_units(self, model: str) -> Sequence[Row[Any]]:
        """All living annotations of a model, for the columns of Browse."""
        query = select(t.annotation).where(t.annotation.c.model == model, t.annotation.c.deleted.is_(False))
        with self.store.read() as connection:
            return connection.execute(query.order_by(t.annotation.c.seq)).all()

    def stamp(self, model: str) -> tuple[int, str]:
        """Changes whenever an annotation of the model does."""
        query = select(func.coalesce(func.sum(t.annotation.c.revision), 0), func.coalesce(func.max(t.annotation.c.changed), ""))
        with self.store.read() as connection:
            total, newest = connection.execute(query.where(t.annotation.c.model == model)).one()
        return int(total), str(newest)

    def shapes(self, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        people = self.people.many({r.author_id for r in rows} | {r.changed_by_id for r in rows})
        return [_shape(row, people) for row in rows]

    def _shape(self, connection: Connection, id: str) -> dict[str, Any]:
        row = connection.execute(select(t.annotation).where(t.annotation.c.id == id)).one()
        people = connection.execute(select(t.person).where(t.person.c.id.in_({row.author_id, row.changed_by_id}))).all()
        return _shape(row, {p.id: PersonRow(p.id, p.name) for p in people})

    def _locked(self, connection: Connection, id: str) -> Row[Any]:
        row = connection.execute(select(t.annotation).where(t.annotation.c.id == id).with_for_update()).one_or_none()
        if row is None:
            raise NotFound(f"There is no annotation '{id[:64]}'.", field="id")
        return row

    def _match(self, connection: Connection, row: Row[Any], if_match: str | None) -> None:
        if if_match is None:
            raise PreconditionRequired(
                'Say which revision you read: send If-Match: "<revision>", so that nobody\'s change is overwritten.',
                field="If-Match",
            )
        if if_match.strip().removeprefix("W/").strip('"') != str(row.revision):
            raise StaleVersion(
                f"Revision {row.revision} is the present one, your change was made from {if_match[:20]}. Compare with 'current', "
                "then send it again with its revision.",
                current=self._shape(connection, row.id),
                field="If-Match",
            )

    def _revise(self, connection: Connection, me: PersonRow, row: Row[Any], body: str, deleted: bool) -> dict[str, Any]:
        revision, at = row.revision + 1, now()
        connection.execute(
            update(t.annotation)
            .where(t.annotation.c.id == row.id)
            .values(body=body, deleted=deleted, revision=revision, changed_by_id=me.id, changed=at)
        )
        self._note(connection, me, row.id, revision, body, deleted, at)
        audit(connection, me.id, "delete" if deleted else "change", f"annotation {row.id}")
        shape = self._shape(connection, row.id)
        self.events.add("annotation", shape, connection)
        return shape

    def _note(self, connection: Connection, me: PersonRow, id: str, revision: int, body: str, deleted: bool, at: str) -> None:
        connection.execute(
            insert(t.annotation_revision).values(annotation_id=id, revision=revision, body=body, deleted=deleted, person_id=me.id, at=at)
        )


def _checked(kind: str, body: str) -> str:
    text = body.strip()
    if not text or "\0" in text:
        raise InvalidInput("The text is empty or holds a null character. Write something, or delete the annotation.", field="body")
    if kind in ("label", "tag") and (len(text) > LABEL_LENGTH or "\n" in text):
        raise InvalidInput(f"A {kind} is one line of at most {LABEL_LENGTH} characters. Write longer text as a note.", field="body")
    return text


def _shape(row: Row[Any], people: dict[str, PersonRow]) -> dict[str, Any]:
    return {
        "id": row.id, "kind": row.kind, "model": row.model, "model_hash": row.model_hash, "layer": row.layer, "unit": row.unit,
        "body": row.body, "author": people[row.author_id].shape(), "machine": row.machine, "revision": row.revision,
        "created": row.created, "changed": row.changed, "deleted": row.deleted,
        "changed_by": people[row.changed_by_id].shape(),
    }  # fmt: skip
