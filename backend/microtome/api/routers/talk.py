"""Threads of comments, votes, notifications."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from microtome.api.deps import Cursor, DeskDep, Id, Limit, Me, Viewer
from microtome.api.revised import Match, idempotency_key, tagged
from microtome.api.schemas.collab import Restore
from microtome.api.schemas.talk import (
    ChangedComment,
    Comment,
    CommentRevisions,
    Comments,
    CommentSubject,
    NewComment,
    NewVote,
    Notifications,
    ReadThese,
    Unread,
    Votes,
    VotesList,
    VoteSubject,
)
from microtome.api.shapes import number_cursor

router = APIRouter()
Shape = dict[str, object]
SubjectId = Annotated[str, Query(min_length=1, max_length=300, pattern=r"^[^\x00]+$")]
SubjectIds = Annotated[list[Annotated[str, Query(min_length=1, max_length=32, pattern=r"^[^\x00]+$")]], Query(min_length=1, max_length=100)]


@router.get("/comments", response_model=Comments, tags=["threads"])
def list_comments(
    desk: DeskDep, me: Viewer, subject: CommentSubject, subject_id: SubjectId, cursor: Cursor = None, limit: Limit = 100
) -> Shape:
    """Comments on one thing, oldest first. Deleted ones keep their place, without their text."""
    return desk.comments.page(me, subject, subject_id, number_cursor(cursor), limit)


@router.post("/comments", response_model=Comment, status_code=201, tags=["threads"])
def comment(desk: DeskDep, me: Me, body: NewComment, request: Request, response: Response) -> Shape:
    """Comment on a unit, annotation, rating or result, or answer a comment. ``@Name`` calls a member of the workspace."""
    made = desk.comments.create(
        me, subject=body.subject, subject_id=body.subject_id, body=body.body, parent=body.parent, token=idempotency_key(request)
    )
    return tagged(response, made)


@router.patch("/comments/{id}", response_model=Comment, tags=["threads"])
def change_comment(
    desk: DeskDep, me: Me, id: Id, body: ChangedComment, request: Request, response: Response, if_match: Match = None
) -> Shape:
    """Change the text of my comment."""
    return tagged(response, desk.comments.change(me, id, if_match, body=body.body, token=idempotency_key(request)))


@router.delete("/comments/{id}", response_model=Comment, tags=["threads"])
def delete_comment(desk: DeskDep, me: Me, id: Id, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Delete a comment: one more revision. Editors may delete others'."""
    return tagged(response, desk.comments.change(me, id, if_match, deleted=True, token=idempotency_key(request)))


@router.post("/comments/{id}/restore", response_model=Comment, tags=["threads"])
def restore_comment(desk: DeskDep, me: Me, id: Id, body: Restore, request: Request, response: Response, if_match: Match = None) -> Shape:
    """Make an old revision of my comment the newest one."""
    return tagged(response, desk.comments.restore(me, id, if_match, body.revision, idempotency_key(request)))


@router.get("/comments/{id}/history", response_model=CommentRevisions, tags=["threads"])
def comment_history(desk: DeskDep, me: Viewer, id: Id) -> Shape:
    """All revisions, oldest first; of a deleted comment for its author and editors."""
    return {"items": desk.comments.history(me, id)}


@router.put("/votes", response_model=Votes, tags=["threads"])
def vote(desk: DeskDep, me: Me, body: NewVote) -> Shape:
    """My vote for or against an annotation, rating or comment; it replaces the one before."""
    return desk.votes.cast(me, body.subject, body.subject_id, body.value)


@router.get("/votes", response_model=VotesList, tags=["threads"])
def list_votes(desk: DeskDep, me: Viewer, subject: VoteSubject, subject_id: SubjectIds) -> Shape:
    """How the votes on some things stand."""
    return {"items": desk.votes.counts(me, subject, subject_id)}


@router.get("/notifications", response_model=Notifications, tags=["threads"])
def list_notifications(desk: DeskDep, me: Viewer, unread: bool = False, cursor: Cursor = None, limit: Limit = 50) -> Shape:
    """What I should know of in this workspace, newest first."""
    return desk.notifications.page(me, unread, number_cursor(cursor), limit)


@router.post("/notifications/read", response_model=Unread, tags=["threads"])
def read_notifications(desk: DeskDep, me: Me, body: ReadThese) -> Shape:
    """Mark notifications as read."""
    return desk.notifications.read(me, body.ids)
