"""Studies: made and opened by editors, taken by annotators."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request, Response

from microtome.api.deps import Cursor, DeskDep, Id, Limit, Me, Viewer
from microtome.api.revised import Match, idempotency_key, tagged
from microtome.api.schemas.collab import Restore
from microtome.api.schemas.studies import (
    AnswerGiven,
    ChangedStudy,
    MyAnswers,
    NewAnswer,
    NewStudy,
    NextTask,
    Studies,
    Study,
    StudyResults,
    StudyRevisions,
    TaskPassage,
)
from microtome.api.shapes import number_cursor
from microtome.api.study_passages import passage
from microtome.api.study_pictures import draw

router = APIRouter(prefix="/studies", tags=["studies"])
Shape = dict[str, object]


@router.get("", response_model=Studies)
def list_studies(desk: DeskDep, me: Viewer, cursor: Cursor = None, limit: Limit = 100) -> Shape:
    """Studies, newest first; deleted ones are left out, and drafts are for editors."""
    return desk.studies.page(me, number_cursor(cursor), limit)


@router.post("", response_model=Study, status_code=201)
def make_study(desk: DeskDep, me: Me, body: NewStudy, request: Request, response: Response) -> Shape:
    """A draft. Nothing is computed before it is prepared."""
    design = body.design.model_dump(mode="json", exclude_none=True)
    return tagged(response, desk.studies.create(me, body.name, body.instructions, design, idempotency_key(request)))


@router.get("/{id}", response_model=Study)
def study(desk: DeskDep, me: Viewer, id: Id, response: Response) -> Shape:
    """One study. How its tasks are made is for editors until it is closed."""
    return tagged(response, desk.studies.get(me, id))


@router.patch("/{id}", response_model=Study)
def change_study(desk: DeskDep, me: Me, id: Id, body: ChangedStudy, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Change a draft; with another design it must be prepared anew. Once open it is locked (409)."""
    changes: dict[str, Any] = body.model_dump(mode="json", exclude_none=True)
    return tagged(response, desk.studies.change(me, id, if_match, changes, token=idempotency_key(request)))


@router.delete("/{id}", response_model=Study)
def delete_study(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Take it off the list: one more revision, from which it can be restored with all its answers."""
    return tagged(response, desk.studies.change(me, id, if_match, {}, deleted=True, token=idempotency_key(request)))


@router.post("/{id}/restore", response_model=Study)
def restore_study(desk: DeskDep, me: Me, id: Id, body: Restore, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Make an old revision the newest one; of a study that was open, only its deletion can be taken back."""
    return tagged(response, desk.studies.restore(me, id, if_match, body.revision, idempotency_key(request)))


@router.get("/{id}/history", response_model=StudyRevisions)
def study_history(desk: DeskDep, me: Viewer, id: Id) -> Shape:
    """All revisions, oldest first; for editors until the study is closed."""
    return {"items": desk.studies.history(me, id)}


@router.post("/{id}/prepare", response_model=Study)
def prepare_study(desk: DeskDep, me: Me, id: Id, response: Response, if_match: Match = None) -> Shape:
    """Run what tasks are made from, and the maps that they show. ``preparation`` tells how far it is."""
    desk.quotas.take_run(me.id)
    return tagged(response, desk.studies.prepare(me, id, if_match))


@router.post("/{id}/open", response_model=Study)
def open_study(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Let people take part. The design is locked from now on."""
    return tagged(response, desk.studies.open(me, id, if_match, idempotency_key(request)))


@router.post("/{id}/close", response_model=Study)
def close_study(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Take no more answers, and show the results to everybody. It stays closed."""
    return tagged(response, desk.studies.close(me, id, if_match, idempotency_key(request)))


@router.post("/{id}/next", response_model=NextTask)
def next_task(desk: DeskDep, me: Me, id: Id) -> Shape:
    """The task that is mine to answer; the same one again until it is answered. The first call joins."""
    return desk.study_taking.next(me, id)


@router.get("/{id}/tasks/{place}/pictures/{number}", response_class=Response, responses={200: {"content": {"image/webp": {}}}})
def task_picture(
    desk: DeskDep,
    me: Me,
    id: Id,
    place: Annotated[int, Path(ge=0, le=1000)],
    number: Annotated[int, Path(ge=0, le=20)],
    size: Annotated[int, Query(ge=64, le=640)] = 320,
) -> Response:
    """A picture of a task that was shown to me, drawn here, so that its address says nothing of what it shows; another for others."""
    data = draw(desk, desk.study_taking.turn(me, id, place), number, size)
    return Response(data, media_type="image/webp", headers={"Cache-Control": "no-store"})


@router.get("/{id}/tasks/{place}/passages/{number}", response_model=TaskPassage)
def task_passage(
    desk: DeskDep,
    me: Me,
    id: Id,
    place: Annotated[int, Path(ge=0, le=1000)],
    number: Annotated[int, Path(ge=0, le=20)],
    response: Response,
) -> Shape:
    """A passage of a task about a unit that reads, where it was shown to me."""
    response.headers["Cache-Control"] = "no-store"
    return passage(desk, desk.study_taking.turn(me, id, place), number)


@router.post("/{id}/answers", response_model=AnswerGiven)
def answer_task(desk: DeskDep, me: Me, id: Id, body: NewAnswer, request: Request) -> Shape:
    """Answer a task, once. Whether it was right is told when the study is closed."""
    return desk.study_taking.answer(me, id, body.place, body.choice, body.confidence, body.milliseconds, idempotency_key(request))


@router.get("/{id}/answers", response_model=MyAnswers)
def my_study_answers(desk: DeskDep, me: Viewer, id: Id) -> Shape:
    """My own answers."""
    return {"items": desk.study_taking.mine(me, id)}


@router.get("/{id}/results", response_model=StudyResults)
def study_results(desk: DeskDep, me: Viewer, id: Id) -> Shape:
    """Accuracy by condition and differences; for editors, and for everybody when the study is closed."""
    return desk.study_outcomes.results(me, id)


@router.get("/{id}/export", response_class=Response, responses={200: {"content": {"text/csv": {}, "application/json": {}}}})
def export_study(
    desk: DeskDep,
    me: Viewer,
    id: Id,
    what: Annotated[Literal["answers", "summary"], Query()] = "answers",
    format: Annotated[Literal["csv", "json"], Query()] = "csv",
) -> Response:
    """All answers with what was right, or the summary; for editors."""
    data, media, name = desk.study_outcomes.export(me, id, what, format)
    return Response(data, media_type=media, headers={"Content-Disposition": f'attachment; filename="{name}"'})
