"""Answers to label sets, and the decisions that settle units."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from microtome.api.deps import Cursor, DeskDep, Id, Limit, Me, Viewer
from microtome.api.revised import Match, idempotency_key, tagged
from microtome.api.schemas.collab import Restore
from microtome.api.schemas.labels import (
    Batch,
    BulkRatings,
    ChangedDecision,
    ChangedRating,
    Decision,
    DecisionRevisions,
    Decisions,
    Machine,
    NewDecision,
    NewRating,
    Rating,
    RatingRevisions,
    Ratings,
)
from microtome.api.shapes import number_cursor

router = APIRouter()
Shape = dict[str, object]
Layer = Annotated[str | None, Query(max_length=200)]
Unit = Annotated[int | None, Query(ge=0, le=2_000_000)]
Rater = Annotated[str | None, Query(max_length=32, description="Id of a person, or humans, or machines.")]


def _machine(machine: Machine | None) -> dict[str, str] | None:
    return None if machine is None else machine.model_dump()


@router.get("/label-sets/{id}/ratings", response_model=Ratings, tags=["ratings"])
def list_ratings(
    desk: DeskDep,
    me: Viewer,
    id: Id,
    layer: Layer = None,
    unit: Unit = None,
    rater: Rater = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> Shape:
    """Living answers that I may see, newest first."""
    return desk.ratings.page(me, id, layer, unit, rater, number_cursor(cursor), limit)


@router.post("/label-sets/{id}/ratings", response_model=Rating, status_code=201, tags=["ratings"])
def rate(desk: DeskDep, me: Me, id: Id, body: NewRating, request: Request, response: Response) -> Shape:
    """Give my answer for a unit; 409 if it is there already. An editor may add a machine's."""
    made = desk.ratings.give(me, id, body.layer, body.unit, body.answer, _machine(body.machine), idempotency_key(request))
    return tagged(response, made)


@router.post("/label-sets/{id}/ratings/bulk", response_model=Batch, tags=["ratings"])
def rate_many(desk: DeskDep, me: Me, id: Id, body: BulkRatings, request: Request) -> Shape:
    """Many answers in one transaction, all or none; one undo for all of them."""
    items = [item.model_dump(exclude={"answer"}) | {"answer": item.answer} for item in body.items]
    return desk.ratings.bulk(me, id, items, _machine(body.machine), idempotency_key(request))


@router.post("/label-batches/{id}/undo", response_model=Batch, tags=["ratings"])
def undo_batch(desk: DeskDep, me: Me, id: Id) -> Shape:
    """Every answer of a batch goes back to what it was; 409 and nothing done if one was changed since."""
    return desk.ratings.undo_batch(me, id)


@router.patch("/ratings/{id}", response_model=Rating, tags=["ratings"])
def change_rating(
    desk: DeskDep, me: Me, id: Id, body: ChangedRating, request: Request, response: Response, if_match: Match = None
) -> Shape:
    """Change my answer. 428 without ``If-Match``, 412 with ``current`` when it is not the present revision."""
    return tagged(response, desk.ratings.change(me, id, if_match, answer=body.answer, token=idempotency_key(request)))


@router.delete("/ratings/{id}", response_model=Rating, tags=["ratings"])
def delete_rating(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Take an answer back: one more revision, from which it can be restored. Editors may take back others'."""
    return tagged(response, desk.ratings.change(me, id, if_match, deleted=True, token=idempotency_key(request)))


@router.post("/ratings/{id}/restore", response_model=Rating, tags=["ratings"])
def restore_rating(desk: DeskDep, me: Me, id: Id, body: Restore, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Make an old revision of my answer the newest one."""
    return tagged(response, desk.ratings.restore(me, id, if_match, body.revision, idempotency_key(request)))


@router.post("/ratings/{id}/undo", response_model=Rating, tags=["ratings"])
def undo_rating(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Undo the last change of my answer; of a first answer, take it back."""
    return tagged(response, desk.ratings.restore(me, id, if_match, None, idempotency_key(request)))


@router.get("/ratings/{id}/history", response_model=RatingRevisions, tags=["ratings"])
def rating_history(desk: DeskDep, me: Viewer, id: Id) -> Shape:
    """All revisions, oldest first; 403 while the answer is hidden from me."""
    return {"items": desk.ratings.history(me, id)}


@router.get("/label-sets/{id}/decisions", response_model=Decisions, tags=["decisions"])
def list_decisions(desk: DeskDep, me: Viewer, id: Id, cursor: Cursor = None, limit: Limit = 100) -> Shape:
    """Units that are settled, in the order of units."""
    return desk.decisions.page(me, id, number_cursor(cursor), limit)


@router.post("/label-sets/{id}/decisions", response_model=Decision, status_code=201, tags=["decisions"])
def settle(desk: DeskDep, me: Me, id: Id, body: NewDecision, request: Request, response: Response) -> Shape:
    """Settle a unit: the final answer and the reason."""
    return tagged(response, desk.decisions.settle(me, id, body.layer, body.unit, body.answer, body.reason, idempotency_key(request)))


@router.patch("/decisions/{id}", response_model=Decision, tags=["decisions"])
def change_decision(
    desk: DeskDep, me: Me, id: Id, body: ChangedDecision, request: Request, response: Response, if_match: Match = None
) -> Shape:
    """Another final answer or reason."""
    made = desk.decisions.change(me, id, if_match, answer=body.answer, reason=body.reason, token=idempotency_key(request))
    return tagged(response, made)


@router.delete("/decisions/{id}", response_model=Decision, tags=["decisions"])
def unsettle(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Open the unit again; the decision stays in its history."""
    return tagged(response, desk.decisions.change(me, id, if_match, deleted=True, token=idempotency_key(request)))


@router.get("/decisions/{id}/history", response_model=DecisionRevisions, tags=["decisions"])
def decision_history(desk: DeskDep, me: Viewer, id: Id) -> Shape:
    """All revisions, oldest first."""
    return {"items": desk.decisions.history(me, id)}
