"""Sessions, tokens, invitations, members, workspaces, the audit log."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from microtome.api.schemas.common import Out, Person
from microtome.core.selection import Strict

Role = Literal["viewer", "annotator", "editor", "admin"]
Scope = Literal["read", "write", "admin"]
Email = Annotated[str, Field(min_length=3, max_length=254)]
Name = Annotated[str, Field(min_length=1, max_length=60, description="Name that others see.")]
Secret = Annotated[str, Field(min_length=1, max_length=200)]
Link = Annotated[str, Field(min_length=1, max_length=100, description="What stands behind # in the link.")]


class Workspace(Out):
    id: str
    name: str
    role: Role


class Provider(Out):
    """A place to sign in at besides this server; open ``url`` in the browser."""

    id: str
    name: str
    url: str


class Session(Out):
    """Who this is. ``person`` is null for somebody who has to sign in."""

    person: Person | None
    email: str | None
    mode: Literal["single-user", "team"]
    version: str
    role: Role | None
    workspace: str | None
    workspaces: list[Workspace]
    csrf: str | None
    providers: list[Provider]


class SignIn(Strict):
    email: Email
    password: Secret


class NewPassword(Strict):
    current: str = Field(max_length=200, description="The present one; empty for an account that has none.")
    password: Secret


class Confirm(Strict):
    current: str = Field(max_length=200, description="The password; empty for an account that has none.")


class SessionItem(Out):
    id: str
    created: str
    seen: str
    expires: str
    agent: str
    current: bool


class Sessions(Out):
    items: list[SessionItem]


class NewToken(Strict):
    name: Name
    scope: Scope
    days: int = Field(90, ge=1, le=366, description="How long it works.")


class Token(Out):
    id: str
    name: str
    scope: Scope
    created: str
    expires: str
    used: str | None


class Tokens(Out):
    items: list[Token]


class MadeToken(Token):
    """``token`` is shown this once."""

    token: str


class NewInvitation(Strict):
    role: Role
    email: Email | None = Field(None, description="Only this address may use it.")
    days: int = Field(7, ge=1, le=60, description="How long it works.")


class Invitation(Out):
    id: str
    purpose: Literal["join", "new-password"]
    workspace: str
    role: Role
    email: str | None
    by: str | None
    created: str
    expires: str


class Invitations(Out):
    items: list[Invitation]


class MadeInvitation(Invitation):
    """``url`` is shown this once."""

    url: str


class LinkBody(Strict):
    token: Link


class Offer(Out):
    """What a link offers. ``email`` is set when only that address may use it."""

    purpose: Literal["join", "new-password"]
    workspace: str
    role: Role
    email: str | None
    by: str | None
    expires: str


class Accept(Strict):
    """Somebody new gives all; somebody signed in gives the token only; a new password needs token and password."""

    token: Link
    name: Name | None = None
    email: Email | None = None
    password: Secret | None = None


class Member(Out):
    """``email`` is told to admins only."""

    person: Person
    role: Role
    since: str
    email: str | None


class Members(Out):
    items: list[Member]


class NewRole(Strict):
    role: Role


class Workspaces(Out):
    items: list[Workspace]


class NewWorkspace(Strict):
    name: Name


class AuditLine(Out):
    """``person`` is null for the server itself, the command line, and people who are not signed in."""

    id: int
    at: str
    person: Person | None
    action: str
    subject: str
    workspace: str | None


class Audit(Out):
    items: list[AuditLine]
    next: str | None


class Used(Out):
    used: int
    limit: int | None
    frees: str | None


class Usage(Out):
    """``limit`` is null where there is none; ``frees`` is when one more run may be started again."""

    runs: Used
    upload_bytes: Used
