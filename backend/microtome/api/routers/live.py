"""Where people are, and with whom they share what is private."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from microtome.api.deps import DeskDep, Me, Viewer
from microtome.api.schemas.live import Here, MyPresence, NewPermits, Permits, PermitSubject

router = APIRouter()


@router.put("/presence", response_model=MyPresence, tags=["presence"])
def put_presence(desk: DeskDep, me: Me, body: Here) -> dict[str, object]:
    """Say where I am, and whether others may see it. They hear of it by the stream of events, while I have one open."""
    answer = desk.presence.put(me, body.place.model_dump() if body.place is not None else None, body.hidden)
    desk.broadcast.moved()
    return answer


@router.get("/permits", response_model=Permits, tags=["permits"])
def list_permits(
    desk: DeskDep,
    me: Viewer,
    subject: PermitSubject,
    subject_id: Annotated[str, Query(min_length=1, max_length=32, pattern=r"^[^\x00]+$")],
) -> dict[str, object]:
    """Who sees a private thing beside its author."""
    return desk.permits.of(me, subject, subject_id)


@router.put("/permits", response_model=Permits, tags=["permits"])
def set_permits(desk: DeskDep, me: Me, body: NewPermits) -> dict[str, object]:
    """Share a private thing with these people of the workspace and nobody else; who is new among them is notified."""
    return desk.permits.set(me, body.subject, body.subject_id, body.people)
