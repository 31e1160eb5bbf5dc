"""Which unit to label next, who is to label which, and how far everybody is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, Select, Subquery, case, delete, func, insert, select

from microtome.collab.labels.ratings import shapes_of as rating_shapes
from microtome.collab.labels.sets import counted, find_set, place_of
from microtome.collab.labels.visible import rater_of, visible
from microtome.collab.members import members, present
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Shape, named
from microtome.collab.talk.notifications import notify
from microtome.core.errors import Conflict, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import EventRepository, audit
from microtome.store.times import now

LEASE_SECONDS = 600.0
Order = Literal["coverage", "uncertainty", "listed"]
Show = Literal["all", "mine-open", "mine-done", "open", "disputed", "settled"]


def answers(set_id: str) -> Subquery:
    """Per place: people's living answers, and ordered pairs of them that agree."""
    r = t.rating
    alike = (
        select(r.c.place, r.c.value, func.count().label("n"))
        .where(r.c.set_id == set_id, r.c.deleted.is_(False), r.c.rater.startswith("p:"))
        .group_by(r.c.place, r.c.value)
        .subquery()
    )
    total = func.sum(alike.c.n)
    return (
        select(alike.c.place, total.label("n"), func.sum(alike.c.n * (alike.c.n - 1)).label("agreeing")).group_by(alike.c.place).subquery()
    )


def disagreement(of: Subquery) -> ColumnElement[float]:
    """Share of pairs of answers that differ, 0 to 1; -1 with fewer than two answers."""
    n = func.coalesce(of.c.n, 0)
    pairs = case((n > 1, n * (n - 1)), else_=1)
    return case((n > 1, 1.0 - func.coalesce(of.c.agreeing, 0) * 1.0 / pairs), else_=-1.0)


class Queue:
    """See the module's docstring."""

    def __init__(self, store: Store, events: EventRepository, *, team: bool = False) -> None:
        self.store, self.events, self.team = store, events, team

    def next(self, me: PersonRow, set_id: str, order: Order, skip: tuple[str, int] | None) -> Shape:
        """The next unit for me, lent for ten minutes so that nobody else gets it beyond the number of raters wanted.

        A unit that I hold already is given again, unless it is ``skip``. Units assigned to me come first; those assigned to
        others only are left out.
        """
        u, until = t.label_unit, time.time() + LEASE_SECONDS
        lease, mine = t.label_lease, (t.label_lease.c.set_id == set_id) & (t.label_lease.c.person_id == me.id)
        with self.store.write(lock=f"label-queue {set_id}") as connection:
            of = find_set(connection, me, set_id)
            if of.closed:
                raise Conflict("This label set is closed. An editor can open it again.", field="id")
            connection.execute(delete(lease).where(lease.c.set_id == set_id, lease.c.until < time.time()))
            skipped = None if skip is None else place_of(connection, set_id, *skip)
            if skipped is not None:
                connection.execute(delete(lease).where(mine, lease.c.place == skipped))
            held = select(lease.c.place).where(mine)
            wanted, columns = _open_units(of, me, order, present(me.workspace, team=self.team))
            query = wanted.where(u.c.place != skipped) if skipped is not None else wanted
            row = connection.execute(query.order_by(u.c.place.in_(held).desc(), *columns).limit(1)).one_or_none()
            if row is not None:
                connection.execute(delete(lease).where(mine))
                connection.execute(insert(lease).values(set_id=set_id, place=row.place, person_id=me.id, until=until))
            shape = None if row is None else _unit_shapes(connection, me, of, [row])[0]
            return {"unit": shape, "lease_until": None if row is None else until, "progress": _progress(connection, of, me)}

    def units(self, me: PersonRow, set_id: str, show: Show, after: int | None, limit: int) -> Shape:
        """Units of a set in their order, with my answer, and with others' where I may see them."""
        u = t.label_unit
        with self.store.read() as connection:
            of = find_set(connection, me, set_id)
            given = answers(set_id)
            query = _with_state(of, given).order_by(u.c.place)
            n = func.coalesce(given.c.n, 0)
            done, settled = u.c.place.in_(_mine_places(of, me)), u.c.place.in_(_settled(of))
            wanted: Mapping[Show, tuple[ColumnElement[bool], ...]] = {
                "all": (),
                "mine-open": (~done,),
                "mine-done": (done,),
                "open": (n < of.raters, ~settled),
                "disputed": (disagreement(given) > 0, visible(of, me, u.c.place)),
                "settled": (settled,),
            }
            query = query.where(*wanted[show])
            if after is not None:
                query = query.where(u.c.place > after)
            rows = list(connection.execute(query.limit(limit + 1)))
            items = _unit_shapes(connection, me, of, rows[:limit])
        return {"items": items, "next": str(rows[limit - 1].place) if len(rows) > limit else None}

    def progress(self, me: PersonRow, set_id: str) -> Shape:
        """How far the set is, and each person."""
        r, a = t.rating, t.label_assignment
        with self.store.read() as connection:
            of = find_set(connection, me, set_id)
            living = (r.c.set_id == set_id, r.c.deleted.is_(False), r.c.rater.startswith("p:"))
            did = select(r.c.place).where(*living, r.c.author_id == a.c.person_id, r.c.place == a.c.place).exists()
            in_set = select(a.c.person_id, func.count()).where(a.c.set_id == set_id).group_by(a.c.person_id)
            given = counted(connection, select(r.c.author_id, func.count()).where(*living).group_by(r.c.author_id))
            assigned, met = counted(connection, in_set), counted(connection, in_set.where(did))
            people = named(connection, {*given, *assigned})
            rows = [
                {"person": people[id], "answered": given.get(id, 0), "assigned": assigned.get(id, 0), "assigned_done": met.get(id, 0)}
                for id in sorted(people, key=lambda id: (-given.get(id, 0), people[id]["name"], id))
            ]
            return _progress(connection, of, me) | {"people": rows}

    def assign(self, me: PersonRow, set_id: str, person_id: str, units: Sequence[tuple[str, int]] | None, assigned: bool) -> Shape:
        """Assign units to a member, or take them back from whoever has them; all units if ``units`` is None."""
        u, a = t.label_unit, t.label_assignment
        with self.store.write() as connection:
            find_set(connection, me, set_id)
            if assigned and person_id not in {person.id for person in members(connection, me.workspace, team=self.team)}:
                raise NotFound(f"There is no person '{person_id[:64]}' in this workspace.", field="person")
            places = (
                list(connection.execute(select(u.c.place).where(u.c.set_id == set_id)).scalars())
                if units is None
                else [place_of(connection, set_id, *unit) for unit in units]
            )
            if assigned and places:
                rows = [{"set_id": set_id, "place": p, "person_id": person_id, "by_id": me.id, "at": now()} for p in places]
                connection.execute(insert_ignore(connection, a), rows)
            elif places:
                here = (a.c.set_id == set_id, a.c.person_id == person_id)
                connection.execute(delete(a).where(*here) if units is None else delete(a).where(*here, a.c.place.in_(places)))
            audit(
                connection, me.id, "assign" if assigned else "unassign", f"label set {set_id}: {len(places)} to {person_id}", me.workspace
            )
            if assigned and places:
                notify(connection, self.events, me, [person_id], "assigned", "label-set", set_id)
        return self.progress(me, set_id)


def _mine_places(of: Row[Any], me: PersonRow) -> Any:
    r = t.rating
    return select(r.c.place).where(r.c.set_id == of.id, r.c.rater == rater_of(me), r.c.deleted.is_(False))


def _settled(of: Row[Any]) -> Any:
    return select(t.decision.c.place).where(t.decision.c.set_id == of.id, t.decision.c.deleted.is_(False))


def _with_state(of: Row[Any], given: Subquery) -> Any:
    u = t.label_unit
    columns = (u.c.place, u.c.layer, u.c.unit, func.coalesce(given.c.n, 0).label("n"), disagreement(given).label("disagreement"))
    return select(*columns).outerjoin(given, given.c.place == u.c.place).where(u.c.set_id == of.id)


def _open_units(of: Row[Any], me: PersonRow, order: Order, here: Select[tuple[str]]) -> tuple[Any, list[Any]]:
    """Units that I may be given, and the columns that put them in order.

    Args:
        here: ids of who is still a member; what is lent or assigned to others keeps no unit from me.
    """
    u, lease, a = t.label_unit, t.label_lease, t.label_assignment
    given = answers(of.id)
    lent = (
        select(lease.c.place, func.count().label("n"))
        .where(lease.c.set_id == of.id, lease.c.person_id != me.id, lease.c.person_id.in_(here))
        .group_by(lease.c.place)
        .subquery()
    )
    assigned = select(a.c.place).where(a.c.set_id == of.id, a.c.person_id.in_(here))
    to_me = u.c.place.in_(assigned.where(a.c.person_id == me.id))
    busy = func.coalesce(given.c.n, 0) + func.coalesce(lent.c.n, 0)
    query = (
        _with_state(of, given)
        .outerjoin(lent, lent.c.place == u.c.place)
        .where(
            u.c.place.not_in(_mine_places(of, me)),
            u.c.place.not_in(_settled(of)),
            to_me | (u.c.place.not_in(assigned) & (busy < of.raters)),
        )
    )
    # an order by what is hidden would tell it; such units come in the order of coverage
    disputed = case((visible(of, me, u.c.place), disagreement(given)), else_=-1.0)
    by = {"coverage": [busy], "uncertainty": [disputed.desc(), busy], "listed": []}[order]
    return query, [case((to_me, 0), else_=1), *by, u.c.place]


def _progress(connection: Connection, of: Row[Any], me: PersonRow) -> Shape:
    u = t.label_unit
    given = answers(of.id)
    n = func.coalesce(given.c.n, 0)
    settled = u.c.place.in_(_settled(of))
    row = connection.execute(
        select(
            func.count().label("units"),
            func.coalesce(func.sum(n), 0).label("answers"),
            func.coalesce(func.sum(case(((n >= of.raters) | settled, 1), else_=0)), 0).label("complete"),
            func.coalesce(func.sum(case((settled, 1), else_=0)), 0).label("settled"),
            func.coalesce(func.sum(case((u.c.place.in_(_mine_places(of, me)), 1), else_=0)), 0).label("mine"),
        )
        .select_from(u)
        .outerjoin(given, given.c.place == u.c.place)
        .where(u.c.set_id == of.id)
    ).one()
    return {name: int(value) for name, value in row._mapping.items()} | {"wanted": int(row.units) * of.raters}


def _unit_shapes(connection: Connection, me: PersonRow, of: Row[Any], rows: Sequence[Row[Any]]) -> list[Shape]:
    """Units with my answer; others' answers, decision and disagreement where I may see them."""
    r, u, d, a = t.rating, t.label_unit, t.decision, t.label_assignment
    places = [row.place for row in rows]
    here = select(u.c.place).where(u.c.set_id == of.id, u.c.place.in_(places), visible(of, me, u.c.place))
    seen = set(connection.execute(here).scalars())
    query = select(r).where(r.c.set_id == of.id, r.c.place.in_(places), r.c.deleted.is_(False)).order_by(r.c.seq)
    found = list(connection.execute(query))
    shown = [row for row in found if row.place in seen or row.rater == rater_of(me)]
    shapes: dict[int, list[Shape]] = {}
    mine: dict[int, Shape] = {}
    for row, shape in zip(shown, rating_shapes(connection, me, of, shown, set()), strict=True):
        if row.rater == rater_of(me):
            mine[row.place] = shape
        else:
            shapes.setdefault(row.place, []).append(shape)
    machines: dict[int, int] = {}
    for row in found:
        machines[row.place] = machines.get(row.place, 0) + row.rater.startswith("m:")
    final = {
        row.place: row for row in connection.execute(select(d).where(d.c.set_id == of.id, d.c.place.in_(places), d.c.deleted.is_(False)))
    }
    assigned: dict[int, list[str]] = {}
    for row in connection.execute(select(a).where(a.c.set_id == of.id, a.c.place.in_(places)).order_by(a.c.at)):
        assigned.setdefault(row.place, []).append(row.person_id)
    people = named(connection, {id for ids in assigned.values() for id in ids})
    return [
        {
            "place": row.place, "layer": row.layer, "unit": row.unit, "answers": int(row.n), "machines": machines.get(row.place, 0),
            "mine": mine.get(row.place), "hidden": row.place not in seen,
            "others": shapes.get(row.place, []) if row.place in seen else None,
            "disagreement": float(row.disagreement) if row.place in seen and row.disagreement >= 0 else None,
            "settled": row.place in final, "final": final[row.place].answer if row.place in final and row.place in seen else None,
            "assigned": [people[id] for id in assigned.get(row.place, [])],
        }
        for row in rows
    ]  # fmt: skip
