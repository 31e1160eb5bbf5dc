"""What can be talked about, and whether I may see it. What I may not see is not there."""

from __future__ import annotations

import re
from typing import Literal

from sqlalchemy import Connection, select

from microtome.collab.access import audience, seen_by
from microtome.collab.annotations import ANNOTATION
from microtome.collab.findings.findings import FINDING
from microtome.collab.findings.visible import inside
from microtome.collab.labels.ratings import RATING
from microtome.collab.labels.sets import find_set, set_behind
from microtome.collab.labels.visible import rater_of, sees
from microtome.collab.labels.visible import seers as label_seers
from microtome.collab.people import PersonRow
from microtome.collab.revisions import Revised, Shape
from microtome.core.errors import InvalidInput, NotFound
from microtome.store import tables as t
from microtome.store.events import EventRepository

Subject = Literal["unit", "annotation", "rating", "result", "finding", "comment"]
COMMENT = Revised("comment", t.comment, t.comment_revision)


def check_subject(connection: Connection, me: PersonRow, subject: Subject, id: str) -> None:
    """
    Raises:
        NotFound: there is no such thing, or I may not see it. InvalidInput: the address of a unit is none.
    """
    if subject == "unit":
        _unit(connection, id)
    elif subject == "annotation":
        seen_by(me, ANNOTATION.find(connection, id), "annotation", connection)
    elif subject == "rating":
        row = RATING.find(connection, id)
        of = set_behind(connection, me, row.set_id, "rating", id)
        if row.rater != rater_of(me) and not sees(connection, of, me, row.place):
            raise NotFound(f"There is no rating '{id[:64]}' that you may see.", field="subject_id")
    elif subject == "finding":
        if not inside(connection, me, FINDING.find(connection, id)):
            raise NotFound(f"There is no finding '{id[:64]}'.", field="subject_id")
    elif subject == "comment":
        row = COMMENT.find(connection, id)
        if row.workspace_id != me.workspace:
            raise NotFound(f"There is no comment '{id[:64]}'.", field="subject_id")
        check_subject(connection, me, row.subject, row.subject_id)
    elif connection.execute(select(t.result.c.key).where(t.result.c.key == id)).first() is None:
        raise NotFound(f"There is no result '{id[:64]}'.", field="subject_id")


def tell(connection: Connection, events: EventRepository, me: PersonRow, type: str, told: Shape, subject: Subject, id: str) -> None:
    """An event about something that I may see, to those of my workspace who may see it too."""
    people = seers(connection, me, subject, id)
    for person in [None] if people is None else sorted(people):
        events.add(type, told, connection, workspace=me.workspace, person=person)


def seers(connection: Connection, me: PersonRow, subject: Subject, id: str) -> set[str] | None:
    """Ids of the people who :func:`check_subject` lets through; None: everybody in the workspace."""
    if subject in ("annotation", "finding"):
        told = audience(connection, (ANNOTATION if subject == "annotation" else FINDING).find(connection, id))
        return None if told == [None] else {person for person in told if person is not None}
    if subject == "rating":
        row = RATING.find(connection, id)
        people = label_seers(connection, find_set(connection, me, row.set_id), row.place)
        return people if people is None or row.machine is not None else people | {row.author_id}
    if subject == "comment":
        about = COMMENT.find(connection, id)
        return seers(connection, me, about.subject, about.subject_id)
    return None


def _unit(connection: Connection, address: str) -> None:
    found = re.fullmatch(r"([^/]+)/(.+)/(\d{1,7})", address, re.ASCII)
    if found is None:
        raise InvalidInput(f"A unit is named model/layer/index; got '{address[:100]}'.", field="subject_id")
    model, layer, unit = found.groups()
    query = select(t.layer.c.units).join(t.model, t.model.c.id == t.layer.c.model_id)
    units = connection.execute(query.where(t.model.c.slug == model, t.layer.c.name == layer).order_by(t.model.c.id.desc())).scalar()
    if units is None or int(unit) >= units:
        raise NotFound(f"There is no unit '{address[:100]}'.", field="subject_id")
