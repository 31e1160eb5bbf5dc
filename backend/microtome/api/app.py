"""The application, built by a function from settings: no globals, so that tests can have many."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.routing import APIRoute

from microtome import __version__
from microtome.api import problems, static
from microtome.api.desk import Desk, open_desk
from microtome.api.idempotency import Idempotency
from microtome.api.policy import check_table, guard
from microtome.api.routers import annotations as annotations_router
from microtome.api.routers import (
    events,
    exchange,
    findings,
    hypotheses,
    imports,
    labels,
    live,
    methods,
    models,
    oidc,
    people,
    probes,
    ratings,
    results,
    runs,
    saved,
    session,
    studies,
    system,
    talk,
    units,
    uploads,
)
from microtome.api.schemas.common import Problem
from microtome.api.security import LOOPBACK, Gate
from microtome.core.settings import Settings
from microtome.engine import Engine

PREFIX = "/api/v1"
ROUTERS = (
    system, session, oidc, people, models, probes, uploads, imports, methods, runs, results, units, annotations_router, labels,
    ratings, talk, exchange, saved, live, events,
    hypotheses, studies, findings,
)  # fmt: skip
PROBLEM = {
    "default": {
        "description": "A problem document (RFC 9457).",
        "content": {problems.MEDIA: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}


def create_app(settings: Settings, *, engine: Engine | None = None, token: str | None = None) -> FastAPI:
    """The ASGI application.

    Args:
        settings: see ``docs/settings.md``.
        engine: an opened engine; made from the settings if left out, and closed with the application.
        token: what a client must know when the server listens beyond loopback in single-user mode; made up if left out
            (``app.state.token`` holds it, the command line prints it).
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.desk.start()
        yield
        app.state.desk.stop()

    if token is None and not settings.team and settings.host not in LOOPBACK:
        token = secrets.token_urlsafe(24)
    app = FastAPI(
        title="Microtome",
        version=__version__,
        summary="Looking inside neural networks, together.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.token = token
    desk: Desk = open_desk(settings, engine)
    app.state.desk = desk
    problems.install(app)
    _api(app)
    static.install(app, settings.static_dir or Path(__file__).parent / "static")
    # the last added is the outermost
    app.add_middleware(Idempotency, desk=desk)
    app.add_middleware(Gate, settings=settings, token=token)
    return app


def _api(app: FastAPI) -> None:
    api = APIRouter(prefix=PREFIX, responses=PROBLEM, dependencies=[Depends(guard)])  # type: ignore[arg-type]
    for module in ROUTERS:
        api.include_router(module.router)
    check_table([route for module in ROUTERS for route in module.router.routes if isinstance(route, APIRoute)])
    app.include_router(api)

    # A route that has no other use than to bring the schema of errors into OpenAPI would be a lie; this adds it by hand.
    plain = app.openapi

    def openapi() -> dict[str, object]:
        schema = plain()
        schema["components"]["schemas"]["Problem"] = Problem.model_json_schema()
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def base_url(request: Request) -> str:
    return str(request.base_url).rstrip("/")
