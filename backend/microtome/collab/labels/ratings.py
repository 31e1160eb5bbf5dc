"""Ratings: one living answer per rater, label set and unit. A rater is a person, or a machine with name and version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select, update

from microtome.collab.labels.schema import checked, read_schema, value_of
from microtome.collab.labels.sets import find_set, place_of, set_behind
from microtome.collab.labels.visible import EVERY, has_looked, rater_of, sees, visible
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Revised, Shape, authorship, id_for, mark_of, match, named
from microtome.core.errors import Conflict, Forbidden, InvalidInput, MicrotomeError, NotFound, PreconditionRequired
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import EventRepository, audit
from microtome.store.times import now

RATING = Revised("rating", t.rating, t.rating_revision)
BULK = 500  # ratings in one write


def machine_rater(machine: Mapping[str, str]) -> str:
    """How a machine is named among raters."""
    return f"m:{machine['name']}@{machine['version']}"


class Ratings:
    """Giving, changing and reading answers."""

    def __init__(self, store: Store, events: EventRepository) -> None:
        self.store, self.events = store, events

    def give(
        self, me: PersonRow, set_id: str, layer: str, unit: int, answer: Any, machine: Mapping[str, str] | None = None,
        token: str | None = None,
    ) -> Shape:  # fmt: skip
        """My answer for a unit, or a machine's, which an editor may add.

        Raises:
            Conflict: there is one already (change it), or the set is closed. Forbidden: a machine's, by less than an editor.
        """
        with self.store.write() as connection:
            of = self._open(connection, me, set_id, machine)
            place = place_of(connection, set_id, layer, unit, lock=True)
            there = self._of_rater(connection, of, place, me, machine)
            if there is not None and RATING.written(connection, there.id, mark_of(me, token)):
                return shape_of(connection, me, of, there)
            if there is not None and not there.deleted:
                raise Conflict(f"This answer is there already. Change it: PATCH /api/v1/ratings/{there.id}.", field="unit")
            noted: dict[str, Any] = {"token": mark_of(me, token)}
            return self._told(connection, me, of, self._write(connection, me, of, place, there, answer, machine, noted))

    def change(
        self, me: PersonRow, id: str, if_match: str | None, *, answer: Any = None, deleted: bool = False, token: str | None = None
    ) -> Shape:
        """Another answer, or the deletion. Only its author changes an answer; an editor may delete it."""
        with self.store.write() as connection:
            of, row = self._mine(connection, me, id, editors=deleted)
            if RATING.written(connection, id, mark_of(me, token)):
                return shape_of(connection, me, of, row)
            match(row, if_match, lambda: shape_of(connection, me, of, row))
            noted: dict[str, Any] = {"token": mark_of(me, token)}
            if deleted:
                return self._told(connection, me, of, RATING.revise(connection, me, row, {}, True, **noted))
            if row.deleted:
                raise Conflict("This answer is deleted. Restore it, or answer again.", field="id")
            return self._told(connection, me, of, self._write(connection, me, of, row.place, row, answer, row.machine, noted))

    def restore(self, me: PersonRow, id: str, if_match: str | None, revision: int | None, token: str | None = None) -> Shape:
        """Make an old revision the newest; without ``revision`` undo the last change (of a first answer: delete it)."""
        with self.store.write() as connection:
            of, row = self._mine(connection, me, id)
            if RATING.written(connection, id, mark_of(me, token)):
                return shape_of(connection, me, of, row)
            match(row, if_match, lambda: shape_of(connection, me, of, row))
            noted: dict[str, Any] = {"token": mark_of(me, token)}
            back = row.revision - 1 if revision is None else revision
            if back == 0:
                return self._told(connection, me, of, RATING.revise(connection, me, row, {}, True, **noted))
            old = RATING.revision(connection, row, back)
            gone = old.deleted and revision is None
            return self._told(connection, me, of, self._back_to(connection, me, of, row, old, gone, noted))

    def history(self, me: PersonRow, id: str) -> list[Shape]:
        with self.store.read() as connection:
            rows = RATING.history(connection, self._visible(connection, me, id).id)
            people = named(connection, (r.person_id for r in rows))
        names = ("revision", "answer", "version", "informed", "deleted", "at", "batch")
        return [{name: getattr(r, name) for name in names} | {"author": people[r.person_id]} for r in rows]

    def page(
        self, me: PersonRow, set_id: str, layer: str | None, unit: int | None, rater: str | None, before: int | None, limit: int
    ) -> Shape:
        """Living answers that I may see, newest first. ``rater``: a person's id, ``humans`` or ``machines``."""
        r, u = t.rating, t.label_unit
        with self.store.read() as connection:
            of = find_set(connection, me, set_id)
            query = select(r).where(r.c.set_id == set_id, r.c.deleted.is_(False)).order_by(r.c.seq.desc())
            query = query.where((r.c.rater == rater_of(me)) | visible(of, me, r.c.place))
            if layer is not None or unit is not None:
                places = select(u.c.place).where(u.c.set_id == set_id)
                places = places.where(u.c.layer == layer) if layer is not None else places
                query = query.where(r.c.place.in_(places.where(u.c.unit == unit) if unit is not None else places))
            if rater is not None:
                kind = {"humans": "p:", "machines": "m:"}.get(rater)
                query = query.where(r.c.rater.startswith(kind) if kind else r.c.rater == f"p:{rater}")
            if before is not None:
                query = query.where(r.c.seq < before)
            rows = list(connection.execute(query.limit(limit + 1)))
            items = shapes_of(connection, me, of, rows[:limit], set())
        return {"items": items, "next": str(rows[limit - 1].seq) if len(rows) > limit else None}

    def bulk(
        self, me: PersonRow, set_id: str, items: Sequence[Mapping[str, Any]], machine: Mapping[str, str] | None, token: str | None
    ) -> Shape:
        """Many answers in one transaction, all or none; they can be undone in one."""
        id = id_for(me, token)
        with self.store.write() as connection:
            of = self._open(connection, me, set_id, machine)
            if connection.execute(select(t.label_batch.c.id).where(t.label_batch.c.id == id)).first():
                return self._batch(connection, me, id)
            places = _places(connection, set_id, items)
            batch = {"id": id, "set_id": set_id, "person_id": me.id, "at": now(), "ratings": len(items), "undone": None}
            connection.execute(insert(t.label_batch).values(batch))
            noted: dict[str, Any] = {"token": mark_of(me, token), "batch": id}
            for number, (item, place) in enumerate(zip(items, places, strict=True)):
                try:
                    there = self._of_rater(connection, of, place, me, machine)
                    if there is not None and not there.deleted:
                        if_match = None if item.get("revision") is None else str(item["revision"])
                        match(there, if_match, lambda row=there: shape_of(connection, me, of, row))  # type: ignore[misc]
                    self._write(connection, me, of, place, there, item["answer"], machine, noted)
                except MicrotomeError as error:
                    error.detail = f"Nothing was written. items[{number}] ({item['layer']}/{item['unit']}): {error.detail}"
                    error.args = (error.detail,)
                    error.field = f"items.{number}.{'revision' if isinstance(error, PreconditionRequired) else error.field or 'answer'}"
                    raise
            told = {"set": set_id, "batch": id, "ratings": len(items), "deleted": False}
            self.events.add("ratings", told, connection, workspace=of.workspace_id)
            return self._batch(connection, me, id)

    def undo_batch(self, me: PersonRow, id: str) -> Shape:
        """Every answer of a batch goes back to what it was before, in one transaction; a second time does nothing.

        Raises:
            Conflict: the set is closed, or some were changed since: nothing is done.
        """
        past = t.rating_revision
        with self.store.write() as connection:
            batch = connection.execute(select(t.label_batch).where(t.label_batch.c.id == id).with_for_update()).one_or_none()
            if batch is None or (batch.person_id != me.id and not me.may("editor")):
                raise NotFound(f"There is no batch '{id[:64]}'.", field="id")
            of = set_behind(connection, me, batch.set_id, "batch", id)
            if batch.undone is not None:
                return self._batch(connection, me, id)
            if of.closed:
                raise Conflict("This label set is closed. An editor can open it again.", field="id")
            query = select(t.rating, past.c.revision.label("wrote")).join(past, past.c.of_id == t.rating.c.id)
            rows = list(connection.execute(query.where(past.c.batch == id).order_by(t.rating.c.place)))
            later = [row.place for row in rows if row.revision != row.wrote]
            if later:
                raise Conflict(f"{len(later)} of {len(rows)} answers were changed since. Change them one by one.", field="id")
            for row in rows:
                if row.wrote == 1:
                    RATING.revise(connection, me, row, {}, True)
                else:
                    old = RATING.revision(connection, row, row.wrote - 1)
                    self._back_to(connection, me, of, row, old, old.deleted, {})
            connection.execute(update(t.label_batch).where(t.label_batch.c.id == id).values(undone=now()))
            told = {"set": of.id, "batch": id, "ratings": len(rows), "deleted": True}
            self.events.add("ratings", told, connection, workspace=of.workspace_id)
            return self._batch(connection, me, id)

    def reveal(self, me: PersonRow, set_id: str, units: Sequence[tuple[str, int]] | None) -> None:
        """Let me see what others said before I have answered; noted for ever. All units if ``units`` is None."""
        with self.store.write() as connection:
            find_set(connection, me, set_id)
            places = [EVERY] if units is None else [place_of(connection, set_id, *unit) for unit in units]
            if places:
                rows = [{"set_id": set_id, "place": place, "person_id": me.id, "at": now()} for place in places]
                connection.execute(insert_ignore(connection, t.label_reveal), rows)
                what = "all units" if units is None else f"{len(places)} units"
                audit(connection, me.id, "reveal", f"label set {set_id}: {what}", me.workspace)

    def _open(self, connection: Connection, me: PersonRow, set_id: str, machine: Mapping[str, str] | None) -> Row[Any]:
        of = find_set(connection, me, set_id)
        if of.closed:
            raise Conflict("This label set is closed. An editor can open it again.", field="id")
        if machine is not None and not me.may("editor"):
            raise Forbidden("Answers of machines are added by editors.", field="machine")
        return of

    def _of_rater(
        self, connection: Connection, of: Row[Any], place: int, me: PersonRow, machine: Mapping[str, str] | None
    ) -> Row[Any] | None:
        rater = rater_of(me) if machine is None else machine_rater(machine)
        query = select(t.rating).where(t.rating.c.set_id == of.id, t.rating.c.place == place, t.rating.c.rater == rater)
        return connection.execute(query).one_or_none()

    def _write(
        self, connection: Connection, me: PersonRow, of: Row[Any], place: int, there: Row[Any] | None, answer: Any,
        machine: Mapping[str, str] | None, noted: Mapping[str, Any],
    ) -> Row[Any]:  # fmt: skip
        schema = read_schema(of.schema)
        canonical = checked(schema, answer)
        values = {
            "answer": canonical, "value": value_of(schema, canonical), "version": of.version,
            "informed": machine is None and self._informed(connection, me, of, place),
        }  # fmt: skip
        if there is not None:
            return RATING.revise(connection, me, there, values, **noted)
        rater = rater_of(me) if machine is None else machine_rater(machine)
        connection.execute(
            delete(t.label_lease).where(t.label_lease.c.set_id == of.id, t.label_lease.c.place == place, t.label_lease.c.person_id == me.id)
        )
        new = {"set_id": of.id, "place": place, "rater": rater, "machine": None if machine is None else dict(machine)}
        return RATING.add(connection, me, id_for(me, None), new | values, **noted)

    def _back_to(
        self, connection: Connection, me: PersonRow, of: Row[Any], row: Row[Any], old: Row[Any], deleted: bool, noted: Mapping[str, Any]
    ) -> Row[Any]:
        """A revision with the answer of an old one, under the version it was given for."""
        informed = old.informed or (row.machine is None and self._informed(connection, me, of, row.place))
        return RATING.revise(connection, me, row, RATING.of(old) | {"informed": informed}, deleted, **noted)

    def _informed(self, connection: Connection, me: PersonRow, of: Row[Any], place: int) -> bool:
        """Whether somebody else's answer is there and I could have seen it."""
        others = select(t.rating.c.id).where(
            t.rating.c.set_id == of.id, t.rating.c.place == place, t.rating.c.rater != rater_of(me)
        )  # fmt: skip
        return connection.execute(others.limit(1)).first() is not None and has_looked(connection, of, me, place)

    def _mine(self, connection: Connection, me: PersonRow, id: str, *, editors: bool = False) -> tuple[Row[Any], Row[Any]]:
        row = RATING.find(connection, id, lock=True)
        of = set_behind(connection, me, row.set_id, "rating", id)
        if of.closed:
            raise Conflict("This label set is closed. An editor can open it again.", field="id")
        if row.author_id != me.id and not (editors and me.may("editor")):
            raise Forbidden("Only the person who gave an answer changes it.", field="id")
        return of, row

    def _visible(self, connection: Connection, me: PersonRow, id: str) -> Row[Any]:
        row = RATING.find(connection, id)
        of = set_behind(connection, me, row.set_id, "rating", id)
        if row.rater != rater_of(me) and not sees(connection, of, me, row.place):
            raise Forbidden("This label set is blind: others' answers are shown once you have given your own for the unit.", field="id")
        return row

    def _batch(self, connection: Connection, me: PersonRow, id: str) -> Shape:
        batch = connection.execute(select(t.label_batch).where(t.label_batch.c.id == id)).one()
        of = find_set(connection, me, batch.set_id)
        past = t.rating_revision
        query = select(t.rating).join(past, past.c.of_id == t.rating.c.id).where(past.c.batch == id).order_by(t.rating.c.place)
        rows = list(connection.execute(query))
        return {"id": batch.id, "set": batch.set_id, "at": batch.at, "undone": batch.undone} | {
            "items": shapes_of(connection, me, of, rows, set() if batch.person_id == me.id else None)
        }

    def _told(self, connection: Connection, me: PersonRow, of: Row[Any], row: Row[Any]) -> Shape:
        """Tell others that something changed, never what: a blind set would not stay blind."""
        shape = shape_of(connection, me, of, row)
        names = ("id", "set", "layer", "unit", "revision", "deleted", "author", "machine")
        self.events.add("rating", {name: shape[name] for name in names}, connection, workspace=of.workspace_id)
        return shape


def _places(connection: Connection, set_id: str, items: Sequence[Mapping[str, Any]]) -> list[int]:
    """Places of the units, locked in order so that two writers cannot wait for each other."""
    wanted = [(item["layer"], int(item["unit"])) for item in items]
    if len(set(wanted)) < len(wanted):
        raise InvalidInput("A unit is in 'items' twice. Give one answer for each.", field="items")
    u = t.label_unit
    query = select(u).where(u.c.set_id == set_id, u.c.unit.in_({unit for _, unit in wanted})).order_by(u.c.place).with_for_update()
    found = {(row.layer, row.unit): row.place for row in connection.execute(query)}
    missing = next((f"{layer[:100]}/{unit}" for layer, unit in wanted if (layer, unit) not in found), None)
    if missing is not None:
        raise NotFound(f"Unit {missing} is not in this label set.", field="items")
    return [found[unit] for unit in wanted]


def shape_of(connection: Connection, me: PersonRow, of: Row[Any], row: Row[Any]) -> Shape:
    return shapes_of(connection, me, of, [row])[0]


def shapes_of(connection: Connection, me: PersonRow, of: Row[Any], rows: Sequence[Row[Any]], hidden: set[int] | None = None) -> list[Shape]:
    """Ratings of one set. An answer that I may not see is null and ``hidden``.

    Args:
        hidden: places that are hidden from me, where that is known already.
    """
    u = t.label_unit
    places = {row.place for row in rows}
    units = {r.place: r for r in connection.execute(select(u).where(u.c.set_id == of.id, u.c.place.in_(places)))}
    if hidden is None:
        seen = connection.execute(select(u.c.place).where(u.c.set_id == of.id, u.c.place.in_(places), visible(of, me, u.c.place)))
        hidden = places - set(seen.scalars())
    people = named(connection, [id for row in rows for id in (row.author_id, row.changed_by_id)])
    shapes = []
    for row in rows:
        secret = row.place in hidden and row.rater != rater_of(me)
        unit = units[row.place]
        shapes.append(
            {"id": row.id, "set": row.set_id, "layer": unit.layer, "unit": unit.unit, "answer": None if secret else row.answer,
             "hidden": secret, "version": row.version, "informed": row.informed, "machine": row.machine} | authorship(row, people)
        )  # fmt: skip
    return shapes
