"""Labels, notes and tags. Nothing is ever overwritten silently."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from microtome.api.deps import Cursor, DeskDep, Id, Limit, Me, SlugQuery, Viewer
from microtome.api.revised import Match, idempotency_key, tagged
from microtome.api.schemas.collab import (
    Annotation,
    AnnotationKind,
    Annotations,
    ChangedBody,
    NewAnnotation,
    Restore,
    Revisions,
)

router = APIRouter(prefix="/annotations", tags=["annotations"])


@router.get("", response_model=Annotations)
def list_annotations(
    desk: DeskDep,
    me: Viewer,
    model: SlugQuery | None = None,
    layer: Annotated[str | None, Query(max_length=200)] = None,
    unit: Annotated[int | None, Query(ge=0, le=2_000_000)] = None,
    kind: AnnotationKind | None = None,
    cursor: Cursor = None,
    limit: Limit = 100,
) -> dict[str, object]:
    """Annotations, newest first; deleted ones are left out."""
    return desk.annotations.page(me, model, layer, unit, kind, cursor, limit)


@router.post("", response_model=Annotation, status_code=201)
def create(desk: DeskDep, me: Me, body: NewAnnotation, request: Request, response: Response) -> dict[str, object]:
    """Write a label, note or tag on a unit."""
    made = desk.annotations.create(me, **body.model_dump(), token=idempotency_key(request))
    return tagged(response, made)


@router.patch("/{id}", response_model=Annotation)
def change(
    desk: DeskDep, me: Me, id: Id, body: ChangedBody, request: Request, response: Response, if_match: Match = None
) -> dict[str, object]:
    """Change the text. 428 without ``If-Match``, 412 with ``current`` when somebody was faster."""
    anchor: Any = body.model_dump()["anchor"] if "anchor" in body.model_fields_set else "keep"
    return tagged(response, desk.annotations.change(me, id, if_match, body=body.body, anchor=anchor, token=idempotency_key(request)))


@router.delete("/{id}", response_model=Annotation)
def delete(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> dict[str, object]:
    """Delete: one more revision, from which it can be restored."""
    return tagged(response, desk.annotations.change(me, id, if_match, deleted=True, token=idempotency_key(request)))


@router.post("/{id}/restore", response_model=Annotation)
def restore(
    desk: DeskDep, me: Me, id: Id, body: Restore, request: Request, response: Response, if_match: Match = None
) -> dict[str, object]:
    """Make an old revision the newest one."""
    return tagged(response, desk.annotations.restore(me, id, if_match, body.revision, idempotency_key(request)))


@router.get("/{id}/history", response_model=Revisions)
def history(desk: DeskDep, me: Viewer, id: Id) -> dict[str, object]:
    """All revisions, oldest first."""
    return {"items": desk.annotations.history(me, id)}
