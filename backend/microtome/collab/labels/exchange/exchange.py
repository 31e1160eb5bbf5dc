"""Export and import of label sets."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, func, insert, select

from microtome.collab.labels.exchange.files import Format, Style, decode, encode
from microtome.collab.labels.exchange.foreign import from_foreign
from microtome.collab.labels.exchange.importer import Parsed, Thing, parse, renamed, with_people
from microtome.collab.labels.exchange.rows import rows_of
from microtome.collab.labels.sets import add_units, find_set, shape_of
from microtome.collab.labels.visible import rater_of, visible
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape, id_for, mark_of
from microtome.core.errors import Conflict, InvalidInput, NotFound
from microtome.core.keys import sha256
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import EventRepository, audit
from microtome.store.sources import SourceRepository
from microtome.store.times import now


class Exchange:
    """See the module's docstring.

    Args:
        team: people have accounts, so that a file cannot speak for anybody but whoever brings it.
    """

    def __init__(self, store: Store, events: EventRepository, *, team: bool = False) -> None:
        self.store, self.events, self.team, self.sources = store, events, team, SourceRepository(store)

    def export(self, me: PersonRow, set_id: str, format: Format, style: Style, *, mine: bool = False) -> tuple[bytes, str]:
        """A file of the whole set, or of my own answers to it, and the name of the set.

        Raises:
            Conflict: some answers are hidden from me, so that the file would not be whole.
        """
        u = t.label_unit
        with self.store.read() as connection:
            of = find_set(connection, me, set_id)
            if not mine:
                # deleted ones too: the file holds the history
                others = select(t.rating.c.place).where(t.rating.c.set_id == set_id, t.rating.c.rater != rater_of(me))
                final = select(t.decision.c.place).where(t.decision.c.set_id == set_id)
                said = u.c.place.in_(others) | u.c.place.in_(final)
                query = select(func.count()).where(u.c.set_id == set_id, said, ~visible(of, me, u.c.place))
                hidden = int(connection.execute(query).scalar_one())
                if hidden:
                    raise Conflict(
                        f"This label set is blind: the answers for {hidden:,} units are hidden from you, so the file would not be whole. "
                        "Close the set, reveal it (editors), or export your own answers with mine=true.", field="mine",
                    )  # fmt: skip
            rows = rows_of(connection, of, rater_of(me) if mine else None)
        return encode(rows, format, style), of.name

    def load(self, me: PersonRow, data: bytes, name: str | None, model: str | None, token: str | None) -> Shape:
        """A new label set from a file. It keeps its ids where they are free.

        Args:
            name: of the new set where the file has none, or another one.
            model: what the set is about, if not what the file says.

        Raises:
            InvalidInput, TooLarge: naming row and column; nothing was written.
        """
        if name is not None and not 1 <= len(name) <= 100:
            raise InvalidInput(f"The name has {len(name)} characters; 1 to 100 are possible.", field="name")
        rows, style, unknown = decode(data)
        own = id_for(me, token)
        if style != "microtome" and not any("kind" in row for row in rows):
            rows = from_foreign(rows, me, own, name or "Imported labels", model)
        found = parse(rows)
        last = found.sets[-1]
        if name is not None and name != last["name"]:
            found.sets.append(last | {"name": name, "revision": last["revision"] + 1, "person_id": me.id, "at": now()})
        self._fits(found, model)
        ignored = ["".join(filter(str.isprintable, name))[:100] for name in unknown[:50]]
        imported = {"by": me.name, "at": now(), "sha256": sha256(data), "ignored": ignored, "mark": mark_of(me, token)}
        with self.store.write(lock="label-import") as connection:
            s = t.label_set
            for row in connection.execute(select(s).where(s.c.id.in_((found.id, own)), s.c.workspace_id == me.workspace)):
                if token is not None and (row.imported or {}).get("mark") == imported["mark"]:
                    return shape_of(connection, me, row)
            if _taken(connection, found):
                found = renamed(found, own)
            if self.team:
                found = with_people(found, _strangers(connection, me, found, own))
            _write(connection, me, found, imported)
            audit(connection, me.id, "import-labels", f"label set {found.id}: {len(rows)} rows", me.workspace)
            told = {"id": found.id, "model": found.model, "revision": len(found.sets), "deleted": False}
            self.events.add("label-set", told, connection, workspace=me.workspace)
            return shape_of(connection, me, find_set(connection, me, found.id))

    def _fits(self, found: Parsed, model: str | None) -> None:
        """The units exist, if the model is here; a model that is named by whoever imports must be."""
        if len(found.model) > 64 or len(found.model_hash) > 64:
            raise InvalidInput("Row 1, column 'model': a name and hash of a model have at most 64 characters.", field="model")
        row = self.sources.get("model", model) if model is not None else self.sources.find("model", found.model)
        if row is None:
            return
        found.model, found.model_hash = row.slug, found.model_hash or row.hash
        units = {name: la.units for la in self.sources.layers(row.id) for name in (la.label, la.name)}
        for layer, unit in found.units:
            if layer not in units:
                raise NotFound(f"{row.slug} has no layer '{layer[:100]}'; the file speaks of it.", field="layer")
            if unit >= units[layer]:
                raise InvalidInput(f"Layer {layer} has {units[layer]} units; the file speaks of unit {unit}.", field="unit")


def _taken(connection: Connection, found: Parsed) -> bool:
    """Whether any id of the file is in use here."""
    for table, ids in ((t.label_set, [found.id]), (t.rating, found.ratings), (t.decision, found.decisions), (t.label_batch, found.batches)):
        wanted = list(ids)
        for start in range(0, len(wanted), 500):
            query = select(table.c.id).where(table.c.id.in_(wanted[start : start + 500]))
            if connection.execute(query.limit(1)).first() is not None:
                return True
    return False


def _strangers(connection: Connection, me: PersonRow, found: Parsed, seed: str) -> dict[str, str]:
    """New ids for those whose ids are in use here, except me."""
    p, wanted = t.person, [id for id in found.people if id != me.id]
    known: list[str] = []
    for start in range(0, len(wanted), 500):
        known += connection.execute(select(p.c.id).where(p.c.id.in_(wanted[start : start + 500]))).scalars()
    return {id: hashlib.sha256(f"{seed}\nperson\n{id}".encode()).hexdigest()[:24] for id in known}


def _write(connection: Connection, me: PersonRow, found: Parsed, imported: Mapping[str, Any]) -> None:
    at = now()
    people = [{"id": id, "name": name, "created": at} for id, name in found.people.items()]
    connection.execute(insert_ignore(connection, t.person), people)
    first, last = found.sets[0], found.sets[-1]
    content = {name: last[name] for name in ("name", "question", "schema", "version", "raters", "blind", "closed")}
    connection.execute(
        insert(t.label_set).values(
            id=found.id, workspace_id=me.workspace, model=found.model, model_hash=found.model_hash, probe=found.probe,
            selection=found.selection, imported=dict(imported), **content, **_head(first, last),
        )
    )  # fmt: skip
    connection.execute(insert(t.label_set_revision), [revision | {"of_id": found.id, "token": None} for revision in found.sets])
    add_units(connection, found.id, 0, found.units)
    if found.batches:
        connection.execute(insert(t.label_batch), [batch | {"set_id": found.id} for batch in found.batches.values()])
    for things, head, past, names in (
        (found.ratings, t.rating, t.rating_revision, ("answer", "value", "version", "informed")),
        (found.decisions, t.decision, t.decision_revision, ("answer", "version", "reason")),
    ):
        heads = [_thing(found, thing, names, thing.machine if head is t.rating else None, head is t.rating) for thing in things.values()]
        revisions = [r | {"of_id": thing.id, "token": None} for thing in things.values() for r in thing.revisions]
        if heads:
            connection.execute(insert(head), heads)
            connection.execute(insert(past), revisions)


def _thing(found: Parsed, thing: Thing, names: tuple[str, ...], machine: Any, rated: bool) -> dict[str, Any]:
    last = thing.revisions[-1]
    row = {"id": thing.id, "set_id": found.id, "place": thing.place} | {name: last[name] for name in names}
    return row | _head(thing.revisions[0], last) | ({"rater": thing.rater, "machine": machine} if rated else {})


def _head(first: Mapping[str, Any], last: Mapping[str, Any]) -> dict[str, Any]:
    """The present state as its first and last revision say."""
    return {
        "revision": last["revision"], "deleted": last["deleted"], "author_id": first["person_id"], "created": first["at"],
        "changed_by_id": last["person_id"], "changed": last["at"],
    }  # fmt: skip
