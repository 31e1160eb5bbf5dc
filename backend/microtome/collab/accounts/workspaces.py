"""Workspaces and who is in them with which role."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from microtome.collab.accounts.sessions import Sessions
from microtome.collab.people import MAIN, PersonRow, Role, plain_name
from microtome.core.errors import Conflict, Forbidden, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.blobs import insert_ignore
from microtome.store.events import audit
from microtome.store.times import now

MOST = 200  # workspaces of one installation


class Workspaces:
    """Workspaces and members of one store."""

    def __init__(self, store: Store, sessions: Sessions) -> None:
        self.store, self.sessions = store, sessions

    def create(self, me: PersonRow, name: str) -> dict[str, Any]:
        """A new workspace with oneself as its admin.

        Raises:
            Forbidden: one is no admin of the workspace ``main``, who alone make others. Conflict: there are too many.
        """
        self._of_main(me, "make workspaces")
        plain = plain_name(name)
        id = secrets.token_hex(6)
        with self.store.write(lock="members") as connection:
            if connection.execute(select(func.count()).select_from(t.workspace)).scalar_one() >= MOST:
                raise Conflict(f"There are {MOST} workspaces already.")
            connection.execute(insert(t.workspace).values(id=id, name=plain, created=now()))
            join(connection, id, me.id, "admin")
            audit(connection, me.id, "make-workspace", plain, id)
        return {"id": id, "name": plain, "role": "admin"}

    def rename(self, me: PersonRow, id: str, name: str) -> dict[str, Any]:
        """
        Raises:
            NotFound: it is another than the one that one is in now.
        """
        if id != me.workspace:
            raise NotFound(f"There is no workspace '{id[:32]}' here. Name it in the header X-Workspace too.", field="workspace")
        plain = plain_name(name)
        with self.store.write() as connection:
            connection.execute(update(t.workspace).where(t.workspace.c.id == id).values(name=plain))
            audit(connection, me.id, "rename-workspace", plain, id)
        return {"id": id, "name": plain, "role": me.role}

    def members(self, workspace: str, *, emails: bool) -> list[dict[str, Any]]:
        """Everybody in it by name. Addresses are told to admins only."""
        query = (
            select(t.person, t.member.c.role, t.member.c.since)
            .join(t.member, t.member.c.person_id == t.person.c.id)
            .where(t.member.c.workspace_id == workspace, t.person.c.state == "active")
            .order_by(func.lower(t.person.c.name), t.person.c.id)
        )
        with self.store.read() as connection:
            rows = connection.execute(query).all()
        return [
            {"person": PersonRow(r.id, r.name).shape(), "role": r.role, "since": r.since, "email": r.email if emails else None}
            for r in rows
        ]

    def change_role(self, me: PersonRow, person: str, role: Role) -> dict[str, Any]:
        """
        Raises:
            NotFound: nobody of that id is in the workspace. Conflict: it would be left without an admin.
        """
        with self.store.write(lock="members") as connection:
            before = self._role(connection, me.workspace, person)
            if before == "admin" and role != "admin":
                keep_an_admin(connection, me.workspace, person)
            here = (t.member.c.workspace_id == me.workspace) & (t.member.c.person_id == person)
            connection.execute(update(t.member).where(here).values(role=role))
            if before == "admin" and role != "admin":
                end_links(connection, person, me.workspace)
            audit(connection, me.id, "change-role", f"{person} {before} -> {role}", me.workspace)
        return next(m for m in self.members(me.workspace, emails=True) if m["person"]["id"] == person)

    def remove(self, me: PersonRow, person: str) -> None:
        """Take somebody, or oneself, out of the workspace. What they wrote stays.

        Raises:
            NotFound, Conflict: as in :meth:`change_role`.
        """
        with self.store.write(lock="members") as connection:
            if self._role(connection, me.workspace, person) == "admin":
                keep_an_admin(connection, me.workspace, person)
            here = (t.member.c.workspace_id == me.workspace) & (t.member.c.person_id == person)
            connection.execute(delete(t.member).where(here))
            end_links(connection, person, me.workspace)
            audit(connection, me.id, "remove-member", person, me.workspace)

    def delete_account(self, me: PersonRow, person: str) -> None:
        """An admin of the installation ends somebody's account; see :func:`forget_person`.

        Raises:
            Forbidden: one is no admin of ``main``. NotFound: no such account. Conflict: a workspace would be left without an admin.
        """
        self._of_main(me, "end accounts")
        with self.store.write(lock="members") as connection:
            alive = (t.person.c.id == person) & (t.person.c.state == "active") & t.person.c.email.is_not(None)
            if connection.execute(select(t.person.c.id).where(alive)).first() is None:
                raise NotFound(f"There is no account '{person[:64]}'. GET /api/v1/members lists them.", field="person")
            forget_person(connection, self.sessions, person)
            audit(connection, me.id, "delete-account", person)

    def _of_main(self, me: PersonRow, what: str) -> None:
        if me.workspace != MAIN:
            raise Forbidden(f"Only admins of the first workspace '{MAIN}' {what}. Name it in the header X-Workspace.", field="X-Workspace")

    def _role(self, connection: Connection, workspace: str, person: str) -> str:
        here = (t.member.c.workspace_id == workspace) & (t.member.c.person_id == person)
        role = connection.execute(select(t.member.c.role).where(here)).scalar()
        if role is None:
            raise NotFound(f"There is no member '{person[:64]}'. GET /api/v1/members lists them.", field="person")
        return str(role)


def join(connection: Connection, workspace: str, person: str, role: str) -> None:
    """Put somebody into a workspace; who is in it keeps the role that they have."""
    values = {"workspace_id": workspace, "person_id": person, "role": role, "since": now()}
    connection.execute(insert_ignore(connection, t.member), values)


def keep_an_admin(connection: Connection, workspace: str, without: str) -> None:
    """
    Raises:
        Conflict: ``without`` is the only admin of the workspace.
    """
    query = (
        select(func.count())
        .select_from(t.member)
        .join(t.person, t.person.c.id == t.member.c.person_id)
        .where(t.member.c.workspace_id == workspace, t.member.c.role == "admin", t.person.c.state == "active")
        .where(t.person.c.id != without)
    )
    if connection.execute(query).scalar_one() == 0:
        raise Conflict("This is the last admin of the workspace. Make somebody else an admin first.", field="person")


def end_links(connection: Connection, person: str, workspace: str | None = None) -> None:
    """Revoke the open links with which somebody could come back: those that they made, and invitations of their address.

    Args:
        connection: the transaction that takes their role away.
        person: whose.
        workspace: only links into this one; everywhere, with links to set this person's password, if left out.
    """
    c = t.invitation.c
    email = select(t.person.c.email).where(t.person.c.id == person).scalar_subquery()
    theirs = (c.made_by_id == person) | (c.email == email)
    theirs = (theirs | (c.person_id == person)) if workspace is None else (theirs & (c.workspace_id == workspace))
    connection.execute(update(t.invitation).where(theirs, c.used.is_(None), c.revoked.is_(None)).values(revoked=now()))


def forget_person(connection: Connection, sessions: Sessions, person: str) -> None:
    """End an account: no way in is left and nothing says who it was, but what they wrote stays, of a "removed user".

    Raises:
        Conflict: a workspace would be left without an admin.
    """
    mine = t.member.c.person_id == person
    for row in connection.execute(select(t.member).where(mine)).all():
        if row.role == "admin":
            keep_an_admin(connection, row.workspace_id, person)
    connection.execute(delete(t.member).where(mine))
    connection.execute(delete(t.identity).where(t.identity.c.person_id == person))
    sessions.end_all(connection, person)
    sessions.revoke_all(connection, person)
    end_links(connection, person)
    gone = {"name": "removed user", "email": None, "password": None, "state": "removed"}
    connection.execute(update(t.person).where(t.person.c.id == person).values(**gone))
