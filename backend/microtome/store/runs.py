"""Runs: a durable queue in SQL, with leases so that a dead worker's runs are found."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, case, exists, func, insert, or_, select, update

from microtome.core.errors import NotFound
from microtome.store import tables as t
from microtome.store.database import Store
from microtome.store.times import now

# Long, because a method may hold the interpreter for a while; on one machine a dead worker is noticed by its process id.
LEASE_SECONDS = 60.0
ATTEMPTS = 3  # the first one and two more after interruptions
OPEN = ("queued", "running")


class RunRepository:
    """The run table."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def insert(self, connection: Connection, values: Mapping[str, Any], parts: Sequence[tuple[str, str]]) -> str:
        """Add a run; ``values`` are columns of the table."""
        id = secrets.token_hex(8)
        row = {
            "id": id, "system": False, "priority": 0, "after": None, "cached": False, "person_id": None, "created": now(),
            "cancel": False, "attempts": 0, "model": None, "state": "queued", **values,
        }  # fmt: skip
        connection.execute(insert(t.run).values(**row))
        if parts:
            rows = [{"run_id": id, "position": i, "part": p, "key": k} for i, (p, k) in enumerate(parts)]
            connection.execute(insert(t.run_part), rows)
        return id

    def get(self, id: str) -> Row[Any]:
        with self.store.read() as connection:
            row = connection.execute(select(t.run).where(t.run.c.id == id)).one_or_none()
        if row is None:
            raise NotFound(f"There is no run '{id[:64]}'. GET /api/v1/runs lists them.", field="id")
        return row

    def parts(self, ids: Sequence[str]) -> dict[str, list[tuple[str, str, bool]]]:
        """Part, key and whether it is stored, for each run."""
        done = exists().where(t.result.c.key == t.run_part.c.key)
        query = (
            select(t.run_part.c.run_id, t.run_part.c.part, t.run_part.c.key, done.label("done"))
            .where(t.run_part.c.run_id.in_(ids))
            .order_by(t.run_part.c.run_id, t.run_part.c.position)
        )
        found: dict[str, list[tuple[str, str, bool]]] = {id: [] for id in ids}
        with self.store.read() as connection:
            for row in connection.execute(query):
                found[row.run_id].append((row.part, row.key, bool(row.done)))
        return found

    def open_with(self, connection: Connection, request_key: str) -> Row[Any] | None:
        """A queued or running run that answers the same question."""
        query = select(t.run).where(t.run.c.request_key == request_key, t.run.c.state.in_(OPEN), t.run.c.cancel.is_(False))
        return connection.execute(query.order_by(t.run.c.seq)).first()

    def page(self, *, state: str | None, model: str | None, method: str | None, before: int | None, limit: int) -> list[Row[Any]]:
        query = select(t.run).order_by(t.run.c.seq.desc()).limit(limit)
        for column, value in ((t.run.c.state, state), (t.run.c.model, model), (t.run.c.method, method)):
            if value is not None:
                query = query.where(column == value)
        if before is not None:
            query = query.where(t.run.c.seq < before)
        with self.store.read() as connection:
            return list(connection.execute(query))

    def counts(self) -> dict[str, int]:
        query = select(t.run.c.state, func.count()).where(t.run.c.state.in_(OPEN)).group_by(t.run.c.state)
        with self.store.read() as connection:
            found = {row[0]: row[1] for row in connection.execute(query)}
        return {"queued": found.get("queued", 0), "running": found.get("running", 0)}

    def running(self) -> list[Row[Any]]:
        """Runs under way, the youngest first (one that overtook stands before the one it interrupts)."""
        query = select(t.run).where(t.run.c.state == "running").order_by(t.run.c.started.desc())
        with self.store.read() as connection:
            return list(connection.execute(query))

    def place(self, run: Row[Any]) -> int | None:
        """Place in the queue, 1 is next; None if it does not wait."""
        if run.state != "queued":
            return None
        ahead = or_(
            t.run.c.priority > run.priority, and_(t.run.c.priority == run.priority, t.run.c.seq < run.seq)
        )  # fmt: skip
        query = select(func.count()).select_from(t.run).where(t.run.c.state == "queued", ahead)
        with self.store.read() as connection:
            return int(connection.execute(query).scalar_one()) + 1

    def claim(self, owner: str, *, interactive_only: bool = False, id: str | None = None) -> Row[Any] | None:
        """Take the next queued run: interactive before batch, then first come, first served."""
        earlier = t.run.alias("earlier")
        waits = exists().where(earlier.c.id == t.run.c.after, earlier.c.state.in_(OPEN))
        query = select(t.run).where(t.run.c.state == "queued", ~waits)
        if interactive_only:
            query = query.where(t.run.c.priority > 0)
        if id is not None:
            query = query.where(t.run.c.id == id)
        query = query.order_by(t.run.c.priority.desc(), t.run.c.seq).limit(1)
        with self.store.read() as connection:  # an idle worker asks often; do not take the writer lock for nothing
            if connection.execute(query).first() is None:
                return None
        with self.store.write(lock="queue") as connection:
            row = connection.execute(query).first()
            if row is None:
                return None
            values = {
                "state": "running", "owner": owner, "lease": time.time() + LEASE_SECONDS, "attempts": row.attempts + 1,
                "started": row.started or now(), "progress": None,
            }  # fmt: skip
            connection.execute(update(t.run).where(t.run.c.id == row.id).values(**values))
            return connection.execute(select(t.run).where(t.run.c.id == row.id)).one()

    def claim_where(self, owner: str, wanted: Callable[[Row[Any]], bool], limit: int) -> list[Row[Any]]:
        """Take at most ``limit`` queued interactive runs that ``wanted`` accepts, first come, first served."""
        waiting = (t.run.c.state == "queued", t.run.c.priority > 0, t.run.c.after.is_(None), t.run.c.cancel.is_(False))
        queue = select(t.run).where(*waiting).order_by(t.run.c.seq).limit(max(64, 8 * limit))

        def chosen(connection: Connection) -> list[str]:
            return [r.id for r in connection.execute(queue).all() if wanted(r)][: max(0, limit)]

        with self.store.read() as connection:
            if not chosen(connection):
                return []
        with self.store.write(lock="queue") as connection:
            ids = chosen(connection)
            values = {"state": "running", "owner": owner, "lease": time.time() + LEASE_SECONDS, "attempts": t.run.c.attempts + 1}
            values |= {"started": func.coalesce(t.run.c.started, now()), "progress": None}
            connection.execute(update(t.run).where(t.run.c.id.in_(ids)).values(**values))
            return list(connection.execute(select(t.run).where(t.run.c.id.in_(ids)).order_by(t.run.c.seq)))

    def sharing(self, pass_key: str) -> list[Row[Any]]:
        """Runs under way or waiting that can share a pass."""
        query = select(t.run).where(t.run.c.pass_key == pass_key, t.run.c.state.in_(OPEN)).order_by(t.run.c.seq)
        with self.store.read() as connection:
            return list(connection.execute(query))

    def waiting_parts(self, pass_key: str) -> set[str]:
        """Names of the parts that waiting runs of this pass ask for and nobody has stored."""
        query = (
            select(t.run_part.c.part)
            .join(t.run, t.run.c.id == t.run_part.c.run_id)
            .outerjoin(t.result, t.result.c.key == t.run_part.c.key)
            .where(t.run.c.pass_key == pass_key, t.run.c.state == "queued", t.result.c.key.is_(None))
        )
        with self.store.read() as connection:
            return set(connection.execute(query).scalars())

    def beat(self, ids: Sequence[str]) -> None:
        """Prolong the leases."""
        with self.store.write() as connection:
            connection.execute(
                update(t.run).where(t.run.c.id.in_(ids), t.run.c.state == "running").values(lease=time.time() + LEASE_SECONDS)
            )

    def cancel(self, id: str, connection: Connection) -> str:
        """Ask a run to end; one that has not begun has ended with that. The state that it was in; nothing happens if it had ended."""
        state = str(connection.execute(select(t.run.c.state).where(t.run.c.id == id)).scalar_one())
        if state in OPEN:
            ended: dict[str, Any] = {"state": "cancelled", "ended": now()} if state == "queued" else {}
            self.set(id, connection, cancel=True, **ended)
        return state

    def cancelled(self, id: str) -> bool:
        with self.store.read() as connection:
            return bool(connection.execute(select(t.run.c.cancel).where(t.run.c.id == id)).scalar())

    def set(self, id: str, connection: Connection | None = None, **values: Any) -> None:
        if connection is None:
            with self.store.write() as own:
                self.set(id, own, **values)
            return
        connection.execute(update(t.run).where(t.run.c.id == id).values(**values))

    def recover(self, owner: str | None = None) -> list[str]:
        """Runs whose worker is gone: queued again, or failed after too many attempts. Returns their ids.

        Args:
            owner: a worker known to be dead; else all whose lease has run out.
        """
        gone = t.run.c.owner == owner if owner is not None else t.run.c.lease < time.time()
        message = {
            "title": "The worker stopped",
            "detail": f"The worker process ended {ATTEMPTS} times in the middle of this run, so it was given up. What was "
            "complete is kept. Look at the worker's log; too little memory is the usual reason. Try a smaller probe set.",
        }
        lost = and_(t.run.c.state == "running", gone)
        with self.store.write(lock="queue") as connection:
            ids = list(connection.execute(select(t.run.c.id).where(lost)).scalars())
            if ids:
                fail = t.run.c.attempts >= ATTEMPTS
                connection.execute(update(t.run).where(lost, fail).values(error=message, ended=now()))
                connection.execute(
                    update(t.run)
                    .where(lost)
                    .values(
                        state=case((t.run.c.cancel, "cancelled"), (fail, "failed"), else_="queued"),
                        owner=None, lease=None, progress=None,
                    )
                )  # fmt: skip
        return ids

    def fail_orphans(self) -> list[str]:
        """Queued runs whose prerequisite failed or was cancelled fail too. Returns their ids."""
        earlier = t.run.alias("earlier")
        broken = exists().where(earlier.c.id == t.run.c.after, earlier.c.state.in_(("failed", "cancelled")))
        query = select(t.run.c.id, t.run.c.after).where(t.run.c.state == "queued", broken)
        with self.store.read() as connection:
            if connection.execute(query).first() is None:
                return []
        with self.store.write(lock="queue") as connection:
            rows = connection.execute(query).all()
            for row in rows:
                before = connection.execute(select(t.run).where(t.run.c.id == row.after)).one()
                why = (before.error or {}).get("detail", "") if before.state == "failed" else ""
                error = {
                    "title": "What it builds on is missing",
                    "detail": f"'{before.title}', which this run builds on, was {before.state}. {why}".strip(),
                }
                self.set(row.id, connection, state="failed", error=error, ended=now())
        return [row.id for row in rows]
