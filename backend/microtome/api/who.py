"""Who sends a request: worked out once for each request, for the middleware and for the routes."""

from __future__ import annotations

from starlette.datastructures import Headers, QueryParams
from starlette.requests import cookie_parser
from starlette.types import Scope

from microtome.api.desk import Desk
from microtome.collab.accounts import Signed
from microtome.collab.accounts.sessions import TOKEN
from microtome.collab.people import PersonRow
from microtome.core.errors import NotFound
from microtome.core.settings import Settings

PERSON_COOKIE = "microtome_person"
_KEY = "microtome.signed"


def session_cookie(settings: Settings) -> str:
    """Name of the cookie. With ``__Host-`` no other host of the domain can plant one; that needs https."""
    return "__Host-microtome_session" if settings.secure else "microtome_session"


def session_token(desk: Desk, scope: Scope) -> str | None:
    """What the cookie of the session holds; None for programs with a token of their own."""
    if _bearer(scope) is not None:
        return None
    return cookie_parser(Headers(scope=scope).get("cookie", "")).get(session_cookie(desk.settings)) or None


def signed(desk: Desk, scope: Scope) -> Signed | None:
    """Who is signed in, by session or API token; always None in single-user mode."""
    if not desk.settings.team:
        return None
    if _KEY not in scope:
        scope[_KEY] = _signed(desk, scope)
    found: Signed | None = scope[_KEY]
    return found


def _signed(desk: Desk, scope: Scope) -> Signed | None:
    given = _bearer(scope)
    if given is not None:
        return desk.accounts.sessions.signed_by_token(given) if given.startswith(TOKEN) and len(given) <= 100 else None
    token = session_token(desk, scope) or ""
    return desk.accounts.sessions.signed(token) if 0 < len(token) <= 100 else None


def _bearer(scope: Scope) -> str | None:
    """What a program sends as its token, however wrong; other schemes, such as Basic of a proxy in front, are none of ours."""
    scheme, _, token = Headers(scope=scope).get("authorization", "").partition(" ")
    return token if scheme.lower() == "bearer" else None


def wanted_workspace(scope: Scope) -> str | None:
    """The workspace that the request names: by header, or in the address for what cannot send headers (``EventSource``)."""
    return Headers(scope=scope).get("x-workspace") or QueryParams(scope["query_string"]).get("workspace") or None


def person_of(desk: Desk, scope: Scope) -> PersonRow | None:
    """The person, with the role in the workspace that is asked for; None for nobody, and for somebody without a workspace.

    Raises:
        NotFound: not a member of the workspace that is named.
    """
    if desk.settings.team:
        found = signed(desk, scope)
        return found.in_workspace(wanted_workspace(scope)) if found is not None else None
    return desk.people.from_cookie(cookie_parser(Headers(scope=scope).get("cookie", "")).get(PERSON_COOKIE))


def fresh_person(desk: Desk, scope: Scope) -> PersonRow | None:
    """Like :func:`person_of`, asked again, for requests that last; None also for who is no member any more."""
    scope.pop(_KEY, None)
    try:
        return person_of(desk, scope)
    except NotFound:
        return None


def address_of(settings: Settings, scope: Scope) -> str:
    """Address of the client. What it says of itself counts only if our own proxy wrote it down last."""
    if settings.behind_proxy:
        given = ",".join(Headers(scope=scope).getlist("x-forwarded-for")).rsplit(",", 1)[-1].strip()
        if given:
            return given[:64]
    client = scope.get("client")
    return str(client[0]) if client else "unknown"
