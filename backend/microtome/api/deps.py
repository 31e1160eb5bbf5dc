"""What every route gets handed: the desk (store, engine, caches) and the person asking."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Depends, Path, Query, Request, Response

from microtome.api.desk import Desk
from microtome.api.who import PERSON_COOKIE, person_of, signed
from microtome.collab.accounts import Signed
from microtome.collab.people import ANYBODY, OUTSIDER, PersonRow
from microtome.core.errors import Conflict, Forbidden, SignInNeeded

IMMUTABLE = "public, max-age=31536000, immutable"


def desk(request: Request) -> Desk:
    return request.app.state.desk


DeskDep = Annotated[Desk, Depends(desk)]


def known_person(request: Request, desk: DeskDep) -> PersonRow | None:
    """Who is asking, in their workspace; None for nobody."""
    return person_of(desk, request.scope)


def given_person(request: Request, response: Response, desk: Desk) -> PersonRow:
    """The person of the cookie of single-user mode; at the first call a new one with a made-up name, and the cookie is set."""
    found = person_of(desk, request.scope)
    if found is None:
        found = desk.people.create()
        response.set_cookie(PERSON_COOKIE, desk.people.cookie(found), max_age=10 * 365 * 86400, httponly=True, samesite="lax", path="/")
    return found


def person(request: Request, response: Response, desk: DeskDep) -> PersonRow:
    """Who is asking, in their workspace.

    Raises:
        SignInNeeded, Forbidden: nobody, or somebody without a workspace (team mode).
    """
    if not desk.settings.team:
        return given_person(request, response, desk)
    found = person_of(desk, request.scope)
    if found is not None:
        return found
    account(request, desk)
    raise Forbidden("You are in no workspace. Ask an admin for an invitation.", field="X-Workspace")


def viewer(request: Request, desk: DeskDep) -> PersonRow:
    """Who is reading. A browser profile of single-user mode that has no cookie yet is nobody in the workspace ``main``."""
    return person_of(desk, request.scope) or (OUTSIDER if desk.settings.team else ANYBODY)


def reader(request: Request, desk: DeskDep) -> PersonRow | None:
    """Who reads what may be open to everybody; None is who is not signed in (team mode), or in no workspace."""
    return person_of(desk, request.scope) or (None if desk.settings.team else ANYBODY)


def team(desk: DeskDep) -> Desk:
    """The desk, in team mode.

    Raises:
        Conflict: in single-user mode there are no accounts.
    """
    if not desk.settings.team:
        raise Conflict("This server runs in single-user mode, without accounts. `microtome serve --mode team` starts it with them.")
    return desk


Team = Annotated[Desk, Depends(team)]


def account(request: Request, desk: Team) -> Signed:
    """The account that is signed in.

    Raises:
        SignInNeeded: nobody is.
    """
    found = signed(desk, request.scope)
    if found is None:
        raise SignInNeeded("Sign in first. POST /api/v1/session signs in.")
    return found


MaybePerson = Annotated[PersonRow | None, Depends(known_person)]
Me = Annotated[PersonRow, Depends(person)]
Viewer = Annotated[PersonRow, Depends(viewer)]
Reader = Annotated[PersonRow | None, Depends(reader)]
Account = Annotated[Signed, Depends(account)]

Slug = Annotated[str, Path(min_length=1, max_length=64)]
Id = Annotated[str, Path(min_length=1, max_length=64)]
Sha = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]
LayerName = Annotated[str, Path(min_length=1, max_length=200)]
UnitIndex = Annotated[int, Path(ge=0, le=2_000_000)]
Cursor = Annotated[str | None, Query(max_length=200)]
Limit = Annotated[int, Query(ge=1, le=500)]
SlugQuery = Annotated[str, Query(min_length=1, max_length=64)]
ShareQuery = Annotated[str | None, Query(max_length=64)]
IfMatch = Annotated[str | None, "If-Match"]


class FastJSON(Response):
    """A dict that is already in its documented shape, written by orjson without a second validation."""

    media_type = "application/json"

    def __init__(self, content: Any, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
        super().__init__(body, status_code=status_code, headers=headers, media_type=self.media_type)


def immutable(etag: str) -> dict[str, str]:
    return {"ETag": f'"{etag}"', "Cache-Control": IMMUTABLE}


def not_modified(request: Request, etag: str) -> Response | None:
    """304 when the client already holds this immutable thing."""
    held = request.headers.get("if-none-match", "")
    if held == "*" or f'"{etag}"' in held:
        return Response(status_code=304, headers=immutable(etag))
    return None
