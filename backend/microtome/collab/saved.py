"""Saved selections and shares."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, select, update

from microtome.collab.access import changed_by, named_for, visible_to
from microtome.collab.findings.visible import OF_FINDING, OPEN, view_shows
from microtome.collab.people import People, PersonRow
from microtome.collab.revisions import id_for
from microtome.core.errors import Conflict, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import audit
from microtome.store.sources import SourceRepository
from microtome.store.times import now

_NO_SHARE = "There is no such share link. Check that it was copied whole."


class Selections:
    """Selections with a name."""

    def __init__(self, store: Store, people: People) -> None:
        self.store, self.people, self.sources = store, people, SourceRepository(store)

    def list(self, me: PersonRow, model: str | None) -> list[dict[str, Any]]:
        mine = visible_to(me, t.selection)
        query = select(t.selection).where(t.selection.c.deleted.is_(False), mine).order_by(t.selection.c.created.desc()).limit(500)
        if model is not None:
            query = query.where(t.selection.c.model == model)
        with self.store.read() as connection:
            rows = connection.execute(query).all()
        people = self.people.many({r.person_id for r in rows})
        return [self._shape(row, people[row.person_id]) for row in rows]

    def create(
        self, me: PersonRow, name: str, model: str, probe: str, selection: Mapping[str, Any], token: str | None,
        visibility: str = "workspace",
    ) -> dict[str, Any]:  # fmt: skip
        self.sources.get("model", model)
        self.sources.get("probe", probe)
        id = id_for(me, token)
        row = {
            "id": id, "name": name, "model": model, "probe": probe, "selection": dict(selection), "person_id": me.id,
            "created": now(), "deleted": False, "workspace_id": me.workspace, "visibility": visibility,
        }  # fmt: skip
        with self.store.write() as connection:
            connection.execute(insert_ignore(connection, t.selection), row)
            audit(connection, me.id, "save-selection", name, me.workspace)
        return self._shape_of(self._get(me, id))

    def delete(self, me: PersonRow, id: str) -> dict[str, Any]:
        row = self._get(me, id)
        with self.store.write() as connection:
            changed_by(me, row, row.person_id, "saved selection", connection)
            connection.execute(update(t.selection).where(t.selection.c.id == id).values(deleted=True))
            audit(connection, me.id, "delete-selection", row.name, me.workspace)
        return self._shape_of(row)

    def _get(self, me: PersonRow, id: str) -> Row[Any]:
        with self.store.read() as connection:
            mine = (t.selection.c.id == id) & t.selection.c.deleted.is_(False) & visible_to(me, t.selection)
            row = connection.execute(select(t.selection).where(mine)).first()
        if row is None:
            raise NotFound(f"There is no saved selection '{id[:64]}'. GET /api/v1/selections lists them.", field="id")
        return row

    def _shape_of(self, row: Row[Any]) -> dict[str, Any]:
        person = self.people.find(row.person_id)
        assert person is not None
        return self._shape(row, person)

    def _shape(self, row: Row[Any], person: PersonRow) -> dict[str, Any]:
        names = ("id", "name", "model", "probe", "selection", "created", "visibility")
        return {name: getattr(row, name) for name in names} | {"author": person.shape()}


class Shares:
    """Frozen views under unguessable ids."""

    def __init__(self, store: Store, people: People) -> None:
        self.store, self.people = store, people

    def create(
        self, me: PersonRow, state: Mapping[str, Any], frozen: Mapping[str, Any], keys: Sequence[str], token: str | None,
        visibility: str = "link", title: str | None = None,
    ) -> Row[Any]:  # fmt: skip
        """Write the share and pin ``keys``, in one transaction."""
        # an id made from the client's key would be guessable by whoever knows the key, so the secret goes in too
        id = id_for(me, f"{token}\n{self.people.cookie(me)}") if token is not None else secrets.token_urlsafe(15)
        row: dict[str, Any] = {"id": id, "state": dict(state), "frozen": dict(frozen), "person_id": me.id, "created": now()}
        row |= {"workspace_id": me.workspace, "visibility": visibility, "title": title}
        with self.store.write(lock="blobs") as connection:
            connection.execute(insert_ignore(connection, t.share), row)
            if keys:
                pins = [{"share_id": id, "key": key} for key in keys]
                connection.execute(insert_ignore(connection, t.share_result), pins)
            audit(connection, me.id, "share", id[:8], me.workspace)
        return self.get(id)

    def get(self, id: str) -> Row[Any]:
        with self.store.read() as connection:
            row = connection.execute(select(t.share).where(t.share.c.id == id)).one_or_none()
        if row is None:
            raise NotFound(_NO_SHARE, field="id")
        if row.revoked is not None:
            raise NotFound(f"This share link was revoked on {row.revoked[:10]}.", field="id")
        return row

    def shown_to(self, me: PersonRow | None, id: str) -> Row[Any]:
        """The share, if ``me`` may open it: with the link, anybody; else people of its workspace, or its author and whom they name.

        Raises:
            NotFound: it is not for ``me``, was revoked, or never was.
        """
        row = self.get(id)
        if row.visibility == OF_FINDING:
            with self.store.read() as connection:
                if view_shows(connection, me, row):
                    return row
            raise NotFound(_NO_SHARE, field="id")
        inside = me is not None and me.workspace == row.workspace_id
        own = me is not None and me.id == row.person_id
        if row.visibility in OPEN or own or (inside and row.visibility != "private"):
            return row
        if inside and me is not None:
            with self.store.read() as connection:
                if me.id in named_for(connection, id):
                    return row
        raise NotFound(_NO_SHARE, field="id")

    def pin(self, id: str, keys: Sequence[str]) -> None:
        """Pin more results for a share."""
        if keys:
            with self.store.write(lock="blobs") as connection:
                connection.execute(insert_ignore(connection, t.share_result), [{"share_id": id, "key": key} for key in keys])

    def open_to_all(self, row: Row[Any]) -> bool:
        """True if who is not signed in may open it: by its own visibility, or by that of the finding it is a view of."""
        if row.visibility == OF_FINDING:
            with self.store.read() as connection:
                return view_shows(connection, None, row)
        return row.visibility in OPEN

    def public(self, limit: int = 200) -> list[dict[str, Any]]:
        """What is shown to everybody, the newest first; a share without a title is named by what it shows."""
        s = t.share.c
        query = select(t.share).where(s.visibility == "public", s.revoked.is_(None)).order_by(s.created.desc(), s.id).limit(limit)
        with self.store.read() as connection:
            rows = connection.execute(query).all()
        people = self.people.many({row.person_id for row in rows})
        return [
            {"id": row.id, "url": f"/s/{row.id}", "title": row.title or title_of(row.state), "created": row.created,
             "author": people[row.person_id].shape()}
            for row in rows
        ]  # fmt: skip

    def revoke(self, me: PersonRow, id: str) -> None:
        """
        Raises:
            NotFound: it is in another workspace, or private. Forbidden: it is somebody else's, and ``me`` is no editor.
        """
        row = self.get(id)
        if row.visibility == OF_FINDING:
            raise Conflict("This view belongs to a finding and lives as long as it does. Change the finding instead.", field="id")
        with self.store.write() as connection:
            try:
                changed_by(me, row, row.person_id, "share link", connection)
            except NotFound:
                raise NotFound(_NO_SHARE, field="id") from None
            connection.execute(update(t.share).where(t.share.c.id == id).values(revoked=now()))
            audit(connection, me.id, "revoke", id[:8], me.workspace)


def title_of(state: Mapping[str, Any]) -> str:
    """What a view without a title is called."""
    about = " × ".join(str(state[name]) for name in ("model", "probe") if state.get(name))
    return f"{about or 'A view'}, {state.get('screen') or 'browse'}"
