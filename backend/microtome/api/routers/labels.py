"""Label sets: making and changing them, their units, the queue, assignments, progress."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from microtome.api.deps import Cursor, DeskDep, Id, Limit, Me, SlugQuery, Viewer
from microtome.api.labels import units_of
from microtome.api.revised import Match, idempotency_key, tagged
from microtome.api.schemas.collab import Restore
from microtome.api.schemas.labels import (
    Agreement,
    Assignment,
    ChangedLabelSet,
    LabelSet,
    LabelSetRevisions,
    LabelSets,
    LabelUnits,
    Looked,
    MoreUnits,
    NewLabelSet,
    NextQuery,
    NextUnit,
    SetProgress,
    Show,
)
from microtome.api.shapes import number_cursor
from microtome.core.selection import UnitRef

router = APIRouter(prefix="/label-sets", tags=["label sets"])
Shape = dict[str, object]
Which = Annotated[
    Literal["independent", "present"] | None,
    Query(description="What each said without having seen others' answers (blind sets, if left out), or what each says now."),
]


def refs(units: list[UnitRef] | None) -> list[tuple[str, int]] | None:
    return None if units is None else [(ref.layer, ref.unit) for ref in units]


@router.get("", response_model=LabelSets)
def list_label_sets(desk: DeskDep, me: Viewer, model: SlugQuery | None = None, cursor: Cursor = None, limit: Limit = 100) -> Shape:
    """Label sets, newest first; deleted ones are left out."""
    return desk.label_sets.page(me, model, number_cursor(cursor), limit)


@router.post("", response_model=LabelSet, status_code=201)
def make_label_set(desk: DeskDep, me: Me, body: NewLabelSet, request: Request, response: Response) -> Shape:
    """Ask a question about some units. A selection is resolved now, so that everybody labels the same units."""
    made = desk.label_sets.create(
        me, name=body.name, model=body.model, probe=body.probe, question=body.question, schema=body.schema_.model_dump(),
        raters=body.raters, blind=body.blind, units=units_of(desk, me, body.model, body.probe, body.units, body.selection),
        selection=None if body.selection is None else body.selection.model_dump(mode="json"), token=idempotency_key(request),
    )  # fmt: skip
    return tagged(response, made)


@router.get("/{id}", response_model=LabelSet)
def label_set(desk: DeskDep, me: Viewer, id: Id, response: Response) -> Shape:
    """One label set."""
    return tagged(response, desk.label_sets.get(me, id))


@router.patch("/{id}", response_model=LabelSet)
def change_label_set(
    desk: DeskDep, me: Me, id: Id, body: ChangedLabelSet, request: Request, response: Response, if_match: Match = None
) -> Shape:
    """Change it, close it (no more answers, everything is shown) or open it. Another question or schema is another version."""
    changes = body.model_dump(by_alias=True, exclude_none=True)
    return tagged(response, desk.label_sets.change(me, id, if_match, changes, token=idempotency_key(request)))


@router.delete("/{id}", response_model=LabelSet)
def delete_label_set(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Take it off the list: one more revision, from which it can be restored with all its answers."""
    return tagged(response, desk.label_sets.change(me, id, if_match, {}, deleted=True, token=idempotency_key(request)))


@router.post("/{id}/restore", response_model=LabelSet)
def restore_label_set(desk: DeskDep, me: Me, id: Id, body: Restore, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Make an old revision the newest one."""
    return tagged(response, desk.label_sets.restore(me, id, if_match, body.revision, idempotency_key(request)))


@router.get("/{id}/history", response_model=LabelSetRevisions)
def label_set_history(desk: DeskDep, me: Viewer, id: Id) -> Shape:
    """All revisions, oldest first."""
    return {"items": desk.label_sets.history(me, id)}


@router.get("/{id}/units", response_model=LabelUnits)
def label_units(desk: DeskDep, me: Viewer, id: Id, show: Show = "all", cursor: Cursor = None, limit: Limit = 100) -> Shape:
    """Units in their order with my answers; with others' where I may see them."""
    return desk.label_queue.units(me, id, show, number_cursor(cursor), limit)


@router.post("/{id}/units", response_model=LabelSet)
def add_label_units(desk: DeskDep, me: Me, id: Id, body: MoreUnits, response: Response) -> Shape:
    """Add units at the end; those that are there stay as they are."""
    model = str(desk.label_sets.get(me, id)["model"])
    return tagged(response, desk.label_sets.add(me, id, units_of(desk, me, model, body.probe, body.units, body.selection)))


@router.post("/{id}/reveal", status_code=204, response_class=Response)
def reveal(desk: DeskDep, me: Me, id: Id, body: Looked) -> Response:
    """See others' answers before answering oneself (editors). It is noted, and one's later answers count as informed."""
    desk.ratings.reveal(me, id, refs(body.units))
    return Response(status_code=204)


@router.post("/{id}/next", response_model=NextUnit)
def next_unit(desk: DeskDep, me: Me, id: Id, body: NextQuery) -> Shape:
    """The next unit for me to label, lent for ten minutes."""
    return desk.label_queue.next(me, id, body.order, None if body.skip is None else (body.skip.layer, body.skip.unit))


@router.get("/{id}/progress", response_model=SetProgress)
def label_progress(desk: DeskDep, me: Viewer, id: Id) -> Shape:
    """How far the set is, and each person."""
    return desk.label_queue.progress(me, id)


@router.post("/{id}/assignments", response_model=SetProgress)
def assign(desk: DeskDep, me: Me, id: Id, body: Assignment) -> Shape:
    """Assign units to a person, or take them back. Assigned units are given to nobody else."""
    return desk.label_queue.assign(me, id, body.person, refs(body.units), body.assigned)


@router.get("/{id}/agreement", response_model=Agreement)
def label_agreement(desk: DeskDep, me: Viewer, id: Id, answers: Which = None) -> Shape:
    """Agreement between people, between any two raters, and of machines with people, over the units that I may see."""
    return desk.label_scores.agreement(me, id, answers)
