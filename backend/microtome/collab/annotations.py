"""Labels, notes and tags. Every change is a revision; nothing is overwritten silently and nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import Connection, Row, case, func, select

from microtome.collab.access import audience, changed_by, seen_by, visible_to
from microtome.collab.people import People, PersonRow
from microtome.collab.revisions import Revised, authorship, id_for, mark_of, match, named
from microtome.core.errors import Conflict, InvalidInput, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import EventRepository, audit
from microtome.store.sources import SourceRepository

LABEL_LENGTH = 200
ANNOTATION = Revised("annotation", t.annotation, t.annotation_revision)


class Annotations:
    """What people say of units."""

    def __init__(self, store: Store, people: People, events: EventRepository) -> None:
        self.store, self.people, self.events = store, people, events
        self.sources = SourceRepository(store)

    def create(
        self, me: PersonRow, *, kind: str, model: str, layer: str, unit: int, body: str, visibility: str = "workspace",
        anchor: Mapping[str, Any] | None = None, token: str | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        """
        Args:
            anchor: ``{example, polygon}``, the region of an image that a note is about, or ``{example, span}`` of a text.

        Raises:
            NotFound, InvalidInput: no such model, layer, unit or example.
        """
        text = _checked(kind, body)
        place = self._region(anchor)
        _only_notes(kind, place)
        row = self.sources.get("model", model)
        found = next((x for x in self.sources.layers(row.id) if layer in (x.name, x.label)), None)
        if found is None:
            raise NotFound(f"{model} has no layer '{layer[:100]}'. GET /api/v1/models/{model} lists them.", field="layer")
        if unit >= found.units:
            raise InvalidInput(
                f"Layer {found.name} has {found.units} units, numbered 0 to {found.units - 1}; there is no {unit}.", field="unit"
            )
        id = id_for(me, token)
        with self.store.write() as connection:
            there = connection.execute(select(t.annotation).where(t.annotation.c.id == id)).one_or_none()
            if there is not None:
                return _shape(connection, there)
            values = {
                "kind": kind, "model": row.slug, "model_hash": row.hash, "layer": found.name, "unit": unit, "body": text, "machine": False,
                "workspace_id": me.workspace, "visibility": visibility, "anchor": place,
            }  # fmt: skip
            made = ANNOTATION.add(connection, me, id, values, token=mark_of(me, token))
            audit(connection, me.id, kind, f"{row.slug}/{found.name}/{unit}", me.workspace)
            return self._told(connection, made)

    def change(
        self, me: PersonRow, id: str, if_match: str | None, *, body: str | None = None, deleted: bool = False, token: str | None = None,
        anchor: Mapping[str, Any] | Literal["keep"] | None = "keep",
    ) -> dict[str, Any]:  # fmt: skip
        """A new revision with another text or region, or with the deletion. A retry with the same token is answered, not done again.

        Raises:
            PreconditionRequired: without ``If-Match``. StaleVersion: somebody was faster; ``current`` is what is there now.
        """
        region = None if anchor == "keep" else self._region(anchor)
        with self.store.write() as connection:
            row = self._mine(connection, me, id)
            if ANNOTATION.written(connection, id, mark_of(me, token)):
                return _shape(connection, row)
            match(row, if_match, lambda: _shape(connection, row))
            if row.deleted and not deleted:
                raise Conflict("This annotation is deleted. Restore it first.", field="id")
            text = _checked(row.kind, body) if body is not None else row.body
            _only_notes(row.kind, region)
            place = row.anchor if anchor == "keep" else region
            revised = ANNOTATION.revise(connection, me, row, {"body": text, "anchor": place}, deleted, token=mark_of(me, token))
            return self._told(connection, revised)

    def restore(self, me: PersonRow, id: str, if_match: str | None, revision: int, token: str | None = None) -> dict[str, Any]:
        """A new revision with the content of an old one."""
        with self.store.write() as connection:
            row = self._mine(connection, me, id)
            if ANNOTATION.written(connection, id, mark_of(me, token)):
                return _shape(connection, row)
            match(row, if_match, lambda: _shape(connection, row))
            old = ANNOTATION.revision(connection, row, revision)
            return self._told(connection, ANNOTATION.revise(connection, me, row, ANNOTATION.of(old), token=mark_of(me, token)))

    def history(self, me: PersonRow, id: str) -> list[dict[str, Any]]:
        with self.store.read() as connection:
            seen_by(me, ANNOTATION.find(connection, id), "annotation", connection)
            rows = ANNOTATION.history(connection, id)
            people = named(connection, (r.person_id for r in rows))
        return [
            {"revision": r.revision, "body": r.body, "anchor": r.anchor, "deleted": r.deleted, "author": people[r.person_id], "at": r.at}
            for r in rows
        ]

    def page(
        self, me: PersonRow, model: str | None, layer: str | None, unit: int | None, kind: str | None, cursor: str | None, limit: int
    ) -> dict[str, Any]:
        """Newest first, without deleted ones, as far as ``me`` may see them."""
        query = select(t.annotation).where(t.annotation.c.deleted.is_(False), visible_to(me, t.annotation))
        query = query.order_by(t.annotation.c.seq.desc())
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

    def of_units(self, me: PersonRow, model: str) -> Sequence[Row[Any]]:
        """All living annotations of a model that ``me`` may see, for the columns of Browse."""
        query = select(t.annotation).where(t.annotation.c.model == model, t.annotation.c.deleted.is_(False), visible_to(me, t.annotation))
        with self.store.read() as connection:
            return connection.execute(query.order_by(t.annotation.c.seq)).all()

    def stamp(self, me: PersonRow, model: str) -> tuple[str, ...]:
        """Changes whenever an annotation of the model does that ``me`` may see; the same for people who see the same."""
        c = t.annotation.c
        query = select(
            func.coalesce(func.sum(c.revision), 0),
            func.coalesce(func.max(c.changed), ""),
            func.coalesce(func.sum(case((c.visibility == "private", 1), else_=0)), 0),
        ).where(c.model == model, visible_to(me, t.annotation))
        p = t.permit.c
        permits = select(func.count(), func.coalesce(func.max(p.at), "")).where(p.person_id == me.id)
        with self.store.read() as connection:
            total, newest, private = connection.execute(query).one()
            named = connection.execute(permits).one() if private else ("", "")
        return me.workspace, me.id if private else "", str(total), str(newest), str(named[0]), str(named[1])

    def shapes(self, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
        with self.store.read() as connection:
            return _shapes(connection, rows)

    def _mine(self, connection: Connection, me: PersonRow, id: str) -> Row[Any]:
        """The annotation, locked, if ``me`` may change it."""
        row = ANNOTATION.find(connection, id, lock=True)
        changed_by(me, row, row.author_id, "annotation", connection)
        return row

    def _region(self, anchor: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """
        Raises:
            InvalidInput: there is no such example. NotFound: there is no such probe set.
        """
        if anchor is None:
            return None
        probe, _, index = str(anchor["example"]).rpartition(":")
        about = self.sources.get("probe", probe, "anchor.example").description
        if int(index) >= about["examples"]:
            raise InvalidInput(f"{probe} has {about['examples']} examples, numbered from 0; there is no {index}.", field="anchor.example")
        wanted = "span" if about.get("modality") == "text" else "polygon"
        if anchor.get(wanted) is None:
            held = "texts: give a span of characters" if wanted == "span" else "images: give a polygon"
            raise InvalidInput(f"{probe} holds {held}.", field=f"anchor.{wanted}")
        if wanted == "span":
            return {"example": f"{probe}:{int(index)}", "span": [int(c) for c in anchor["span"]]}
        return {"example": f"{probe}:{int(index)}", "polygon": [[float(x), float(y)] for x, y in anchor["polygon"]]}

    def _told(self, connection: Connection, row: Row[Any]) -> dict[str, Any]:
        shape = _shape(connection, row)
        for person in audience(connection, row):
            self.events.add("annotation", shape, connection, workspace=row.workspace_id, person=person)
        return shape


def _only_notes(kind: str, anchor: Mapping[str, Any] | None) -> None:
    if anchor is not None and kind != "note":
        raise InvalidInput(f"Only a note can be about a region, not a {kind}. Leave the anchor out.", field="anchor")


def _checked(kind: str, body: str) -> str:
    text = body.strip()
    if not text or "\0" in text:
        raise InvalidInput("The text is empty or holds a null character. Write something, or delete the annotation.", field="body")
    if kind in ("label", "tag") and (len(text) > LABEL_LENGTH or "\n" in text):
        raise InvalidInput(f"A {kind} is one line of at most {LABEL_LENGTH} characters. Write longer text as a note.", field="body")
    return text


def _shape(connection: Connection, row: Row[Any]) -> dict[str, Any]:
    return _shapes(connection, [row])[0]


def _shapes(connection: Connection, rows: Sequence[Row[Any]]) -> list[dict[str, Any]]:
    people = named(connection, [id for row in rows for id in (row.author_id, row.changed_by_id)])
    names = ("id", "kind", "model", "model_hash", "layer", "unit", "body", "machine", "visibility", "anchor")
    return [{name: getattr(row, name) for name in names} | authorship(row, people) for row in rows]
