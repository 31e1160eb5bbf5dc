"""Runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from microtome.api.deps import Cursor, DeskDep, Id, Limit, Me, SlugQuery
from microtome.api.schemas.runs import Estimate, Run, RunRequest, Runs, RunState
from microtome.api.shapes import run_page, run_shape
from microtome.core.errors import Forbidden, TooManyRequests

router = APIRouter(prefix="/runs", tags=["runs"])


@router.post("", response_model=Run, status_code=202, responses={200: {"model": Run, "description": "Already computed."}})
def submit(desk: DeskDep, me: Me, body: RunRequest, response: Response) -> dict[str, object]:
    """Put a question to a model: 200 when the answer is stored already, 202 when it is queued or joined."""
    try:
        desk.quotas.take_run(me.id)
    except TooManyRequests:  # what is computed already uses nothing
        if not desk.engine.estimate(body.method, body.subjects.model_dump(exclude_none=True), body.params or {})["cached"]:
            raise
    run = desk.engine.submit(body.method, body.subjects.model_dump(exclude_none=True), body.params or {}, body.priority, me.id)
    response.status_code = 200 if run.state == "done" else 202
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return run_shape(desk, run)


@router.post("/estimate", response_model=Estimate)
def estimate(desk: DeskDep, body: RunRequest) -> dict[str, object]:
    """What the run would cost. Computes nothing and writes nothing."""
    return desk.engine.estimate(body.method, body.subjects.model_dump(exclude_none=True), body.params or {})


@router.get("", response_model=Runs)
def list_runs(
    desk: DeskDep,
    state: Annotated[RunState | None, Query()] = None,
    model: SlugQuery | None = None,
    method: Annotated[str | None, Query(max_length=60)] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> dict[str, object]:
    """Runs, newest first."""
    return run_page(desk, state, model, method, cursor, limit)


@router.get("/{id}", response_model=Run)
def get_run(desk: DeskDep, id: Id) -> dict[str, object]:
    """One run."""
    return run_shape(desk, desk.engine.get(id))


@router.post("/{id}/cancel", response_model=Run)
def cancel(desk: DeskDep, me: Me, id: Id) -> dict[str, object]:
    """Ask a run to stop. What it has published stays; 409 when it has ended. Another's run is stopped by editors only."""
    if desk.engine.get(id).person_id != me.id and not me.may("editor"):
        raise Forbidden("This run is somebody else's. Only who started it and editors stop it.", field="id")
    return run_shape(desk, desk.engine.cancel(id, me.id))
