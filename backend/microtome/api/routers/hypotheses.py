"""Hypothesis cards: predicted before, tested with a control, judged by the numbers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from microtome.api.deps import Cursor, DeskDep, Id, Me, SlugQuery, Viewer
from microtome.api.revised import Match, idempotency_key, tagged
from microtome.api.schemas.collab import Restore
from microtome.api.schemas.hypotheses import (
    ChangedHypothesis,
    Hypotheses,
    Hypothesis,
    HypothesisRevisions,
    HypothesisState,
    NewHypothesis,
    OfferedNumbers,
)
from microtome.api.shapes import number_cursor
from microtome.collab.hypotheses.files import export

router = APIRouter(prefix="/hypotheses", tags=["hypotheses"])
Shape = dict[str, object]


@router.get("", response_model=Hypotheses)
def list_hypotheses(
    desk: DeskDep,
    me: Viewer,
    model: SlugQuery | None = None,
    state: Annotated[HypothesisState | None, Query(description="What the results say now.")] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> Shape:
    """Cards, newest first; deleted ones are left out."""
    return desk.hypotheses.page(me, model, state, number_cursor(cursor), limit)


@router.post("", response_model=Hypothesis, status_code=201)
def make_hypothesis(desk: DeskDep, me: Me, body: NewHypothesis, request: Request, response: Response) -> Shape:
    """Write down a prediction. Nothing is computed before it is started."""
    card = body.model_dump(mode="json", exclude={"visibility"}, exclude_none=True)
    return tagged(response, desk.hypotheses.create(me, card, body.visibility, idempotency_key(request)))


@router.get("/numbers", response_model=OfferedNumbers)
def hypothesis_numbers(
    desk: DeskDep, me: Viewer, method: Annotated[str, Query(min_length=1, max_length=60)], model: SlugQuery | None = None
) -> Shape:
    """Numbers that a stored result of the method has, by which a prediction can be judged; none if it has never run here."""
    return {"items": [asdict(offer) | {"reference": offer.reference} for offer in desk.hypotheses.offered(method, model)]}


@router.get("/export", response_class=Response, responses={200: {"content": {"text/csv": {}, "application/json": {}}}})
def export_hypotheses(desk: DeskDep, me: Viewer, format: Annotated[Literal["csv", "json"], Query()] = "csv") -> Response:
    """All cards that I may see, with what was measured."""
    data, media = export(desk.hypotheses, me, format)
    return Response(data, media_type=media, headers={"Content-Disposition": f'attachment; filename="hypotheses.{format}"'})


@router.get("/{id}", response_model=Hypothesis)
def hypothesis(desk: DeskDep, me: Viewer, id: Id, response: Response) -> Shape:
    """One card."""
    return tagged(response, desk.hypotheses.get(me, id))


@router.patch("/{id}", response_model=Hypothesis)
def change_hypothesis(
    desk: DeskDep, me: Me, id: Id, body: ChangedHypothesis, request: Request, response: Response, if_match: Match = None
) -> Shape:
    """Change a card. Once the test is started, what it predicts is locked (409): make a new one for another prediction."""
    changes: dict[str, Any] = body.model_dump(mode="json", exclude_none=True)
    return tagged(response, desk.hypotheses.change(me, id, if_match, changes, token=idempotency_key(request)))


@router.delete("/{id}", response_model=Hypothesis)
def delete_hypothesis(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Take it off the list: one more revision, from which it can be restored."""
    return tagged(response, desk.hypotheses.change(me, id, if_match, {}, deleted=True, token=idempotency_key(request)))


@router.post("/{id}/restore", response_model=Hypothesis)
def restore_hypothesis(desk: DeskDep, me: Me, id: Id, body: Restore, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Make an old revision the newest one; a prediction that differs from the present one is dated now."""
    return tagged(response, desk.hypotheses.restore(me, id, if_match, body.revision, idempotency_key(request)))


@router.get("/{id}/history", response_model=HypothesisRevisions)
def hypothesis_history(desk: DeskDep, me: Viewer, id: Id) -> Shape:
    """All revisions, oldest first."""
    return {"items": desk.hypotheses.history(me, id)}


@router.post("/{id}/start", response_model=Hypothesis)
def start_hypothesis(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Run the test and its control. The prediction is locked from now on, and the results are kept."""
    desk.quotas.take_run(me.id)
    return tagged(response, desk.hypotheses.start(me, id, if_match, idempotency_key(request)))
