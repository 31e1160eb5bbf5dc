"""Hypothesis cards by revisions. What was predicted is locked when the test is started."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update

from microtome.collab.access import audience, changed_by, seen_by, visible_to
from microtome.collab.hypotheses.known import known_before
from microtome.collab.hypotheses.outcome import Side, Sides, State, conclude, key_of
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Revised, Shape, authorship, id_for, mark_of, match, named
from microtome.collab.talk.notifications import notify
from microtome.core.errors import Conflict, InvalidInput, NotFound
from microtome.engine import Engine
from microtome.engine.plan import Plan
from microtome.results.measured import Offered, Reference, references
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import audit
from microtome.store.runs import OPEN
from microtome.store.times import now

HYPOTHESIS = Revised("hypothesis", t.hypothesis, t.hypothesis_revision)
#: What a prediction is made of: locked once the test is started, and dated anew when it changes before.
LOCKED = ("statement", "prediction", "test", "control", "reference", "comparison", "threshold", "interval")


class Hypotheses:
    """Making, changing, starting and listing cards."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.store, self.events = engine, engine.store, engine.events
        self.sides = Sides(engine.results)

    def create(self, me: PersonRow, card: Mapping[str, Any], visibility: str = "workspace", token: str | None = None) -> Shape:
        """
        Args:
            card: the columns of ``LOCKED`` and ``note``.

        Raises:
            NotFound, InvalidInput: what the test or the control is put to does not fit, or both are the same.
        """
        model = self._checked(card)
        id = id_for(me, token)
        with self.store.write() as connection:
            there = connection.execute(select(t.hypothesis).where(t.hypothesis.c.id == id)).one_or_none()
            if there is not None:
                return self._shape(connection, there)
            values = {name: card[name] for name in (*LOCKED, "note")} | {"predicted": now(), "start": None}
            values |= {"workspace_id": me.workspace, "visibility": visibility, "model": model, "told": None}
            made = HYPOTHESIS.add(connection, me, id, values, token=mark_of(me, token))
            audit(connection, me.id, "hypothesis", str(card["statement"]), me.workspace)
            return self._told(connection, made)

    def change(
        self, me: PersonRow, id: str, if_match: str | None, changes: Mapping[str, Any], *, deleted: bool = False, token: str | None = None
    ) -> Shape:
        """Another revision. Before the start a changed prediction is dated anew; after it only the note can change.

        Raises:
            Conflict: the test was started, or the card is deleted.
        """
        with self.store.write() as connection:
            row = self._mine(connection, me, id)
            if HYPOTHESIS.written(connection, id, mark_of(me, token)):
                return self._shape(connection, row)
            match(row, if_match, lambda: self._shape(connection, row))
            if row.deleted and not deleted:
                raise Conflict("This hypothesis is deleted. Restore it first.", field="id")
            return self._revised(connection, me, row, dict(changes), deleted, token)

    def restore(self, me: PersonRow, id: str, if_match: str | None, revision: int, token: str | None = None) -> Shape:
        """A new revision with the content of an old one; what was predicted then is predicted now, and dated so."""
        with self.store.write() as connection:
            row = self._mine(connection, me, id)
            if HYPOTHESIS.written(connection, id, mark_of(me, token)):
                return self._shape(connection, row)
            match(row, if_match, lambda: self._shape(connection, row))
            old = HYPOTHESIS.of(HYPOTHESIS.revision(connection, row, revision))
            return self._revised(connection, me, row, {name: old[name] for name in (*LOCKED, "note")}, False, token)

    def start(self, me: PersonRow, id: str, if_match: str | None, token: str | None = None) -> Shape:
        """Submit the test and its control; from now on the prediction is locked and the results are pinned.

        Raises:
            Conflict: it was started already, or is deleted.
        """
        with self.store.read() as connection:
            row = HYPOTHESIS.find(connection, id)
            changed_by(me, row, row.author_id, "hypothesis", connection)
            if HYPOTHESIS.written(connection, id, mark_of(me, token)):
                return self._shape(connection, row)
            match(row, if_match, lambda: self._shape(connection, row))
            _startable(row)
        runs = {}
        for side, asked in (("test", row.test), ("control", row.control)):
            runs[side] = self.engine.submit(row.test["method"], asked["subjects"], asked["params"], person=me.id)
        parts = self.engine.runs.parts([run.id for run in runs.values()])
        pairs = {side: [(part, key) for part, key, _ in parts[run.id]] for side, run in runs.items()}
        with self.store.write(lock="blobs") as connection:
            row = self._mine(connection, me, id)
            match(row, if_match, lambda: self._shape(connection, row))
            _startable(row)
            known = {side: known_before(connection, self._meant(row, side, pairs[side]), row.predicted) for side in runs}
            start = {"at": now(), "by": me.id, "test_run": runs["test"].id, "control_run": runs["control"].id, "known_before": known}
            started = HYPOTHESIS.revise(connection, me, row, {"start": start}, token=mark_of(me, token))
            keys = sorted({key for pair in pairs.values() for _, key in pair})
            connection.execute(insert_ignore(connection, t.hypothesis_result), [{"hypothesis_id": id, "key": key} for key in keys])
            audit(connection, me.id, "start-hypothesis", id, me.workspace)
            self._told(connection, started)
        self.settle([id])
        return self.get(me, id)

    def settle(self, ids: Sequence[str] | None = None) -> int:
        """Tell authors of outcomes that have come since: an event and a notification, once for each card. Returns how many."""
        h = t.hypothesis
        query = select(h).where(h.c.start.is_not(None), h.c.told.is_(None), h.c.deleted.is_(False)).limit(200)
        if ids is not None:
            query = query.where(h.c.id.in_(ids))
        with self.store.read() as connection:
            waiting = list(connection.execute(query))
            if not waiting:
                return 0
            wanted = {row.start[name] for row in waiting for name in ("test_run", "control_run")}
            still = set(connection.execute(select(t.run.c.id).where(t.run.c.id.in_(wanted), t.run.c.state.in_(OPEN))).scalars())
        ended = [row for row in waiting if not still & {row.start["test_run"], row.start["control_run"]}]
        for row in ended:
            with self.store.write() as connection:
                done = connection.execute(update(h).where(h.c.id == row.id, h.c.told.is_(None)).values(told=now()))
                if done.rowcount:
                    self._told(connection, row)
                    actor = PersonRow(row.start["by"], "", workspace=row.workspace_id)
                    notify(connection, self.events, actor, [row.author_id], "outcome", "hypothesis", row.id, own=True)
        return len(ended)

    def get(self, me: PersonRow, id: str) -> Shape:
        with self.store.read() as connection:
            row = HYPOTHESIS.find(connection, id)
            seen_by(me, row, "hypothesis", connection)
            if row.deleted:
                raise NotFound("This hypothesis is deleted. Its history is kept, and it can be restored.", field="id")
            return self._shape(connection, row)

    def history(self, me: PersonRow, id: str) -> list[Shape]:
        with self.store.read() as connection:
            seen_by(me, HYPOTHESIS.find(connection, id), "hypothesis", connection)
            rows = HYPOTHESIS.history(connection, id)
            people = named(connection, (r.person_id for r in rows))
        names = (*LOCKED, "predicted", "note", "revision", "deleted", "at")
        return [
            {name: getattr(r, name) for name in names} | {"started": r.start["at"] if r.start else None, "author": people[r.person_id]}
            for r in rows
        ]

    def page(self, me: PersonRow, model: str | None, state: State | None, before: int | None, limit: int) -> Shape:
        """Newest first, without deleted ones. The state is what the results say now, so filtering by it reads on until a page is full."""
        h, items = t.hypothesis, []
        query = select(h).where(h.c.deleted.is_(False), visible_to(me, h)).order_by(h.c.seq.desc()).limit(limit + 1)
        if model is not None:
            query = query.where(h.c.model == model)
        if state is not None:
            query = query.where(h.c.start.is_(None) if state == "draft" else h.c.start.is_not(None))
        with self.store.read() as connection:
            while True:
                rows = list(connection.execute(query if before is None else query.where(h.c.seq < before)))
                for row, shape in zip(rows[:limit], self._shapes(connection, rows[:limit]), strict=True):
                    before = row.seq
                    if state is None or shape["state"] == state:
                        items.append(shape)
                        if len(items) == limit:
                            more = row is not rows[-1]
                            return {"items": items, "next": str(before) if more else None}
                if len(rows) <= limit:
                    return {"items": items, "next": None}

    def offered(self, method: str, model: str | None) -> list[Offered]:
        """Numbers that a result of the method has had here, of this model if there is one: what a form can offer."""
        manifest = self.engine.method(method)
        row = None if model is None else self.engine.sources.find("model", model)
        r = t.result.c
        query = (
            select(t.result.c.key, r.part).where(r.method == manifest["id"], r.version == manifest["version"]).order_by(r.created.desc())
        )
        with self.store.read() as connection:
            own = None if row is None else connection.execute(query.where(r.model_hash == row.hash).limit(1)).first()
            found = own or connection.execute(query.limit(1)).first()
            if found is None:
                return []
            items = list(
                connection.execute(select(t.result_item).where(t.result_item.c.key == found.key).order_by(t.result_item.c.position))
            )
        return [offer for item in items for offer in references(self.engine.results.result_of(item), found.part, item.name)]

    def _checked(self, card: Mapping[str, Any]) -> str:
        """The model's name, if test and control can be planned and differ.

        Raises:
            NotFound, InvalidInput: naming the field within the card.
        """
        plans = {side: self._plan(card, side) for side in ("test", "control")}
        own, other = card["reference"], card["control"].get("reference") or card["reference"]
        if plans["test"].request_key == plans["control"].request_key and own == other:
            raise InvalidInput("The control is the test itself. Give it other subjects or parameters, or another number.", field="control")
        return str(plans["test"].subjects.values["model"])

    def _plan(self, card: Mapping[str, Any], side: str) -> Plan:
        try:
            return self.engine.planner.plan(card["test"]["method"], card[side]["subjects"], card[side]["params"])
        except (InvalidInput, NotFound) as error:
            error.field = f"{side}.{error.field}"
            raise

    def _meant(self, row: Row[Any], side: str, parts: Sequence[tuple[str, str]]) -> list[str]:
        reference = (row.control.get("reference") if side == "control" else None) or row.reference
        try:
            return [key_of(Reference.model_validate(reference), parts)]
        except InvalidInput:
            return [key for _, key in parts]

    def _revised(
        self, connection: Connection, me: PersonRow, row: Row[Any], new: dict[str, Any], deleted: bool, token: str | None
    ) -> Shape:
        if any(name in new and new[name] != getattr(row, name) for name in LOCKED):
            if row.start is not None:
                raise Conflict(
                    f"The test of this hypothesis was started on {row.start['at'][:10]}, so what it predicts is locked. "
                    "Make a new hypothesis for another prediction.",
                    field="id",
                )
            self._checked({name: new.get(name, getattr(row, name)) for name in LOCKED})
            new["predicted"] = now()
        return self._told(connection, HYPOTHESIS.revise(connection, me, row, new, deleted, token=mark_of(me, token)))

    def _mine(self, connection: Connection, me: PersonRow, id: str) -> Row[Any]:
        row = HYPOTHESIS.find(connection, id, lock=True)
        changed_by(me, row, row.author_id, "hypothesis", connection)
        return row

    def _told(self, connection: Connection, row: Row[Any]) -> Shape:
        shape = self._shape(connection, row)
        told = {name: shape[name] for name in ("id", "model", "revision", "deleted", "state")}
        for person in audience(connection, row):
            self.events.add("hypothesis", told, connection, workspace=row.workspace_id, person=person)
        return shape

    def _shape(self, connection: Connection, row: Row[Any]) -> Shape:
        return self._shapes(connection, [row])[0]

    def _shapes(self, connection: Connection, rows: Sequence[Row[Any]]) -> list[Shape]:
        sides = self.sides.of(connection, rows)
        ids = [id for row in rows for id in (row.author_id, row.changed_by_id, *([row.start["by"]] if row.start else []))]
        people = named(connection, ids)
        names = ("id", "model", "visibility", *LOCKED, "predicted", "note")
        out = []
        for row in rows:
            test, control = sides.get(row.id, (Side(), Side()))
            state, why = conclude(test, control) if row.start else ("draft", "The test has not been started.")
            start = None
            if row.start is not None:
                start = {"at": row.start["at"], "by": people[row.start["by"]], "known_before": row.start["known_before"]}
            outcome = {"state": state, "why": why, "start": start, "test_side": test.shape(), "control_side": control.shape()}
            out.append({name: getattr(row, name) for name in names} | outcome | authorship(row, people))
        return out


def _startable(row: Row[Any]) -> None:
    if row.deleted:
        raise Conflict("This hypothesis is deleted. Restore it first.", field="id")
    if row.start is not None:
        raise Conflict(f"The test was started on {row.start['at'][:10]} already. A hypothesis is tested once.", field="id")
