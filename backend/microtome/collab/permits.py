"""Sharing with named people: somebody keeps a thing private, and names colleagues of the workspace who see it all the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, Table, delete, insert, select

from microtome.collab.access import changed_by, named_for, seen_by
from microtome.collab.members import present
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape, named
from microtome.collab.talk.notifications import notify
from microtome.core.errors import Conflict, InvalidInput, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import EventRepository, audit
from microtome.store.times import now


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of thing that can be private.

    Args:
        table: with ``id``, ``workspace_id``, ``visibility`` and an author.
        what: how messages call it.
        told: under which subject and id its people are notified, so that the bell leads there.
    """

    table: Table
    what: str
    told: Callable[[Row[Any]], tuple[str, str]]


#: Whatever is private by a ``visibility`` of its own and named by a random id can be shared with people; one line each.
KINDS: dict[str, Kind] = {
    "annotation": Kind(t.annotation, "annotation", lambda row: ("unit", f"{row.model}/{row.layer}/{row.unit}")),
    "selection": Kind(t.selection, "saved selection", lambda row: ("selection", row.id)),
    "finding": Kind(t.finding, "finding", lambda row: ("finding", row.id)),
    "hypothesis": Kind(t.hypothesis, "hypothesis", lambda row: ("hypothesis", row.id)),
    "share": Kind(t.share, "share link", lambda row: ("share", row.id)),
}


class Permits:
    """See the module's docstring.

    Args:
        team: people are looked for among the members of the workspace; else among everybody.
    """

    def __init__(self, store: Store, events: EventRepository, *, team: bool) -> None:
        self.store, self.events, self.team = store, events, team

    def of(self, me: PersonRow, subject: str, id: str) -> Shape:
        """Who sees it beside its author; its author, whom they named, and editors among those may know."""
        with self.store.read() as connection:
            row = self._find(connection, me, subject, id)
            return self._shape(connection, subject, row)

    def set(self, me: PersonRow, subject: str, id: str, people: Sequence[str]) -> Shape:
        """These people see it, and nobody else. Who is new among them is notified.

        Raises:
            NotFound: there is no such thing that I may see. Forbidden: it is somebody else's, and I am no editor.
            Conflict: it is not private. InvalidInput: somebody is not in the workspace.
        """
        kind = KINDS[subject]
        with self.store.write(lock=f"permit {id[:64]}") as connection:
            row = self._find(connection, me, subject, id)
            author = row.author_id if hasattr(row, "author_id") else row.person_id
            changed_by(me, row, author, kind.what, connection)
            if row.visibility != "private":
                raise Conflict(f"This {kind.what} is not private: whoever is in the workspace sees it already.", field="subject_id")
            wanted = set(people) - {author}
            known = set(connection.execute(present(me.workspace, team=self.team).where(t.person.c.id.in_(wanted))).scalars())
            if wanted - known:
                raise InvalidInput(
                    f"'{min(wanted - known)[:64]}' is nobody of this workspace. GET /api/v1/members lists them.", field="people"
                )
            before = named_for(connection, row.id)
            gone, new = before - wanted, wanted - before
            p = t.permit
            connection.execute(delete(p).where(p.c.subject_id == row.id, p.c.person_id.in_(gone)))
            at = now()
            if new:
                values = [{"subject_id": row.id, "person_id": person, "by_id": me.id, "at": at} for person in sorted(new)]
                connection.execute(insert(p), values)
            if gone or new:
                names = {person["id"]: person["name"] for person in named(connection, gone | new).values()}
                said = ", ".join([*(f"+{names[x]}" for x in sorted(new)), *(f"-{names[x]}" for x in sorted(gone))])
                audit(connection, me.id, "permit", f"{subject} {row.id[:8]}: {said}", me.workspace)
            notify(connection, self.events, me, new, "shared", *kind.told(row))
            for person in sorted({author} | gone | new):
                told = {"subject": subject, "subject_id": row.id, "seen": person not in gone}
                self.events.add("permit", told, connection, workspace=me.workspace, person=person)
            return self._shape(connection, subject, row)

    def _find(self, connection: Connection, me: PersonRow, subject: str, id: str) -> Row[Any]:
        kind = KINDS[subject]
        c = kind.table.c
        query = select(kind.table).where(c.id == id)
        for gone in ("deleted", "revoked"):
            if gone in c:
                query = query.where(c[gone].is_(False) if gone == "deleted" else c[gone].is_(None))
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound(f"There is no {kind.what} '{id[:64]}'.", field="subject_id")
        seen_by(me, row, kind.what, connection)
        return row

    def _shape(self, connection: Connection, subject: str, row: Row[Any]) -> Shape:
        people = named(connection, named_for(connection, row.id))
        return {
            "subject": subject, "subject_id": row.id, "visibility": row.visibility,
            "people": sorted(people.values(), key=lambda person: (person["name"].casefold(), person["id"])),
        }  # fmt: skip
