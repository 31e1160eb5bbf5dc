"""The one stream of events."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse

from microtome.api.deps import DeskDep, MaybePerson
from microtome.api.stream import event_stream
from microtome.api.who import fresh_person

router = APIRouter(tags=["events"])


@router.get("/events", response_class=StreamingResponse, responses={200: {"content": {"text/event-stream": {}}}})
async def events(
    desk: DeskDep,
    request: Request,
    me: MaybePerson,
    last_event_id: Annotated[str | None, Header(max_length=30)] = None,
    since: Annotated[int | None, Query(ge=0, le=2**53, description="Like Last-Event-ID, for clients without headers.")] = None,
) -> StreamingResponse:
    """Server-sent events. ``Last-Event-ID`` resumes without a gap, or answers ``resync`` when the id is too old."""

    def still() -> bool:
        """Signed in, and in the workspace with the same role: who got another one connects again."""
        return not desk.settings.team or fresh_person(desk, request.scope) == me

    return StreamingResponse(
        event_stream(desk, last_event_id if last_event_id is not None else since, me, still),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
