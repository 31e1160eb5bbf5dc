"""Threads: comments on a unit, annotation, rating or result, with replies and mentions. Every change is a revision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from microtome.collab.members import members
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape, authorship, id_for, mark_of, match, named
from microtome.collab.talk.notifications import notify
from microtome.collab.talk.subjects import COMMENT, Subject, check_subject, seers, tell
from microtome.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import EventRepository, audit


class Comments:
    """See the module's docstring.

    Args:
        team: mentions are looked for among the members of the workspace; else among everybody.
    """

    def __init__(self, store: Store, events: EventRepository, *, team: bool) -> None:
        self.store, self.events, self.team = store, events, team

    def create(
        self, me: PersonRow, *, subject: Subject, subject_id: str, body: str, parent: str | None = None, token: str | None = None
    ) -> Shape:
        """A comment, or a reply to one. Whoever is mentioned, and whoever took part in the thread, is notified."""
        text = _checked(body)
        id = id_for(me, token)
        with self.store.write() as connection:
            there = connection.execute(select(t.comment).where(t.comment.c.id == id)).one_or_none()
            if there is not None:
                return _shapes(connection, [there])[0]
            check_subject(connection, me, subject, subject_id)
            root = None if parent is None else self._root(connection, me, parent, subject, subject_id)
            values = {"workspace_id": me.workspace, "subject": subject, "subject_id": subject_id, "parent_id": root, "body": text}
            row = COMMENT.add(connection, me, id, values, token=mark_of(me, token))
            audit(connection, me.id, "comment", f"{subject} {subject_id}", me.workspace)
            called = self._mentioned(connection, me, text, subject, subject_id)
            notify(connection, self.events, me, called, "mention", subject, subject_id, id)
            if root is not None:
                notify(
                    connection,
                    self.events,
                    me,
                    self._in_thread(connection, me, root, subject, subject_id) - called,
                    "reply",
                    subject,
                    subject_id,
                    id,
                )
            return self._told(connection, me, row)

    def change(
        self, me: PersonRow, id: str, if_match: str | None, *, body: str | None = None, deleted: bool = False, token: str | None = None
    ) -> Shape:
        """Another text, by its author; or the deletion, by its author or an editor."""
        with self.store.write() as connection:
            row = self._find(connection, me, id)
            if COMMENT.written(connection, id, mark_of(me, token)):
                return _shapes(connection, [row])[0]
            if row.author_id != me.id and not (deleted and me.may("editor")):
                raise Forbidden("This comment is somebody else's. Only its author changes it.", field="id")
            match(row, if_match, lambda: _shapes(connection, [row])[0])
            if row.deleted and not deleted:
                raise Conflict("This comment is deleted. Restore it first.", field="id")
            text = row.body if body is None else _checked(body)
            revised = COMMENT.revise(connection, me, row, {"body": text}, deleted, token=mark_of(me, token))
            if not deleted:
                new = self._mentioned(connection, me, text, row.subject, row.subject_id) - _told_of(connection, [id]).get(id, set())
                notify(connection, self.events, me, new, "mention", row.subject, row.subject_id, id)
            return self._told(connection, me, revised)

    def restore(self, me: PersonRow, id: str, if_match: str | None, revision: int, token: str | None = None) -> Shape:
        """A new revision with the text of an old one, by its author."""
        with self.store.write() as connection:
            row = self._find(connection, me, id)
            if COMMENT.written(connection, id, mark_of(me, token)):
                return _shapes(connection, [row])[0]
            if row.author_id != me.id:
                raise Forbidden("This comment is somebody else's. Only its author restores it.", field="id")
            match(row, if_match, lambda: _shapes(connection, [row])[0])
            old = COMMENT.revision(connection, row, revision)
            return self._told(connection, me, COMMENT.revise(connection, me, row, {"body": old.body}, token=mark_of(me, token)))

    def history(self, me: PersonRow, id: str) -> list[Shape]:
        with self.store.read() as connection:
            row = self._find(connection, me, id, lock=False)
            if row.deleted and row.author_id != me.id and not me.may("editor"):
                raise NotFound("This comment was deleted. Its author and editors can see what it said.", field="id")
            rows = COMMENT.history(connection, id)
            people = named(connection, (r.person_id for r in rows))
        return [{"revision": r.revision, "body": r.body, "deleted": r.deleted, "author": people[r.person_id], "at": r.at} for r in rows]

    def page(self, me: PersonRow, subject: Subject, subject_id: str, after: int | None, limit: int) -> Shape:
        """Oldest first. A deleted comment keeps its place, without its text, so that replies keep theirs."""
        c = t.comment
        query = select(c).where(c.c.workspace_id == me.workspace, c.c.subject == subject, c.c.subject_id == subject_id).order_by(c.c.seq)
        if after is not None:
            query = query.where(c.c.seq > after)
        with self.store.read() as connection:
            check_subject(connection, me, subject, subject_id)
            rows = list(connection.execute(query.limit(limit + 1)))
            items = _shapes(connection, rows[:limit])
        return {"items": items, "next": str(rows[limit - 1].seq) if len(rows) > limit else None}

    def _find(self, connection: Connection, me: PersonRow, id: str, *, lock: bool = True) -> Row[Any]:
        row = COMMENT.find(connection, id, lock=lock)
        if row.workspace_id != me.workspace:
            raise NotFound(f"There is no comment '{id[:64]}'.", field="id")
        check_subject(connection, me, row.subject, row.subject_id)
        return row

    def _root(self, connection: Connection, me: PersonRow, parent: str, subject: str, subject_id: str) -> str:
        """The comment that a thread begins with: threads have one level."""
        row = connection.execute(select(t.comment).where(t.comment.c.id == parent)).one_or_none()
        if row is None or (row.workspace_id, row.subject, row.subject_id) != (me.workspace, subject, subject_id):
            raise NotFound(f"There is no comment '{parent[:64]}' on this {subject} to answer.", field="parent")
        return str(row.parent_id or row.id)

    def _in_thread(self, connection: Connection, me: PersonRow, root: str, subject: Subject, subject_id: str) -> set[str]:
        c = t.comment
        query = select(c.c.author_id).where((c.c.id == root) | (c.c.parent_id == root), c.c.deleted.is_(False))
        present = {person.id for person in members(connection, me.workspace, team=self.team)}
        return _who_see(connection, me, set(connection.execute(query).scalars()) & present, subject, subject_id)

    def _mentioned(self, connection: Connection, me: PersonRow, text: str, subject: Subject, subject_id: str) -> set[str]:
        named = mentioned(text, members(connection, me.workspace, team=self.team))
        return _who_see(connection, me, named, subject, subject_id)

    def _told(self, connection: Connection, me: PersonRow, row: Row[Any]) -> Shape:
        shape = _shapes(connection, [row])[0]
        names = ("id", "subject", "subject_id", "parent", "revision", "deleted", "author")
        tell(connection, self.events, me, "comment", {name: shape[name] for name in names}, row.subject, row.subject_id)
        return shape


def mentioned(text: str, people: Sequence[PersonRow]) -> set[str]:
    """Ids of those whose name stands after an @; of names that begin alike the longest counts, of equal names all."""
    low, found = text.casefold(), set()
    by_name: dict[str, set[str]] = {}
    for person in people:
        by_name.setdefault(person.name.casefold(), set()).add(person.id)
    lengths = sorted({len(name) for name in by_name}, reverse=True)  # a look-up for each, however many people there are
    start = low.find("@")
    while start >= 0:
        if start == 0 or not low[start - 1].isalnum():  # else it is part of an e-mail address
            rest = low[start + 1 : start + 200]
            whole = (rest[:n] for n in lengths if not rest[n : n + 1].isalnum())
            found |= next((by_name[name] for name in whole if name in by_name), set())
        start = low.find("@", start + 1)
    return found


def _who_see(connection: Connection, me: PersonRow, people: set[str], subject: Subject, id: str) -> set[str]:
    """Those of ``people`` who may see what is talked about: of what is kept from somebody they are told nothing."""
    may = seers(connection, me, subject, id)
    return people if may is None else people & may


def _told_of(connection: Connection, ids: Sequence[str]) -> dict[str, set[str]]:
    """Who was told that a comment mentions them."""
    n = t.notification
    found: dict[str, set[str]] = {}
    for row in connection.execute(select(n.c.comment_id, n.c.person_id).where(n.c.comment_id.in_(ids), n.c.kind == "mention")):
        found.setdefault(row.comment_id, set()).add(row.person_id)
    return found


def _shapes(connection: Connection, rows: Sequence[Row[Any]]) -> list[Shape]:
    told = _told_of(connection, [row.id for row in rows])
    people = named(connection, [id for row in rows for id in (row.author_id, row.changed_by_id, *told.get(row.id, ()))])
    return [
        {"id": row.id, "subject": row.subject, "subject_id": row.subject_id, "parent": row.parent_id,
         "body": "" if row.deleted else row.body, "mentions": [people[id] for id in sorted(told.get(row.id, ()))]}
        | authorship(row, people)
        for row in rows
    ]  # fmt: skip


def _checked(body: str) -> str:
    text = body.strip()
    if not text or "\0" in text:
        raise InvalidInput("The comment is empty or holds a null character. Write something, or delete it.", field="body")
    return text
