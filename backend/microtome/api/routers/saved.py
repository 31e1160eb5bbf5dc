"""Saved selections and shares."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from microtome.api.deps import DeskDep, Id, MaybePerson, Me, SlugQuery, Viewer
from microtome.api.revised import idempotency_key
from microtome.api.schemas.collab import NewSelection, NewShare, PublicShares, SavedSelection, SavedSelections, Share, SharedView
from microtome.api.shares import freeze, shared_view

router = APIRouter()


@router.get("/selections", response_model=SavedSelections, tags=["selections"])
def list_selections(desk: DeskDep, me: Viewer, model: SlugQuery | None = None) -> dict[str, object]:
    """Saved selections, newest first."""
    return {"items": desk.selections.list(me, model)}


@router.post("/selections", response_model=SavedSelection, status_code=201, tags=["selections"])
def save_selection(desk: DeskDep, me: Me, body: NewSelection, request: Request) -> dict[str, object]:
    """Save a selection under a name."""
    selection = body.selection.model_dump(mode="json")
    return desk.selections.create(me, body.name, body.model, body.probe, selection, idempotency_key(request), body.visibility)


@router.delete("/selections/{id}", response_model=SavedSelection, tags=["selections"])
def delete_selection(desk: DeskDep, me: Me, id: Id) -> dict[str, object]:
    """Delete a saved selection; the answer is what was deleted."""
    return desk.selections.delete(me, id)


@router.get("/shares", response_model=PublicShares, tags=["shares"])
def list_shares(
    desk: DeskDep, visibility: Annotated[Literal["public"], Query(description="Only public views are listed.")]
) -> dict[str, object]:
    """What people of this server show to everybody, the newest first; at most 200."""
    return {"items": desk.shares.public()}


@router.post("/shares", response_model=Share, status_code=201, tags=["shares"])
def share(desk: DeskDep, me: Me, body: NewShare, request: Request) -> dict[str, object]:
    """Freeze the view: the results it shows are pinned, with the hashes they were made from."""
    return freeze(desk, me, body.state, idempotency_key(request), body.visibility, body.title)


@router.get("/shares/{id}", response_model=SharedView, tags=["shares"])
def open_share(desk: DeskDep, me: MaybePerson, id: Id) -> dict[str, object]:
    """The frozen view, and what differs today."""
    return shared_view(desk, me, id)


@router.delete("/shares/{id}", status_code=204, response_class=Response, tags=["shares"])
def revoke(desk: DeskDep, me: Me, id: Id) -> Response:
    """Revoke the link."""
    desk.shares.revoke(me, id)
    return Response(status_code=204)
