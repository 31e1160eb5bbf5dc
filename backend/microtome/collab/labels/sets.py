"""Label sets: what is asked about which units, of how many people, blind or not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, func, insert, select

from microtome.collab.labels.schema import read_schema
from microtome.collab.labels.visible import rater_of
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Revised, Shape, authorship, id_for, mark_of, match, named
from microtome.core.errors import Conflict, InvalidInput, NotFound
from microtome.core.selection import Selection
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import EventRepository, audit
from microtome.store.sources import SourceRepository

LABEL_SET = Revised("label set", t.label_set, t.label_set_revision)
UNITS = 20_000  # in one set
Unit = tuple[str, int]


def find_set(connection: Connection, me: PersonRow, id: str, *, lock: bool = False, gone: bool = False) -> Row[Any]:
    """A label set of my workspace. Deleted ones only with ``gone``."""
    query = select(t.label_set).where(t.label_set.c.id == id, t.label_set.c.workspace_id == me.workspace)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None or (row.deleted and not gone):
        raise NotFound(f"There is no label set '{id[:64]}'. GET /api/v1/label-sets lists them.", field="id")
    return row


def set_behind(connection: Connection, me: PersonRow, set_id: str, what: str, id: str) -> Row[Any]:
    """The set that a rating, a decision or a batch belongs to. Of another workspace's it is said that there is no such thing, as of an
    id of nothing: not that there is none of a set that the asker has never named."""
    try:
        return find_set(connection, me, set_id)
    except NotFound:
        raise NotFound(f"There is no {what} '{id[:64]}'.", field="id") from None


def place_of(connection: Connection, set_id: str, layer: str, unit: int, *, lock: bool = False) -> int:
    """Number of a unit within a set; with ``lock``, nobody else writes about it before this transaction ends."""
    query = select(t.label_unit.c.place).where(t.label_unit.c.set_id == set_id, t.label_unit.c.layer == layer, t.label_unit.c.unit == unit)
    place = connection.execute(query.with_for_update() if lock else query).scalar()
    if place is None:
        raise NotFound(f"Unit {layer[:100]}/{unit} is not in this label set.", field="unit")
    return int(place)


class LabelSets:
    """Making, changing and listing label sets."""

    def __init__(self, store: Store, events: EventRepository) -> None:
        self.store, self.events, self.sources = store, events, SourceRepository(store)

    def create(
        self,
        me: PersonRow,
        *,
        name: str,
        model: str,
        question: str,
        schema: Mapping[str, Any],
        units: Sequence[Unit],
        raters: int,
        blind: bool,
        probe: str | None = None,
        selection: Mapping[str, Any] | None = None,
        token: str | None = None,
    ) -> Shape:
        """
        Args:
            units: layer and index, in the order of work; layers by name or label.
            selection: the predicate that the units were found by, kept to be shown.

        Raises:
            NotFound, InvalidInput: no such model, layer or unit; none or too many units.
        """
        row = self.sources.get("model", model)
        exact = self._exact(row, units)
        read_schema(schema)
        id = id_for(me, token)
        with self.store.write() as connection:
            there = connection.execute(select(t.label_set).where(t.label_set.c.id == id)).one_or_none()
            if there is not None:
                return shape_of(connection, me, there)
            values = {
                "workspace_id": me.workspace, "model": row.slug, "model_hash": row.hash, "probe": probe, "selection": selection,
                "imported": None, "name": name.strip(), "question": question, "schema": dict(schema), "version": 1, "raters": raters,
                "blind": blind, "closed": False,
            }  # fmt: skip
            made = LABEL_SET.add(connection, me, id, values, token=mark_of(me, token))
            add_units(connection, id, 0, exact)
            audit(connection, me.id, "label-set", name, me.workspace)
            return self._told(connection, me, made)

    def change(
        self, me: PersonRow, id: str, if_match: str | None, changes: Mapping[str, Any], *, deleted: bool = False, token: str | None = None
    ) -> Shape:
        """Another revision; with another question or schema also another version, which later answers name."""
        with self.store.write() as connection:
            row = find_set(connection, me, id, lock=True, gone=True)
            if LABEL_SET.written(connection, id, mark_of(me, token)):
                return shape_of(connection, me, row)
            match(row, if_match, lambda: shape_of(connection, me, row))
            if row.deleted and not deleted:
                raise Conflict("This label set is deleted. Restore it first.", field="id")
            new = dict(changes)
            if "schema" in new and read_schema(new["schema"]).type != row.schema["type"]:
                raise InvalidInput(
                    f"This set asks for answers of type '{row.schema['type']}'. Another type is another set: make a new one.",
                    field="schema.type",
                )
            if any(name in new and new[name] != getattr(row, name) for name in ("question", "schema")):
                new["version"] = self._newest(connection, id) + 1
            return self._told(connection, me, LABEL_SET.revise(connection, me, row, new, deleted, token=mark_of(me, token)))

    def restore(self, me: PersonRow, id: str, if_match: str | None, revision: int, token: str | None = None) -> Shape:
        """A new revision with the content of an old one, under the version that it had."""
        with self.store.write() as connection:
            row = find_set(connection, me, id, lock=True, gone=True)
            if LABEL_SET.written(connection, id, mark_of(me, token)):
                return shape_of(connection, me, row)
            match(row, if_match, lambda: shape_of(connection, me, row))
            old = LABEL_SET.of(LABEL_SET.revision(connection, row, revision))
            return self._told(connection, me, LABEL_SET.revise(connection, me, row, old, token=mark_of(me, token)))

    def history(self, me: PersonRow, id: str) -> list[Shape]:
        with self.store.read() as connection:
            find_set(connection, me, id, gone=True)
            rows = LABEL_SET.history(connection, id)
            people = named(connection, (r.person_id for r in rows))
        return [LABEL_SET.of(r) | {"revision": r.revision, "deleted": r.deleted, "author": people[r.person_id], "at": r.at} for r in rows]

    def add(self, me: PersonRow, id: str, units: Sequence[Unit]) -> Shape:
        """More units at the end; those that are there already stay where they are."""
        with self.store.write() as connection:
            row = find_set(connection, me, id, lock=True)
            have = {(r.layer, r.unit) for r in connection.execute(select(t.label_unit).where(t.label_unit.c.set_id == id))}
            new = [unit for unit in self._exact(self.sources.get("model", row.model), units) if unit not in have]
            if len(have) + len(new) > UNITS:
                raise InvalidInput(f"A label set holds at most {UNITS:,} units; this would make {len(have) + len(new):,}.", field="units")
            add_units(connection, id, len(have), new)
            audit(connection, me.id, "add-units", f"label set {id}: {len(new)}", me.workspace)
            return self._told(connection, me, row)

    def page(self, me: PersonRow, model: str | None, before: int | None, limit: int) -> Shape:
        """Newest first, without deleted ones."""
        s = t.label_set
        query = select(s).where(s.c.workspace_id == me.workspace, s.c.deleted.is_(False)).order_by(s.c.seq.desc())
        if model is not None:
            query = query.where(s.c.model == model)
        if before is not None:
            query = query.where(s.c.seq < before)
        with self.store.read() as connection:
            rows = list(connection.execute(query.limit(limit + 1)))
            items = shapes_of(connection, me, rows[:limit])
        return {"items": items, "next": str(rows[limit - 1].seq) if len(rows) > limit else None}

    def get(self, me: PersonRow, id: str) -> Shape:
        with self.store.read() as connection:
            return shape_of(connection, me, find_set(connection, me, id))

    def _exact(self, model: Row[Any], units: Sequence[Unit]) -> list[Unit]:
        """The units by names of layers, once each."""
        if not 1 <= len(units) <= UNITS:
            raise InvalidInput(f"A label set holds 1 to {UNITS:,} units; these are {len(units):,}.", field="units")
        layers = self.sources.layers(model.id)
        by_name = {la.label: la for la in layers} | {la.name: la for la in layers}
        exact: dict[Unit, None] = {}
        for name, unit in units:
            layer = by_name.get(name)
            if layer is None:
                raise NotFound(f"{model.slug} has no layer '{name[:100]}'. GET /api/v1/models/{model.slug} lists them.", field="units")
            if unit >= layer.units:
                raise InvalidInput(
                    f"Layer {layer.name} has {layer.units} units, numbered 0 to {layer.units - 1}; there is no {unit}.", field="units"
                )
            exact[layer.name, unit] = None
        return list(exact)

    def _newest(self, connection: Connection, id: str) -> int:
        past = t.label_set_revision
        return int(connection.execute(select(func.max(past.c.version)).where(past.c.of_id == id)).scalar_one())

    def _told(self, connection: Connection, me: PersonRow, row: Row[Any]) -> Shape:
        told = {"id": row.id, "model": row.model, "revision": row.revision, "deleted": row.deleted}
        self.events.add("label-set", told, connection, workspace=row.workspace_id)
        return shape_of(connection, me, row)


def add_units(connection: Connection, id: str, start: int, units: Iterable[Unit]) -> None:
    """Write rows of label_unit from place ``start`` on."""
    rows = [{"set_id": id, "place": start + i, "layer": layer, "unit": unit} for i, (layer, unit) in enumerate(units)]
    if rows:
        connection.execute(insert(t.label_unit), rows)


def shape_of(connection: Connection, me: PersonRow, row: Row[Any]) -> Shape:
    return shapes_of(connection, me, [row])[0]


def shapes_of(connection: Connection, me: PersonRow, rows: Sequence[Row[Any]]) -> list[Shape]:
    """Label sets with how much is done, in few queries for all of them."""
    ids = [row.id for row in rows]
    u, r = t.label_unit, t.rating
    given = select(r.c.set_id, func.count()).where(r.c.set_id.in_(ids), r.c.deleted.is_(False)).group_by(r.c.set_id)
    counts = {
        "units": counted(connection, select(u.c.set_id, func.count()).where(u.c.set_id.in_(ids)).group_by(u.c.set_id)),
        "answers": counted(connection, given.where(r.c.rater.startswith("p:"))),
        "machine_answers": counted(connection, given.where(r.c.rater.startswith("m:"))),
        "mine": counted(connection, given.where(r.c.rater == rater_of(me))),
    }
    people = named(connection, [id for row in rows for id in (row.author_id, row.changed_by_id)])
    names = ("id", "model", "model_hash", "probe")
    return [
        {name: getattr(row, name) for name in names}
        | {"selection": selection_of(row)}
        | {"imported": None if row.imported is None else {name: row.imported[name] for name in ("by", "at", "sha256", "ignored")}}
        | LABEL_SET.of(row)
        | {name: found.get(row.id, 0) for name, found in counts.items()}
        | authorship(row, people)
        for row in rows
    ]


def selection_of(row: Row[Any]) -> Any:
    """The predicate that the units were found by. None if it is none that is known: it is only shown, so a set does without."""
    try:
        return None if row.selection is None else Selection.model_validate(row.selection).model_dump(mode="json")
    except ValidationError:
        return None


def counted(connection: Connection, query: Any) -> dict[str, int]:
    """The rows of a query for names and counts."""
    return {name: int(count) for name, count in connection.execute(query)}
