"""Health, readiness, metrics, system, search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import PlainTextResponse

from microtome import __version__
from microtome.api.deps import DeskDep, SlugQuery, Viewer
from microtome.api.schemas.common import Health, Hits, System
from microtome.api.search import search_all
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


@router.get("/system", response_model=System)
def system(desk: DeskDep) -> dict[str, object]:
    """Workers, storage, cache, limits."""
    return system_shape(desk)


@router.get("/search", response_model=Hits)
def search(
    desk: DeskDep,
    me: Viewer,
    q: Annotated[str, Query(min_length=1, max_length=100)],
    model: SlugQuery | None = None,
    probe: SlugQuery | None = None,
) -> dict[str, object]:
    """Units by address, concepts, notes, models, probe sets and methods that hold all words of ``q``."""
    return {"items": search_all(desk, me, q, model, probe)}
