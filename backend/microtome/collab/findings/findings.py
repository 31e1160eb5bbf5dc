"""Findings: every change is a revision, everything that any revision rests on stays pinned."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Row, false, select, update

from microtome.collab.access import audience, changed_by, visible_to
from microtome.collab.findings.visible import reads, shows
from microtome.collab.people import People, PersonRow
from microtome.collab.revisions import Revised, Shape, authorship, id_for, mark_of, match, named
from microtome.core.errors import Conflict, Forbidden, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import EventRepository, audit

FINDING = Revised("finding", t.finding, t.finding_revision)
NONE = "There is no finding '{}'."  # as of an id that never was


@dataclass(frozen=True, slots=True)
class Content:
    """What a revision of a finding holds.

    Attributes:
        figures: each with its frozen view (``share``), caption and panels.
        evidence: rows with group, test, where the number stands, and the number as it was.
        provenance: how each result was made, by key.
        tolerance: relative; how far a number may lie from itself when it is computed again.
    """

    title: str
    claim: str
    body: str
    figures: list[dict[str, Any]]
    evidence: list[dict[str, Any]]
    provenance: dict[str, dict[str, Any]]
    tolerance: float
    visibility: str

    @property
    def views(self) -> list[str]:
        return [figure["share"] for figure in self.figures]

    @property
    def about(self) -> dict[str, str | None]:
        """Model and probe set that a finding is listed under: those of its first result."""
        subjects: Shape = next((made["subjects"] for made in self.provenance.values()), {})
        return {kind: subjects.get(kind) for kind in ("model", "probe")}


class Findings:
    """See the module's docstring."""

    def __init__(self, store: Store, people: People, events: EventRepository) -> None:
        self.store, self.people, self.events = store, people, events

    def create(self, me: PersonRow, content: Content, *, token: str | None, origin: Shape | None = None) -> Row[Any]:
        # an id made from the client's key would be guessable by whoever knows the key, so the secret goes in too
        id = id_for(me, f"{token}\n{self.people.cookie(me)}") if token is not None else secrets.token_hex(12)
        with self.store.write(lock="blobs") as connection:
            there = connection.execute(select(t.finding).where(t.finding.c.id == id)).one_or_none()
            if there is not None:
                return there
            if origin is None:
                _all_stored(connection, id, content)
            values = {**asdict(content), **content.about, "workspace_id": me.workspace, "origin": origin}
            row = FINDING.add(connection, me, id, values, token=mark_of(me, token))
            self._pin(connection, id, content)
            audit(connection, me.id, "finding", f"{row.seq} {id}", me.workspace)
            self._tell(connection, row)
            return row

    def check_change(self, me: PersonRow, id: str, if_match: str | None, visibility: str | None, token: str | None) -> None:
        """Raise what :meth:`change` would raise now; it looks again, since somebody may be faster."""
        with self.store.read() as connection:
            row = self._mine(connection, me, id, lock=False)
            if not FINDING.written(connection, id, mark_of(me, token)):
                _changeable(connection, row, if_match)
                _open_up(me, row, visibility)

    def change(
        self, me: PersonRow, id: str, if_match: str | None, content: Content | None, *, deleted: bool = False, token: str | None = None
    ) -> Row[Any]:
        """A new revision with this content, or with the deletion.

        Raises:
            PreconditionRequired, StaleVersion: see :func:`microtome.collab.revisions.match`. Conflict: it is deleted.
            Forbidden: it is private, and somebody else than its author shows it to more people.
        """
        with self.store.write(lock="blobs") as connection:
            row = self._mine(connection, me, id)
            if FINDING.written(connection, id, mark_of(me, token)):
                return row
            _changeable(connection, row, if_match, deleted)
            if content is not None:
                _open_up(me, row, content.visibility)
                _all_stored(connection, id, content)
            revised = FINDING.revise(connection, me, row, asdict(content) if content else {}, deleted, token=mark_of(me, token))
            if content is not None:
                self._pin(connection, id, content)
                revised = self._list(connection, revised)
            self._tell(connection, revised)
            return revised

    def restore(self, me: PersonRow, id: str, if_match: str | None, revision: int, token: str | None) -> Row[Any]:
        """A new revision with the content of an old one."""
        with self.store.write() as connection:
            row = self._mine(connection, me, id)
            if FINDING.written(connection, id, mark_of(me, token)):
                return row
            match(row, if_match, lambda: head_shape(connection, row))
            past = FINDING.revision(connection, row, revision)
            if past.visibility not in reads(connection, me, row):
                raise NotFound(f"There is no revision {revision} that you may see.", field="revision")
            old = FINDING.of(past)
            old["visibility"] = row.visibility  # going back in time lets nobody in who was shut out since
            revised = self._list(connection, FINDING.revise(connection, me, row, old, token=mark_of(me, token)))
            self._tell(connection, revised)
            return revised

    def get(self, me: PersonRow | None, id: str) -> Row[Any]:
        """The finding, if ``me`` may read it; None is who is not signed in.

        Raises:
            NotFound: it is not for ``me``, or never was; a deleted one is there for its author and editors only.
        """
        with self.store.read() as connection:
            row = connection.execute(select(t.finding).where(t.finding.c.id == id)).one_or_none()
            if row is None or not shows(connection, me, row):
                raise NotFound(NONE.format(id[:64]), field="id")
        return row

    def read(self, me: PersonRow | None, row: Row[Any], revision: int | None) -> Row[Any]:
        """The content of a revision that ``me`` may read; the present one if left out.

        Raises:
            NotFound: there is none of this number, or it was written for fewer people.
        """
        shown = self.revision_of(row, revision)
        with self.store.read() as connection:
            if shown is not row and shown.visibility not in reads(connection, me, row):
                raise NotFound(f"There is no revision {revision} that you may see.", field="revision")
        return shown

    def any(self, id: str) -> Row[Any]:
        """The finding, whoever may read it."""
        with self.store.read() as connection:
            return FINDING.find(connection, id)

    def revision_of(self, row: Row[Any], revision: int | None) -> Row[Any]:
        """The content of a revision, whoever may read it; the present one if left out."""
        if revision is None or revision == row.revision:
            return row
        with self.store.read() as connection:
            return FINDING.revision(connection, row, revision)

    def page(self, me: PersonRow, model: str | None, deleted: bool, before: int | None, limit: int) -> list[Row[Any]]:
        """Those ``me`` may see in the workspace, newest first; of deleted ones one's own, for editors all."""
        f = t.finding
        query = select(f).where(visible_to(me, f), f.c.deleted.is_(deleted)).order_by(f.c.seq.desc()).limit(limit)
        if deleted:  # as visible.shows has it
            others = f.c.visibility != "private" if me.may("editor") else false()
            query = query.where((f.c.author_id == me.id) | others)
        if model is not None:
            query = query.where(f.c.model == model)
        if before is not None:
            query = query.where(f.c.seq < before)
        with self.store.read() as connection:
            return list(connection.execute(query))

    def public(self, before: int | None, limit: int) -> list[Row[Any]]:
        """What everybody may see, also who is not signed in."""
        f = t.finding
        query = select(f).where(f.c.visibility == "public", f.c.deleted.is_(False)).order_by(f.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(f.c.seq < before)
        with self.store.read() as connection:
            return list(connection.execute(query))

    def history(self, me: PersonRow | None, id: str) -> list[Row[Any]]:
        """Those revisions that ``me`` may read, oldest first."""
        row = self.get(me, id)
        with self.store.read() as connection:
            readable = reads(connection, me, row)
            return [past for past in FINDING.history(connection, id) if past.visibility in readable]

    def rests_on(self, me: PersonRow | None, row: Row[Any]) -> tuple[dict[str, Shape], set[str]]:
        """What the revisions rest on that ``me`` may read: how each result was made, by key; and keys of what checks of them computed."""
        past, check = t.finding_revision.c, t.finding_check.c
        with self.store.read() as connection:
            mine = (past.of_id == row.id) & past.visibility.in_(reads(connection, me, row))
            found = connection.execute(select(past.revision, past.provenance).where(mine)).all()
            checks = select(check.entries).where(check.finding_id == row.id, check.revision.in_([r.revision for r in found]))
            again = {entry["now"] for entries in connection.execute(checks).scalars() for entry in entries if entry["now"]}
        return {key: made for r in found for key, made in r.provenance.items()}, again

    def revisions(self, me: PersonRow | None, row: Row[Any]) -> list[int]:
        """Numbers of the revisions that ``me`` may read."""
        past = t.finding_revision.c
        with self.store.read() as connection:
            mine = (past.of_id == row.id) & past.visibility.in_(reads(connection, me, row))
            return list(connection.execute(select(past.revision).where(mine).order_by(past.revision)).scalars())

    def contributors(self, ids: Sequence[str]) -> dict[str, list[Shape]]:
        """Who wrote each finding: everybody who made a revision, in the order of their first one."""
        past = t.finding_revision
        with self.store.read() as connection:
            rows = connection.execute(
                select(past.c.of_id, past.c.person_id).where(past.c.of_id.in_(ids), past.c.deleted.is_(False)).order_by(past.c.revision)
            ).all()
            people = named(connection, {row.person_id for row in rows})
        found: dict[str, dict[str, Shape]] = {id: {} for id in ids}
        for row in rows:
            found[row.of_id].setdefault(row.person_id, people[row.person_id])
        return {id: list(whom.values()) for id, whom in found.items()}

    def pin(self, id: str, keys: Iterable[str]) -> None:
        """Keep these results for the finding."""
        with self.store.write(lock="blobs") as connection:
            _pin_keys(connection, id, keys)

    def authorships(self, rows: Sequence[Row[Any]]) -> list[Shape]:
        with self.store.read() as connection:
            people = named(connection, [id for row in rows for id in (row.author_id, row.changed_by_id)])
        return [authorship(row, people) for row in rows]

    def _mine(self, connection: Connection, me: PersonRow, id: str, *, lock: bool = True) -> Row[Any]:
        row = FINDING.find(connection, id, lock=lock)
        if not shows(connection, me, row):
            raise NotFound(NONE.format(id[:64]), field="id")
        changed_by(me, row, row.author_id, "finding", connection)
        return row

    def _list(self, connection: Connection, row: Row[Any]) -> Row[Any]:
        """The finding, listed under the model and probe set that it rests on now."""
        connection.execute(update(t.finding).where(t.finding.c.id == row.id).values(content_of(row).about))
        return FINDING.find(connection, row.id)

    def _pin(self, connection: Connection, id: str, content: Content) -> None:
        views = [{"share_id": share, "finding_id": id} for share in content.views]
        if views:
            connection.execute(insert_ignore(connection, t.finding_view), views)
        _pin_keys(connection, id, content.provenance)

    def _tell(self, connection: Connection, row: Row[Any]) -> None:
        told = {"id": row.id, "number": row.seq, "revision": row.revision, "deleted": row.deleted}
        for person in audience(connection, row):
            self.events.add("finding", told, connection, workspace=row.workspace_id, person=person)


def _changeable(connection: Connection, row: Row[Any], if_match: str | None, deleted: bool = False) -> None:
    match(row, if_match, lambda: head_shape(connection, row))
    if row.deleted and not deleted:
        raise Conflict("This finding is deleted. Restore it first.", field="id")


def _open_up(me: PersonRow, row: Row[Any], visibility: str | None) -> None:
    if row.visibility == "private" and visibility not in (None, "private") and me.id != row.author_id:
        raise Forbidden("This finding is private. Only its author shows it to others.", field="visibility")


def content_of(row: Any) -> Content:
    """The content of a present state or of a revision."""
    return Content(**{name: getattr(row, name) for name in Content.__slots__})


def head_shape(connection: Connection, row: Row[Any]) -> Shape:
    """Enough to compare a change with: what stale writers are shown."""
    people = named(connection, (row.author_id, row.changed_by_id))
    names = ("id", "title", "claim", "body", "visibility", "tolerance")
    return {name: getattr(row, name) for name in names} | {"number": row.seq} | authorship(row, people)


def _all_stored(connection: Connection, id: str, content: Content) -> None:
    """
    Raises:
        Conflict: a result that is not pinned for this finding yet was evicted since it was read; the caller holds the lock of blobs.
    """
    wanted = list(content.provenance)
    there = select(t.result.c.key).where(t.result.c.key.in_(wanted))
    pinned = select(t.finding_result.c.key).where(t.finding_result.c.finding_id == id)
    gone = set(wanted) - set(connection.execute(there.union(pinned)).scalars())
    if gone:
        raise Conflict(f"The result {min(gone)} was dropped a moment ago. Put its run again, then send this once more.", field="evidence")


def _pin_keys(connection: Connection, id: str, keys: Iterable[str]) -> None:
    pins: list[Mapping[str, str]] = [{"finding_id": id, "key": key} for key in keys]
    if pins:
        connection.execute(insert_ignore(connection, t.finding_result), pins)
