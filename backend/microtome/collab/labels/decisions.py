"""Adjudication: an editor settles a unit of a label set with a final answer and the reason. One decision per unit, by revisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from microtome.collab.labels.schema import checked, read_schema
from microtome.collab.labels.sets import find_set, place_of, set_behind
from microtome.collab.labels.visible import sees, visible
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Revised, Shape, authorship, id_for, mark_of, match, named
from microtome.core.errors import Conflict, Forbidden, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import EventRepository, audit

DECISION = Revised("decision", t.decision, t.decision_revision)


class Decisions:
    """See the module's docstring. The set may be closed: settling what is left is what comes after labelling."""

    def __init__(self, store: Store, events: EventRepository) -> None:
        self.store, self.events = store, events

    def settle(self, me: PersonRow, set_id: str, layer: str, unit: int, answer: Any, reason: str, token: str | None = None) -> Shape:
        """
        Raises:
            Conflict: the unit is settled already. Forbidden: I may not see the answers that I would decide between.
        """
        with self.store.write() as connection:
            of = find_set(connection, me, set_id)
            place = place_of(connection, set_id, layer, unit, lock=True)
            there = connection.execute(select(t.decision).where(t.decision.c.set_id == set_id, t.decision.c.place == place)).one_or_none()
            if there is not None and DECISION.written(connection, there.id, mark_of(me, token)):
                return _shape(connection, of, there)
            if not sees(connection, of, me, place):
                raise Forbidden(
                    "This label set is blind, and you have not seen the answers for this unit. Answer it, or reveal it: "
                    f"POST /api/v1/label-sets/{set_id}/reveal.", field="unit",
                )  # fmt: skip
            if there is not None and not there.deleted:
                raise Conflict(f"This unit is settled. Change the decision: PATCH /api/v1/decisions/{there.id}.", field="unit")
            values = {"answer": checked(read_schema(of.schema), answer), "version": of.version, "reason": reason}
            mark = mark_of(me, token)
            if there is not None:
                row = DECISION.revise(connection, me, there, values, token=mark)
            else:
                new = {"set_id": set_id, "place": place}
                row = DECISION.add(connection, me, id_for(me, token), new | values, token=mark)
                audit(connection, me.id, "settle", f"label set {set_id}: {layer}/{unit}", me.workspace)
            return self._told(connection, of, row)

    def change(
        self, me: PersonRow, id: str, if_match: str | None, *, answer: Any = None, reason: str | None = None, deleted: bool = False,
        token: str | None = None,
    ) -> Shape:  # fmt: skip
        """Another answer or reason, or open the unit again (``deleted``)."""
        with self.store.write() as connection:
            of, row = self._find(connection, me, id, lock=True)
            if DECISION.written(connection, id, mark_of(me, token)):
                return _shape(connection, of, row)
            match(row, if_match, lambda: _shape(connection, of, row))
            if row.deleted and not deleted:
                raise Conflict("This decision was taken back. Settle the unit again.", field="id")
            changes: dict[str, Any] = {} if reason is None else {"reason": reason}
            if answer is not None:
                changes |= {"answer": checked(read_schema(of.schema), answer), "version": of.version}
            return self._told(connection, of, DECISION.revise(connection, me, row, changes, deleted, token=mark_of(me, token)))

    def history(self, me: PersonRow, id: str) -> list[Shape]:
        with self.store.read() as connection:
            self._find(connection, me, id)
            rows = DECISION.history(connection, id)
            people = named(connection, (r.person_id for r in rows))
        names = ("revision", "answer", "version", "reason", "deleted", "at")
        return [{name: getattr(r, name) for name in names} | {"author": people[r.person_id]} for r in rows]

    def page(self, me: PersonRow, set_id: str, after: int | None, limit: int) -> Shape:
        """Decisions that I may see, by place of their unit."""
        d = t.decision
        with self.store.read() as connection:
            of = find_set(connection, me, set_id)
            query = select(d).where(d.c.set_id == set_id, d.c.deleted.is_(False), visible(of, me, d.c.place)).order_by(d.c.place)
            if after is not None:
                query = query.where(d.c.place > after)
            rows = list(connection.execute(query.limit(limit + 1)))
            items = _shapes(connection, of, rows[:limit])
        return {"items": items, "next": str(rows[limit - 1].place) if len(rows) > limit else None}

    def _find(self, connection: Connection, me: PersonRow, id: str, *, lock: bool = False) -> tuple[Row[Any], Row[Any]]:
        row = DECISION.find(connection, id, lock=lock)
        of = set_behind(connection, me, row.set_id, "decision", id)
        if not sees(connection, of, me, row.place):
            raise NotFound(f"There is no decision '{id[:64]}' that you may see.", field="id")
        return of, row

    def _told(self, connection: Connection, of: Row[Any], row: Row[Any]) -> Shape:
        shape = _shape(connection, of, row)
        told = {name: shape[name] for name in ("id", "set", "layer", "unit", "revision", "deleted", "author")}
        self.events.add("decision", told, connection, workspace=of.workspace_id)
        return shape


def _shape(connection: Connection, of: Row[Any], row: Row[Any]) -> Shape:
    return _shapes(connection, of, [row])[0]


def _shapes(connection: Connection, of: Row[Any], rows: Sequence[Row[Any]]) -> list[Shape]:
    u = t.label_unit
    query = select(u).where(u.c.set_id == of.id, u.c.place.in_([row.place for row in rows]))
    units = {unit.place: unit for unit in connection.execute(query)}
    people = named(connection, [id for row in rows for id in (row.author_id, row.changed_by_id)])
    return [
        {"id": row.id, "set": of.id, "layer": units[row.place].layer, "unit": units[row.place].unit, "answer": row.answer,
         "version": row.version, "reason": row.reason} | authorship(row, people)
        for row in rows
    ]  # fmt: skip
