"""Comments, votes, notifications."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from microtome.api.schemas.collab import Revision
from microtome.api.schemas.common import Out, Person
from microtome.core.selection import Strict

CommentSubject = Literal["unit", "annotation", "rating", "result", "finding"]
VoteSubject = Literal["annotation", "rating", "comment"]
Body = Annotated[str, Field(min_length=1, max_length=10_000)]
Vote = Literal[-1, 0, 1]


class NewComment(Strict):
    subject: CommentSubject
    subject_id: str = Field(min_length=1, max_length=300, pattern=r"^[^\x00]+$", description="Of a unit: model/layer/index.")
    parent: str | None = Field(None, min_length=1, max_length=32, description="The comment that this one answers.")
    body: Body


class ChangedComment(Strict):
    body: Body


class Comment(Out):
    id: str
    subject: CommentSubject
    subject_id: str
    parent: str | None
    body: str
    mentions: list[Person]
    author: Person
    revision: int
    created: str
    changed: str
    deleted: bool
    changed_by: Person


class Comments(Out):
    items: list[Comment]
    next: str | None


class CommentRevisions(Out):
    items: list[Revision]


class NewVote(Strict):
    subject: VoteSubject
    subject_id: str = Field(min_length=1, max_length=32, pattern=r"^[^\x00]+$")
    value: Vote = Field(description="1 for, -1 against, 0 takes my vote back.")


class Votes(Out):
    subject: VoteSubject
    subject_id: str
    up: int
    down: int
    mine: Vote


class VotesList(Out):
    items: list[Votes]


class Notification(Out):
    id: str
    kind: Literal["mention", "reply", "assigned", "shared", "outcome"]
    subject: str
    subject_id: str
    comment: str | None
    actor: Person
    at: str
    read: str | None


class Unread(Out):
    unread: int


class Notifications(Unread):
    items: list[Notification]
    next: str | None


class ReadThese(Strict):
    ids: list[Annotated[int, Field(ge=1, le=2**53)]] | None = Field(None, max_length=500, description="All if left out.")
