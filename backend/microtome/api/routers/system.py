"""Health, readiness, metrics, session, system, search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from microtome import __version__
from microtome.api.deps import DeskDep, Me, SlugQuery
from microtome.api.schemas.common import Health, Hits, NewName, Session, System
from microtome.api.search import search_all
from microtome.api.shapes import person_shape
from microtome.api.status import metrics_text, system_shape
from microtome.core.errors import Unavailable

router = APIRouter(tags=["system"])


@router.get("/health", response_model=Health)
def health() -> dict[str, str]:
    """The process answers."""
    return {"status": "ok", "version": __version__}


@router.get("/ready", response_model=Health)
def ready(desk: DeskDep) -> dict[str, str]:
    """The database is there and migrated."""
    if not desk.store.ready():
        raise Unavailable("The database is not migrated yet, or cannot be reached. Try again in a few seconds.")
    return {"status": "ok", "version": __version__}


@router.get("/metrics", response_class=PlainTextResponse)
def metrics(desk: DeskDep) -> Response:
    """Counters and gauges in the text format of Prometheus."""
    return PlainTextResponse(metrics_text(desk), media_type="text/plain; version=0.0.4")


@router.get("/session", response_model=Session)
def session(desk: DeskDep, me: Me, response: Response) -> dict[str, object]:
    """Who this browser profile is. The first call makes a person and sets the cookie."""
    response.headers["Cache-Control"] = "no-store"
    return {"person": person_shape(me), "mode": "single-user", "version": __version__}


@router.patch("/session", response_model=Session)
def rename(desk: DeskDep, me: Me, body: NewName) -> dict[str, object]:
    """Change one's name."""
    return {"person": person_shape(desk.people.rename(me, body.name)), "mode": "single-user", "version": __version__}


@router.get("/system", response_model=System)
def system(desk: DeskDep) -> dict[str, object]:
    """Workers, storage, cache, limits."""
    return system_shape(desk)


@router.get("/search", response_model=Hits)
def search(
    desk: DeskDep,
    q: Annotated[str, Query(min_length=1, max_length=100)],
    model: SlugQuery | None = None,
    probe: SlugQuery | None = None,
) -> dict[str, object]:
    """Units by address, concepts, notes, models, probe sets and methods that hold all words of ``q``."""
    return {"items": search_all(desk, q, model, probe)}
