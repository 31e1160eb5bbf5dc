"""Who is here: invitations, members, workspaces, and the audit log."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from microtome.api.deps import Account, Cursor, DeskDep, Id, Limit, Me, Team, Viewer
from microtome.api.desk import Desk
from microtome.api.routers.session import agent_of, begun, shape_of
from microtome.api.schemas.accounts import (
    Accept,
    Audit,
    Invitations,
    LinkBody,
    MadeInvitation,
    Member,
    Members,
    NewInvitation,
    NewRole,
    NewWorkspace,
    Offer,
    Session,
    Workspace,
    Workspaces,
)
from microtome.api.shapes import audit_page
from microtome.api.who import session_token, signed
from microtome.collab.accounts.accounts import plain_email
from microtome.collab.accounts.invitations import RESET_DAYS, link
from microtome.collab.people import MAIN
from microtome.core.errors import Forbidden, InvalidInput, NotFound

router = APIRouter(tags=["people"])
WorkspaceId = Annotated[str, Path(min_length=1, max_length=32)]
PersonId = Annotated[str, Path(min_length=1, max_length=64)]


@router.get("/invitations", response_model=Invitations)
def list_invitations(desk: Team, me: Me) -> dict[str, object]:
    """Links of this workspace that can still be used."""
    return {"items": desk.accounts.invitations.open_ones(me.workspace)}


@router.post("/invitations", response_model=MadeInvitation, status_code=201)
def invite(desk: Team, me: Me, request: Request, body: NewInvitation, response: Response) -> dict[str, object]:
    """Make a link into this workspace. It is shown this once; a repeat with the same Idempotency-Key makes another."""
    response.headers["Cache-Control"] = "no-store"
    email = plain_email(body.email) if body.email is not None else None
    made, token = desk.accounts.invitations.create(me, me.workspace, body.role, email=email, days=body.days)
    return made | {"url": link(_base(desk, request), token)}


@router.delete("/invitations/{id}", status_code=204, response_class=Response)
def revoke_invitation(desk: Team, me: Me, id: Id) -> Response:
    """Make a link worthless."""
    desk.accounts.invitations.revoke(me, id)
    return Response(status_code=204)


@router.post("/invitations/open", response_model=Offer)
def open_invitation(desk: Team, body: LinkBody) -> dict[str, object]:
    """What a link offers; 404 when it was used, revoked or has expired."""
    return desk.accounts.invitations.look(body.token)


@router.post("/invitations/accept", response_model=Session)
def accept_invitation(desk: Team, request: Request, response: Response, body: Accept) -> dict[str, object]:
    """Use a link: make an account, join one more workspace, or set a new password. It works once."""
    offer = desk.accounts.invitations.look(body.token)
    who = signed(desk, request.scope)
    if offer["purpose"] == "new-password":
        if body.password is None:
            raise InvalidInput("Give the new password.", field="password")
        return begun(desk, response, desk.accounts.reset_password(body.token, body.password, agent_of(request)))
    if who is not None and who.session is not None:
        desk.accounts.join_known(who, body.token)
        token = session_token(desk, request.scope) or ""
        return shape_of(desk, desk.accounts.sessions.signed(token), token)
    if body.name is None or body.email is None or body.password is None:
        raise InvalidInput("Give a name, an e-mail address and a password.", field="password" if body.email and body.name else "name")
    return begun(desk, response, desk.accounts.join_new(body.token, body.name, body.email, body.password, agent_of(request)))


@router.get("/members", response_model=Members)
def list_members(desk: DeskDep, me: Viewer) -> dict[str, object]:
    """Who is in this workspace, by name; in single-user mode everybody."""
    if not desk.settings.team:
        return {"items": desk.people.everybody()}
    return {"items": desk.accounts.workspaces.members(me.workspace, emails=me.may("admin"))}


@router.patch("/members/{person}", response_model=Member)
def change_role(desk: Team, me: Me, person: PersonId, body: NewRole) -> dict[str, object]:
    """Give somebody another role; 409 when no admin would be left."""
    return desk.accounts.workspaces.change_role(me, person, body.role)


@router.delete("/members/{person}", status_code=204, response_class=Response)
def remove_member(desk: Team, me: Me, person: PersonId) -> Response:
    """Take somebody out of the workspace (admins), or oneself. What they wrote stays."""
    if person != me.id and not me.may("admin"):
        raise Forbidden("Only admins take others out of a workspace.")
    desk.accounts.workspaces.remove(me, person)
    return Response(status_code=204)


@router.post("/members/{person}/reset", response_model=MadeInvitation, status_code=201)
def reset_member(desk: Team, me: Me, request: Request, person: PersonId, response: Response) -> dict[str, object]:
    """A link with which somebody sets a new password. Only admins of the first workspace make these: they open accounts."""
    response.headers["Cache-Control"] = "no-store"
    if me.workspace != MAIN:
        raise Forbidden(f"Only admins of the first workspace '{MAIN}' reset passwords.", field="X-Workspace")
    if not desk.accounts.active(person):
        raise NotFound(f"There is no account '{person}'.", field="person")
    made, token = desk.accounts.invitations.create(me, MAIN, "viewer", days=RESET_DAYS, person=person)
    return made | {"url": link(_base(desk, request), token)}


@router.delete("/accounts/{person}", status_code=204, response_class=Response)
def delete_account(desk: Team, me: Me, person: PersonId) -> Response:
    """End somebody's account (admins of the first workspace). What they wrote stays, of a "removed user"."""
    desk.accounts.workspaces.delete_account(me, person)
    return Response(status_code=204)


@router.get("/workspaces", response_model=Workspaces)
def list_workspaces(desk: Team, me: Account) -> dict[str, object]:
    """One's own workspaces, in the order of joining."""
    return {"items": [{"id": m.id, "name": m.name, "role": m.role} for m in me.memberships]}


@router.post("/workspaces", response_model=Workspace, status_code=201)
def make_workspace(desk: Team, me: Me, body: NewWorkspace) -> dict[str, object]:
    """Make a workspace and be its admin (admins of the first workspace)."""
    return desk.accounts.workspaces.create(me, body.name)


@router.patch("/workspaces/{workspace}", response_model=Workspace)
def rename_workspace(desk: Team, me: Me, workspace: WorkspaceId, body: NewWorkspace) -> dict[str, object]:
    """Give the workspace another name (its admins, with it in ``X-Workspace``)."""
    return desk.accounts.workspaces.rename(me, workspace, body.name)


@router.get("/audit", response_model=Audit)
def audit_log(desk: DeskDep, me: Viewer, cursor: Cursor = None, limit: Limit = 100) -> dict[str, object]:
    """Who did what in this workspace, newest first; admins of the first one also see what concerns the installation."""
    return audit_page(desk, me, cursor, limit)


def _base(desk: Desk, request: Request) -> str:
    return desk.settings.public_url or str(request.base_url).rstrip("/")
