"""What every route gets handed: the desk (store, engine, caches) and the person asking."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import Depends, Path, Query, Request, Response

from microtome.api.desk import Desk
from microtome.collab.people import PersonRow

COOKIE = "microtome_person"
IMMUTABLE = "public, max-age=31536000, immutable"


def desk(request: Request) -> Desk:
    return request.app.state.desk


DeskDep = Annotated[Desk, Depends(desk)]


def known_person(request: Request, desk: DeskDep) -> PersonRow | None:
    """The person of the cookie, or None."""
    return desk.people.from_cookie(request.cookies.get(COOKIE))


def person(request: Request, response: Response, desk: DeskDep) -> PersonRow:
    """The person of the cookie; at the first call a new one with a made-up name, and the cookie is set."""
    found = known_person(request, desk)
    if found is None:
        found = desk.people.create()
        response.set_cookie(COOKIE, desk.people.cookie(found), max_age=10 * 365 * 86400, httponly=True, samesite="lax", path="/")
    return found


MaybePerson = Annotated[PersonRow | None, Depends(known_person)]
Me = Annotated[PersonRow, Depends(person)]

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
