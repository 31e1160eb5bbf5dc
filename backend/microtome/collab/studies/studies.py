"""Studies by revisions: made, prepared, opened, closed. Once open the design is locked."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import structlog
from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.exc import SQLAlchemyError

from microtome.collab.labels.sets import counted
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Revised, Shape, authorship, id_for, mark_of, match, named
from microtome.collab.studies import prepare
from microtome.collab.studies.design import read_design
from microtome.core.errors import Conflict, Forbidden, NotFound
from microtome.engine import Engine
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import audit

log = structlog.get_logger("microtome.studies")
STUDY = Revised("study", t.study, t.study_revision)
State = Literal["draft", "open", "closed"]


def find_study(connection: Connection, me: PersonRow, id: str, *, lock: bool = False, gone: bool = False) -> Row[Any]:
    """A study of my workspace. Deleted ones only with ``gone``."""
    query = select(t.study).where(t.study.c.id == id, t.study.c.workspace_id == me.workspace)
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None or (row.deleted and not gone):
        raise NotFound(f"There is no study '{id[:64]}'. GET /api/v1/studies lists them.", field="id")
    return row


class Studies:
    """Making, preparing, opening, closing and listing studies."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.store, self.events = engine, engine.store, engine.events

    def create(self, me: PersonRow, name: str, instructions: str, design: Mapping[str, Any], token: str | None = None) -> Shape:
        """
        Raises:
            NotFound, InvalidInput: a model, probe set or method of the design does not fit.
        """
        whole = self._checked(design)
        id = id_for(me, token)
        with self.store.write() as connection:
            there = connection.execute(select(t.study).where(t.study.c.id == id)).one_or_none()
            if there is not None:
                return self._shape(connection, me, there)
            values = {"workspace_id": me.workspace, "prepared": None, "name": name.strip(), "instructions": instructions}
            made = STUDY.add(connection, me, id, values | {"design": whole, "state": "draft"}, token=mark_of(me, token))
            audit(connection, me.id, "study", name, me.workspace)
            return self._told(connection, me, made)

    def change(
        self, me: PersonRow, id: str, if_match: str | None, changes: Mapping[str, Any], *, deleted: bool = False, token: str | None = None
    ) -> Shape:
        """Another revision of a draft, or the deletion of any. Another design must be prepared anew.

        Raises:
            Conflict: the study is open or closed, so what it asks is locked.
        """
        if "design" in changes:
            changes = {**changes, "design": self._checked(changes["design"])}
        with self.store.write() as connection:
            row = find_study(connection, me, id, lock=True, gone=True)
            if STUDY.written(connection, id, mark_of(me, token)):
                return self._shape(connection, me, row)
            match(row, if_match, lambda: self._shape(connection, me, row))
            if row.deleted and not deleted:
                raise Conflict("This study is deleted. Restore it first.", field="id")
            if any(changes[name] != getattr(row, name) for name in changes):
                _draft(row)
            return self._revised(connection, me, row, changes, deleted, token)

    def restore(self, me: PersonRow, id: str, if_match: str | None, revision: int, token: str | None = None) -> Shape:
        """A new revision with the content of an old one; of a study that was open, only its deletion can be taken back."""
        with self.store.write() as connection:
            row = find_study(connection, me, id, lock=True, gone=True)
            if STUDY.written(connection, id, mark_of(me, token)):
                return self._shape(connection, me, row)
            match(row, if_match, lambda: self._shape(connection, me, row))
            old = STUDY.revision(connection, row, revision)
            changes = {name: getattr(old, name) for name in ("name", "instructions", "design")}
            if any(changes[name] != getattr(row, name) for name in changes):
                _draft(row)
            return self._revised(connection, me, row, changes, False, token)

    def prepare(self, me: PersonRow, id: str, if_match: str | None) -> Shape:
        """Submit what the tasks are made from. Prepared already, it answers as it is; failed, it begins again.

        Raises:
            Conflict: the study is open or closed.
        """
        with self.store.read() as connection:
            row = find_study(connection, me, id)
            match(row, if_match, lambda: self._shape(connection, me, row))
            _draft(row)
            if row.prepared is not None and row.prepared["step"] != "failed":
                return self._shape(connection, me, row)
        asked = prepare.first_runs(read_design(row.design))
        runs = [self.engine.submit(*ask, person=me.id).id for ask in asked]
        with self.store.write() as connection:
            row = find_study(connection, me, id, lock=True)
            match(row, if_match, lambda: self._shape(connection, me, row))
            _draft(row)
            prepared = {"mark": secrets.token_hex(8), "by": me.id, "step": "measuring", "runs": runs, "tasks": None, "problem": None}
            connection.execute(update(t.study).where(t.study.c.id == id).values(prepared=prepared))
            audit(connection, me.id, "prepare-study", id, me.workspace)
            self._told(connection, me, find_study(connection, me, id))
        self.advance([id])
        return self.get(me, id)

    def advance(self, ids: Sequence[str] | None = None) -> int:
        """Take the next step of preparations whose runs have ended. Returns how many steps were taken."""
        s, steps = t.study, 0
        query = select(s).where(s.c.prepared.is_not(None), s.c.state == "draft", s.c.deleted.is_(False))
        if ids is not None:
            query = query.where(s.c.id.in_(ids))
        with self.store.read() as connection:
            rows = list(connection.execute(query.limit(200)))
        for row in rows:
            while (new := self._next(row)) is not None:
                new["mark"] = secrets.token_hex(8)
                with self.store.write(lock="blobs") as connection:
                    now = connection.execute(select(s).where(s.c.id == row.id).with_for_update()).one()
                    if (now.prepared or {}).get("mark") != row.prepared["mark"]:
                        break  # another process was faster, or the design has changed
                    connection.execute(update(s).where(s.c.id == row.id).values(prepared=new))
                    pins = [{"study_id": row.id, "key": key} for key in prepare.keys_of(self.engine, new)]
                    connection.execute(insert_ignore(connection, t.study_result), pins)
                    row = connection.execute(select(s).where(s.c.id == row.id)).one()
                    self._tell(connection, row)
                steps += 1
        return steps

    def _next(self, row: Row[Any]) -> dict[str, Any] | None:
        """See :func:`microtome.collab.studies.prepare.advance`; what goes wrong in one study keeps no other from going on."""
        try:
            return prepare.advance(self.engine, read_design(row.design), row.prepared, row.prepared["by"])
        except SQLAlchemyError:  # the database is away; the next look finds the same to do
            raise
        except Exception as error:
            log.warning("study", study=row.id, error=str(error)[:200])
            why = str(error)[:200] or type(error).__name__
            return {**row.prepared, "step": "failed", "problem": f"Its tasks could not be made: {why}"}

    def open(self, me: PersonRow, id: str, if_match: str | None, token: str | None = None) -> Shape:
        """Write the tasks and lock the design.

        Raises:
            Conflict: it is not ready; the message says what is missing.
        """
        with self.store.write() as connection:
            row = find_study(connection, me, id, lock=True)
            if STUDY.written(connection, id, mark_of(me, token)):
                return self._shape(connection, me, row)
            match(row, if_match, lambda: self._shape(connection, me, row))
            _draft(row)
            told = prepare.progress(connection, row)
            if told is None:
                raise Conflict("The study is not prepared. POST /api/v1/studies/{id}/prepare makes its tasks.", field="id")
            if told["step"] != "ready":
                raise Conflict(told["problem"] or f"It is still being prepared: {told['done']} of {told['total']} runs.", field="id")
            design, tasks = read_design(row.design), row.prepared["tasks"]
            checks = [prepare.attention(tasks[i % len(tasks)], design.seed, i) for i in range(design.attention)]
            connection.execute(insert(t.study_task), [
                {"study_id": id, "number": i, "content": task["content"] | {"maps": task["maps"]}, "choices": task["choices"],
                 "truth": task["truth"], "attention": i >= len(tasks)}
                for i, task in enumerate([*tasks, *checks])
            ])  # fmt: skip
            return self._told(connection, me, STUDY.revise(connection, me, row, {"state": "open"}, token=mark_of(me, token)))

    def close(self, me: PersonRow, id: str, if_match: str | None, token: str | None = None) -> Shape:
        """No more answers; everybody sees the results. A closed study stays closed, since its answers are out."""
        with self.store.write() as connection:
            row = find_study(connection, me, id, lock=True)
            if STUDY.written(connection, id, mark_of(me, token)):
                return self._shape(connection, me, row)
            match(row, if_match, lambda: self._shape(connection, me, row))
            if row.state != "open":
                raise Conflict(f"Only an open study can be closed; this one is {row.state}.", field="id")
            return self._told(connection, me, STUDY.revise(connection, me, row, {"state": "closed"}, token=mark_of(me, token)))

    def get(self, me: PersonRow, id: str) -> Shape:
        with self.store.read() as connection:
            return self._shape(connection, me, find_study(connection, me, id))

    def history(self, me: PersonRow, id: str) -> list[Shape]:
        """All revisions, for editors, since the seed of the design leads to the tasks."""
        with self.store.read() as connection:
            row = find_study(connection, me, id, gone=True)
            if not me.may("editor") and row.state != "closed":
                raise Forbidden("While a study is not closed only editors see how its tasks are made.", field="id")
            rows = STUDY.history(connection, id)
            people = named(connection, (r.person_id for r in rows))
        return [STUDY.of(r) | {"revision": r.revision, "deleted": r.deleted, "author": people[r.person_id], "at": r.at} for r in rows]

    def page(self, me: PersonRow, before: int | None, limit: int) -> Shape:
        """Newest first; drafts are shown to editors only."""
        s = t.study
        query = select(s).where(s.c.workspace_id == me.workspace, s.c.deleted.is_(False)).order_by(s.c.seq.desc())
        if not me.may("editor"):
            query = query.where(s.c.state != "draft")
        if before is not None:
            query = query.where(s.c.seq < before)
        with self.store.read() as connection:
            rows = list(connection.execute(query.limit(limit + 1)))
            items = self._shapes(connection, me, rows[:limit])
        return {"items": items, "next": str(rows[limit - 1].seq) if len(rows) > limit else None}

    def _checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The design as it is kept, with its defaults."""
        design = read_design(given)
        prepare.check(self.engine, design)
        return design.model_dump(mode="json", exclude_none=True)

    def _revised(
        self, connection: Connection, me: PersonRow, row: Row[Any], changes: Mapping[str, Any], deleted: bool, token: str | None
    ) -> Shape:
        if "design" in changes and changes["design"] != row.design:
            connection.execute(update(t.study).where(t.study.c.id == row.id).values(prepared=None))
        return self._told(connection, me, STUDY.revise(connection, me, row, changes, deleted, token=mark_of(me, token)))

    def _tell(self, connection: Connection, row: Row[Any]) -> None:
        told = {"id": row.id, "revision": row.revision, "deleted": row.deleted, "state": row.state}
        self.events.add("study", told, connection, workspace=row.workspace_id)

    def _told(self, connection: Connection, me: PersonRow, row: Row[Any]) -> Shape:
        self._tell(connection, row)
        return self._shape(connection, me, row)

    def _shape(self, connection: Connection, me: PersonRow, row: Row[Any]) -> Shape:
        return self._shapes(connection, me, [row])[0]

    def _shapes(self, connection: Connection, me: PersonRow, rows: Sequence[Row[Any]]) -> list[Shape]:
        """Studies with how far they are. How tasks are made is for editors until the study is closed: a seed leads to the answers."""
        ids = [row.id for row in rows]
        a, p = t.study_answer.c, t.study_participant.c
        answers = select(a.study_id, func.count()).where(a.study_id.in_(ids)).group_by(a.study_id)
        joined = counted(connection, select(p.study_id, func.count()).where(p.study_id.in_(ids)).group_by(p.study_id))
        given = counted(connection, answers)
        mine = counted(connection, answers.where(a.person_id == me.id))
        people = named(connection, [id for row in rows for id in (row.author_id, row.changed_by_id)])
        out = []
        for row in rows:
            design = row.design
            open_book = me.may("editor") or row.state == "closed"
            of = design["tasks"] + design["attention"]
            out.append({
                "id": row.id, "name": row.name, "instructions": row.instructions, "state": row.state, "kind": design["kind"],
                "places": of, "conditions": [c["name"] for c in design["conditions"]], "confidence": design["confidence"],
                "design": design if open_book else None, "preparation": prepare.progress(connection, row) if me.may("editor") else None,
                "participants": joined.get(row.id, 0), "answers": given.get(row.id, 0), "mine": mine.get(row.id, 0),
            } | authorship(row, people))  # fmt: skip
        return out


def _draft(row: Row[Any]) -> None:
    if row.state != "draft":
        raise Conflict(f"This study is {row.state}, so what it asks is locked. Make a new one from its design.", field="id")
