"""Who is here and what they look at, across server processes: rows that the process which holds somebody's stream renews.

A process that dies renews nothing, so its rows expire. A place is a screen and what stands on it, never what somebody says there.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import delete, insert, select, update

from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape
from microtome.store import Store
from microtome.store import tables as t

EXPIRE = 30.0
LOCK = "presence"
#: What is told of each screen; of others only that somebody is there. Of a label set not the unit: that would say who is at which answer.
TOLD: Mapping[str, tuple[str, ...]] = {
    "browse": ("model", "probe", "layer", "unit"), "unit": ("model", "probe", "layer", "unit"), "explain": ("model", "probe"),
    "language": ("model", "probe"), "label-set": ("subject",), "result": ("subject",),
}  # fmt: skip


def place_of(given: Mapping[str, Any]) -> Shape:
    """As much of a place as others may know."""
    told = TOLD.get(given["screen"], ())
    return {
        name: given.get(name) if name in ("screen", *told) else None for name in ("screen", "model", "probe", "layer", "unit", "subject")
    }


class Presence:
    """The rows of all processes, and this process's own.

    Args:
        clock: unix time; for tests.
    """

    def __init__(self, store: Store, clock: Any = time.time) -> None:
        self.store, self.clock = store, clock
        self.process = secrets.token_hex(8)

    def enter(self, me: PersonRow) -> None:
        """A stream of this person was opened here; they look at what they looked at elsewhere, until they say otherwise."""
        p = t.presence
        with self.store.write(lock=LOCK) as connection:
            mine = (p.c.workspace_id == me.workspace) & (p.c.person_id == me.id)
            query = select(p.c.place).where(mine, p.c.place.is_not(None)).order_by(p.c.seen.desc()).limit(1)
            place = connection.execute(query).scalar()
            connection.execute(delete(p).where(mine, p.c.process == self.process))
            values = {"workspace_id": me.workspace, "person_id": me.id, "process": self.process, "place": place, "seen": self.clock()}
            connection.execute(insert(p).values(values))

    def leave(self, me: PersonRow) -> None:
        """The last stream of this person here was closed."""
        p = t.presence
        with self.store.write(lock=LOCK) as connection:
            mine = (p.c.workspace_id == me.workspace) & (p.c.person_id == me.id)
            connection.execute(delete(p).where(mine, p.c.process == self.process))

    def put(self, me: PersonRow, place: Mapping[str, Any] | None, hidden: bool | None) -> Shape:
        """Say where I am, whichever process holds my stream, and whether others see it."""
        p, told = t.presence, None if place is None else place_of(place)
        with self.store.write(lock=LOCK) as connection:
            if hidden is not None:
                connection.execute(update(t.person).where(t.person.c.id == me.id).values(hidden=hidden))
            if place is not None:
                mine = (p.c.workspace_id == me.workspace) & (p.c.person_id == me.id)
                connection.execute(update(p).where(mine).values(place=told))
            now_hidden = bool(connection.execute(select(t.person.c.hidden).where(t.person.c.id == me.id)).scalar())
        return {"hidden": now_hidden, "place": told}

    def hidden(self, me: PersonRow) -> bool:
        with self.store.read() as connection:
            return bool(connection.execute(select(t.person.c.hidden).where(t.person.c.id == me.id)).scalar())

    def beat(self, people: Iterable[tuple[str, str]]) -> None:
        """Renew this process's rows, and remove those that nobody renewed.

        Args:
            people: (workspace, person) of everybody whose stream is here; who has no row, for whatever reason, gets one.
        """
        p, at = t.presence, self.clock()
        with self.store.write(lock=LOCK) as connection:
            own = p.c.process == self.process
            connection.execute(update(p).where(own).values(seen=at))
            connection.execute(delete(p).where(p.c.seen < at - EXPIRE))
            have = {(row.workspace_id, row.person_id) for row in connection.execute(select(p).where(own))}
            missing = [
                {"workspace_id": workspace, "person_id": person, "process": self.process, "place": None, "seen": at}
                for workspace, person in sorted(set(people) - have)
            ]
            if missing:
                connection.execute(insert(p), missing)

    def end(self) -> None:
        """This process ends in order."""
        with self.store.write(lock=LOCK) as connection:
            connection.execute(delete(t.presence).where(t.presence.c.process == self.process))

    def here(self, workspaces: Iterable[str]) -> dict[str, list[Shape]]:
        """Who is in each of these workspaces now, by name; not who does not want to be seen."""
        p, wanted = t.presence, list(workspaces)
        query = (
            select(p, t.person.c.name)
            .join(t.person, t.person.c.id == p.c.person_id)
            .where(
                p.c.workspace_id.in_(wanted), p.c.seen >= self.clock() - EXPIRE, t.person.c.hidden.is_(False), t.person.c.state == "active"
            )
            .order_by(p.c.seen)
        )
        found: dict[str, dict[str, Shape]] = {workspace: {} for workspace in wanted}
        with self.store.read() as connection:
            for row in connection.execute(query):
                before = found[row.workspace_id].get(row.person_id)
                place = row.place or (before or {}).get("place")
                found[row.workspace_id][row.person_id] = PersonRow(row.person_id, row.name).shape() | {"place": place}
        return {ws: sorted(people.values(), key=lambda x: (x["name"].casefold(), x["id"])) for ws, people in found.items()}
