"""Blind labelling: who may see what others and machines said of a unit. This is the only place that decides it.

Answers to a blind label set are hidden from everybody until they have given their own for that unit, or the set is closed. An
editor may look before (``reveal``); that is noted, and what they answer afterwards counts as informed.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, or_, select, true

from microtome.collab.people import PersonRow
from microtome.store import tables as t

EVERY = -1  # place in label_reveal that stands for all units


def rater_of(person: PersonRow) -> str:
    """How a person is named among raters."""
    return f"p:{person.id}"


def visible(of: Row[Any], me: PersonRow, place: ColumnElement[Any]) -> ColumnElement[bool]:
    """SQL: others' answers for the unit at ``place`` of this set may be seen by me."""
    if not of.blind or of.closed:
        return true()
    mine = select(t.rating.c.place).where(
        t.rating.c.set_id == of.id, t.rating.c.rater == rater_of(me), t.rating.c.deleted.is_(False)
    )  # fmt: skip
    looked = select(t.label_reveal.c.place).where(t.label_reveal.c.set_id == of.id, t.label_reveal.c.person_id == me.id)
    whole = looked.where(t.label_reveal.c.place == EVERY)
    return or_(place.in_(mine), place.in_(looked), whole.exists())


def sees(connection: Connection, of: Row[Any], me: PersonRow, place: int) -> bool:
    """Whether I may see what others said of this unit."""
    return bool(
        connection.execute(
            select(t.label_unit.c.place).where(
                t.label_unit.c.set_id == of.id, t.label_unit.c.place == place, visible(of, me, t.label_unit.c.place)
            )
        ).first()
    )


def seers(connection: Connection, of: Row[Any], place: int) -> set[str] | None:
    """Ids of the people who may see what others said of this unit, as :func:`visible` has it; None: everybody."""
    if not of.blind or of.closed:
        return None
    r, looked = t.rating, t.label_reveal
    answered = select(r.c.rater).where(r.c.set_id == of.id, r.c.place == place, r.c.deleted.is_(False), r.c.rater.startswith("p:"))
    revealed = select(looked.c.person_id).where(looked.c.set_id == of.id, looked.c.place.in_((place, EVERY)))
    return {rater[2:] for rater in connection.execute(answered).scalars()} | set(connection.execute(revealed).scalars())


def has_looked(connection: Connection, of: Row[Any], me: PersonRow, place: int) -> bool:
    """Whether I could already have seen others' answers when answering now: I answered before, asked to see them, or the set
    was open to view at some time."""
    past = t.label_set_revision
    if connection.execute(select(past.c.revision).where(past.c.of_id == of.id, past.c.closed | ~past.c.blind).limit(1)).first():
        return True
    before = select(t.rating.c.id).where(t.rating.c.set_id == of.id, t.rating.c.place == place, t.rating.c.rater == rater_of(me))
    looked = select(t.label_reveal.c.place).where(
        t.label_reveal.c.set_id == of.id, t.label_reveal.c.person_id == me.id, t.label_reveal.c.place.in_((place, EVERY))
    )
    return connection.execute(before).first() is not None or connection.execute(looked).first() is not None
