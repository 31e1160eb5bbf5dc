"""Models and probe sets: one row per version, the current one by slug."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, delete, insert, select, update

from microtome.core.address import slug_of
from microtome.core.errors import NotFound
from microtome.store import tables as t
from microtome.store.database import Store
from microtome.store.times import now

Type = Literal["model", "probe"]
TYPES: Final[tuple[Type, ...]] = ("model", "probe")
#: How sources begin that are known from imported results alone: nothing can be run on them.
IMPORT_SOURCE = "import:"
_NAMES = {"model": ("model", "models"), "probe": ("probe set", "probe sets")}


def table_of(type: Type) -> Any:
    return t.model if type == "model" else t.probe_set


class SourceRepository:
    """Reading and writing models and probe sets."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def all(self, type: Type) -> list[Row[Any]]:
        table = table_of(type)
        with self.store.read() as connection:
            return list(connection.execute(select(table).where(table.c.current).order_by(table.c.id)))

    def find(self, type: Type, name: str) -> Row[Any] | None:
        """By slug, or by the source it was added with."""
        table = table_of(type)
        with self.store.read() as connection:
            for column in (table.c.slug, table.c.source):
                row = connection.execute(select(table).where(table.c.current, column == name)).first()
                if row is not None:
                    return row
        return None

    def get(self, type: Type, name: str, field: str | None = None) -> Row[Any]:
        """By slug.

        Raises:
            NotFound: naming those that exist.
        """
        row = self.find(type, name)
        if row is None:
            have = ", ".join(r.slug for r in self.all(type)[:20]) or "none yet"
            one, many = _NAMES[type]
            raise NotFound(
                f"There is no {one} '{name[:80]}'. Known {many}: {have}. Add one with `microtome {type}s add SOURCE`.",
                field=field or type,
            )
        return row

    def versions(self, type: Type, slug: str) -> list[Row[Any]]:
        """All versions, newest first."""
        table = table_of(type)
        with self.store.read() as connection:
            return list(connection.execute(select(table).where(table.c.slug == slug).order_by(table.c.id.desc())))

    def by_hash(self, type: Type, hash: str) -> Row[Any] | None:
        table = table_of(type)
        with self.store.read() as connection:
            return connection.execute(select(table).where(table.c.hash == hash).order_by(table.c.id.desc())).first()

    def layers(self, model_id: int) -> list[Row[Any]]:
        with self.store.read() as connection:
            return list(connection.execute(select(t.layer).where(t.layer.c.model_id == model_id).order_by(t.layer.c.position)))

    def concepts(self, probe_id: int) -> list[Row[Any]]:
        query = select(t.concept).where(t.concept.c.probe_id == probe_id).order_by(t.concept.c.position)
        with self.store.read() as connection:
            return list(connection.execute(query))

    def save(self, type: Type, source: str, hash: str, description: Mapping[str, Any], name: str | None = None) -> str:
        """Make this the current version of its source. Returns the slug. Layers and concepts become rows."""
        table = table_of(type)
        kept = {k: v for k, v in description.items() if k not in ("layers", "concepts")}
        with self.store.write(lock="sources") as connection:
            old = connection.execute(select(table).where(table.c.current, table.c.source == source)).first()
            if old is None:
                old = _imported_twin(connection, type, hash, description)
            if old is not None:
                slug = old.slug
            else:
                taken = set(connection.execute(select(table.c.slug).where(table.c.current)).scalars())
                slug = slug_of(name or source.partition(":")[2] or source, taken)
            row = {"slug": slug, "source": source, "hash": hash, "current": True, "state": "ready", "problem": None}
            if old is not None and old.hash == hash:
                id = old.id
                connection.execute(update(table).where(table.c.id == id).values(**row, description=kept))
                for child, column in ((t.layer, "model_id"), (t.concept, "probe_id")):
                    if (type == "model") == (column == "model_id"):
                        connection.execute(delete(child).where(child.c[column] == id))
            else:
                connection.execute(update(table).where(table.c.slug == slug, table.c.current).values(current=False))
                added = old.added if old is not None else now()
                made = connection.execute(insert(table).values(**row, added=added, description=kept)).inserted_primary_key
                assert made is not None
                id = made[0]
            _children(connection, type, id, description)
        return slug

    def mark(self, type: Type, slug: str, state: str, problem: str | None) -> bool:
        """Note that a source has changed or is missing. True if that is news."""
        table = table_of(type)
        with self.store.write() as connection:
            done = connection.execute(
                update(table)
                .where(table.c.slug == slug, table.c.current, (table.c.state != state) | (table.c.problem != problem))
                .values(state=state, problem=problem)
            )
        return done.rowcount > 0

    def remove(self, type: Type, slug: str) -> None:
        """Take it off the list; the row stays for the results that name its hash."""
        table = table_of(type)
        with self.store.write() as connection:
            connection.execute(update(table).where(table.c.slug == slug, table.c.current).values(current=False))


def _imported_twin(connection: Connection, type: Type, hash: str, description: Mapping[str, Any]) -> Row[Any] | None:
    """The listed row that stood for this very thing while only imported results of it were here.

    The real one takes its place, name and results included; not if it lacks a layer that results speak of.
    """
    table = table_of(type)
    query = select(table).where(table.c.current, table.c.hash == hash, table.c.source.startswith(IMPORT_SOURCE))
    row = connection.execute(query).first()
    if row is not None and type == "model":
        real = {(la["name"], la["units"], la["height"], la["width"]) for la in description["layers"]}
        held = connection.execute(select(t.layer).where(t.layer.c.model_id == row.id))
        if not {(la.name, la.units, la.height, la.width) for la in held} <= real:
            return None
    return row


def _children(connection: Connection, type: Type, id: int, description: Mapping[str, Any]) -> None:
    if type == "model":
        rows = [
            {
                "model_id": id, "position": i, "name": la["name"], "label": la["label"], "kind": la["kind"],
                "units": la["units"], "height": la["height"], "width": la["width"], "chosen": la["default"],
                "depth": la["depth"],
            }
            for i, la in enumerate(description["layers"])
        ]  # fmt: skip
        table: Any = t.layer
    else:
        rows = [
            {"probe_id": id, "position": i, "name": c["name"], "category": c["category"]} for i, c in enumerate(description["concepts"])
        ]
        table = t.concept
    if rows:
        connection.execute(insert(table), rows)
