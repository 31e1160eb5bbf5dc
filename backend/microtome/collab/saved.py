"""Saved selections and shares."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select, update

from microtome.collab.people import People, PersonRow
from microtome.collab.revisions import id_for
from microtome.core.errors import NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import audit
from microtome.store.sources import SourceRepository
from microtome.store.times import now


class Selections:
    """Selections with a name."""

    def __init__(self, store: Store, people: People) -> None:
        self.store, self.people, self.sources = store, people, SourceRepository(store)

    def list(self, model: str | None) -> list[dict[str, Any]]:
        query = select(t.selection).where(t.selection.c.deleted.is_(False)).order_by(t.selection.c.created.desc()).limit(500)
        if model is not None:
            query = query.where(t.selection.c.model == model)
        with self.store.read() as connection:
            rows = connection.execute(query).all()
        people = self.people.many({r.person_id for r in rows})
        return [self._shape(row, people[row.person_id]) for row in rows]

    def create(self, me: PersonRow, name: str, model: str, probe: str, selection: Mapping[str, Any], token: str | None) -> dict[str, Any]:
        self.sources.get("model", model)
        self.sources.get("probe", probe)
        id = id_for(me, token)
        row = {
            "id": id, "name": name, "model": model, "probe": probe, "selection": dict(selection), "person_id": me.id,
            "created": now(), "deleted": False,
        }  # fmt: skip
        with self.store.write() as connection:
            connection.execute(insert_ignore(connection, t.selection), row)
            audit(connection, me.id, "save-selection", name)
        return self._get(id)

    def delete(self, me: PersonRow, id: str) -> dict[str, Any]:
        shape = self._get(id)
        with self.store.write() as connection:
            connection.execute(update(t.selection).where(t.selection.c.id == id).values(deleted=True))
            audit(connection, me.id, "delete-selection", shape["name"])
        return shape

    def _get(self, id: str) -> dict[str, Any]:
        with self.store.read() as connection:
            row = connection.execute(select(t.selection).where(t.selection.c.id == id, t.selection.c.deleted.is_(False))).first()
        if row is None:
            raise NotFound(f"There is no saved selection '{id[:64]}'. GET /api/v1/selections lists them.", field="id")
        person = self.people.find(row.person_id)
        assert person is not None
        return self._shape(row, person)

    def _shape(self, row: Row[Any], person: PersonRow) -> dict[str, Any]:
        names = ("id", "name", "model", "probe", "selection", "created")
        return {name: getattr(row, name) for name in names} | {"author": person.shape()}


class Shares:
    """Frozen views under unguessable ids."""

    def __init__(self, store: Store, people: People) -> None:
        self.store, self.people = store, people

    def create(
        self, me: PersonRow, state: Mapping[str, Any], frozen: Mapping[str, Any], keys: Sequence[str], token: str | None
    ) -> Row[Any]:
        """Write the share and pin ``keys``, in one transaction."""
        # an id made from the client's key would be guessable by whoever knows the key, so the secret goes in too
        id = id_for(me, f"{token}\n{self.people.cookie(me)}") if token is not None else secrets.token_urlsafe(15)
        row = {"id": id, "state": dict(state), "frozen": dict(frozen), "person_id": me.id, "created": now()}
        with self.store.write(lock="blobs") as connection:
            connection.execute(insert_ignore(connection, t.share), row)
            if keys:
                pins = [{"share_id": id, "key": key} for key in keys]
                connection.execute(insert_ignore(connection, t.share_result), pins)
            audit(connection, me.id, "share", id[:8])
        return self.get(id)

    def get(self, id: str) -> Row[Any]:
        with self.store.read() as connection:
            row = connection.execute(select(t.share).where(t.share.c.id == id)).one_or_none()
        if row is None:
            raise NotFound("There is no such share link. Check that it was copied whole.", field="id")
        if row.revoked is not None:
            raise NotFound(f"This share link was revoked on {row.revoked[:10]}.", field="id")
        return row

    def revoke(self, me: PersonRow, id: str) -> None:
        self.get(id)
        with self.store.write() as connection:
            connection.execute(update(t.share).where(t.share.c.id == id).values(revoked=now()))
            audit(connection, me.id, "revoke", id[:8])
