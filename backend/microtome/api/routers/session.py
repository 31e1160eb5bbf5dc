"""Signing in and out, one's own account, sessions and tokens."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from microtome import __version__
from microtome.api.deps import Account, DeskDep, Id, Team, given_person
from microtome.api.desk import Desk
from microtome.api.schemas.accounts import (
    Confirm,
    MadeToken,
    NewPassword,
    NewToken,
    Session,
    Sessions,
    SignIn,
    Tokens,
    Usage,
)
from microtome.api.schemas.common import NewName
from microtome.api.shapes import person_shape
from microtome.api.who import address_of, session_cookie, session_token, signed, wanted_workspace
from microtome.collab.accounts import Signed
from microtome.collab.people import MAIN, PersonRow
from microtome.core.errors import NotFound

router = APIRouter(tags=["session"])


@router.get("/session", response_model=Session)
def session(desk: DeskDep, request: Request, response: Response) -> dict[str, object]:
    """Who this is. In single-user mode the first call makes a person and sets the cookie."""
    response.headers["Cache-Control"] = "no-store"
    if not desk.settings.team:
        return _alone(given_person(request, response, desk))
    return shape_of(desk, signed(desk, request.scope), session_token(desk, request.scope), wanted_workspace(request.scope))


@router.post("/session", response_model=Session)
def sign_in(desk: Team, request: Request, response: Response, body: SignIn) -> dict[str, object]:
    """Sign in with address and password. A session that the browser had before ends."""
    before = signed(desk, request.scope)
    token = desk.accounts.sign_in(body.email, body.password, address_of(desk.settings, request.scope), agent_of(request))
    if before is not None and before.session is not None:
        desk.accounts.sessions.end(before, before.session)
    return begun(desk, response, token)


@router.delete("/session", status_code=204, response_class=Response)
def sign_out(desk: Team, me: Account) -> Response:
    """End this session."""
    if me.session is not None:
        desk.accounts.sessions.end(me, me.session)
    response = Response(status_code=204, headers={"Clear-Site-Data": '"cache", "storage"'})
    forget_cookie(desk, response)
    return response


@router.patch("/session", response_model=Session)
def rename(desk: DeskDep, request: Request, response: Response, body: NewName) -> dict[str, object]:
    """Change one's name."""
    if not desk.settings.team:
        return _alone(desk.people.rename(given_person(request, response, desk), body.name))
    who = signed(desk, request.scope)
    assert who is not None
    desk.people.rename(PersonRow(who.id, who.name), body.name)
    token = session_token(desk, request.scope) or ""
    return shape_of(desk, desk.accounts.sessions.signed(token), token)


@router.post("/session/password", response_model=Session)
def change_password(desk: Team, me: Account, request: Request, response: Response, body: NewPassword) -> dict[str, object]:
    """Set another password. All sessions end; this browser gets a new one."""
    address = address_of(desk.settings, request.scope)
    return begun(desk, response, desk.accounts.change_password(me, body.current, body.password, address, agent_of(request)))


@router.post("/session/leave", status_code=204, response_class=Response)
def leave(desk: Team, me: Account, request: Request, body: Confirm) -> Response:
    """End one's own account for ever. What one wrote stays, of a "removed user"."""
    desk.accounts.confirm(me, body.current, address_of(desk.settings, request.scope))
    desk.accounts.leave(me)
    response = Response(status_code=204)
    forget_cookie(desk, response)
    return response


@router.get("/session/usage", response_model=Usage)
def usage(desk: Team, me: Account) -> dict[str, object]:
    """How much of the machine one has used, and may use."""
    return desk.quotas.usage(me.id)


@router.get("/sessions", response_model=Sessions)
def list_sessions(desk: Team, me: Account) -> dict[str, object]:
    """Where one is signed in, the last used first."""
    return {"items": desk.accounts.sessions.of(me)}


@router.delete("/sessions", status_code=204, response_class=Response)
def end_other_sessions(desk: Team, me: Account) -> Response:
    """Sign out everywhere else."""
    with desk.store.write() as connection:
        desk.accounts.sessions.end_all(connection, me.id, but=me.session)
    return Response(status_code=204)


@router.delete("/sessions/{id}", status_code=204, response_class=Response)
def end_session(desk: Team, me: Account, id: Id) -> Response:
    """Sign out there."""
    desk.accounts.sessions.end(me, id)
    return Response(status_code=204)


@router.get("/tokens", response_model=Tokens)
def list_tokens(desk: Team, me: Account) -> dict[str, object]:
    """One's own API tokens."""
    return {"items": desk.accounts.sessions.tokens(me)}


@router.post("/tokens", response_model=MadeToken, status_code=201)
def make_token(desk: Team, me: Account, body: NewToken, response: Response) -> dict[str, object]:
    """Make an API token. It is shown this once; a repeat with the same Idempotency-Key makes another."""
    response.headers["Cache-Control"] = "no-store"
    made, token = desk.accounts.sessions.make_token(me, body.name, body.scope, body.days)
    return made | {"token": token}


@router.delete("/tokens/{id}", status_code=204, response_class=Response)
def revoke_token(desk: Team, me: Account, id: Id) -> Response:
    """Make a token worthless, at once."""
    desk.accounts.sessions.revoke_token(me, id)
    return Response(status_code=204)


def agent_of(request: Request) -> str:
    return request.headers.get("user-agent", "")


def set_cookie(desk: Desk, response: Response, token: str) -> None:
    response.set_cookie(
        session_cookie(desk.settings), token, max_age=desk.settings.session_hours * 3600, httponly=True, samesite="lax",
        secure=desk.settings.secure, path="/",
    )  # fmt: skip


def forget_cookie(desk: Desk, response: Response) -> None:
    name = session_cookie(desk.settings)
    response.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=desk.settings.secure)


def begun(desk: Desk, response: Response, token: str) -> dict[str, object]:
    """The answer to whatever began a session."""
    set_cookie(desk, response, token)
    response.headers["Cache-Control"] = "no-store"
    return shape_of(desk, desk.accounts.sessions.signed(token), token)


def shape_of(desk: Desk, who: Signed | None, token: str | None, wanted: str | None = None) -> dict[str, object]:
    """The document of ``GET /session`` in team mode."""
    here = None
    if who is not None:
        try:
            here = who.in_workspace(wanted)
        except NotFound:  # a workspace that one was in when the page was opened
            here = who.in_workspace(None)
    by_session = who is not None and who.session is not None and token is not None
    return {
        "person": person_shape(PersonRow(who.id, who.name)) if who is not None else None,
        "email": who.email if who is not None else None,
        "mode": "team",
        "version": __version__,
        "role": here.role if here is not None else None,
        "workspace": here.workspace if here is not None else None,
        "workspaces": [{"id": m.id, "name": m.name, "role": m.role} for m in who.memberships] if who is not None else [],
        "csrf": desk.accounts.sessions.csrf(token or "") if by_session else None,
        "providers": [] if desk.oidc is None else [{"id": "oidc", "name": desk.settings.oidc_name, "url": "/api/v1/session/oidc"}],
    }


def _alone(me: PersonRow) -> dict[str, object]:
    return {
        "person": person_shape(me), "email": None, "mode": "single-user", "version": __version__, "role": "admin", "workspace": MAIN,
        "workspaces": [{"id": MAIN, "name": "Main", "role": "admin"}], "csrf": None, "providers": [],
    }  # fmt: skip
