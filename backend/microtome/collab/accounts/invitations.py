"""Links that let somebody in: into a workspace with a role, or back into an account whose password is lost. Each works once."""

from __future__ import annotations

import secrets
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from microtome.collab.accounts.signed import digest, new_secret
from microtome.collab.people import PersonRow, Role
from microtome.core.errors import Conflict, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import audit
from microtome.store.times import now

MOST = 500  # open ones of a workspace
RESET_DAYS = 1


class Invitations:
    """Invitations of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def create(
        self, by: PersonRow | None, workspace: str, role: Role, *, email: str | None = None, days: int = 7, person: str | None = None
    ) -> tuple[dict[str, Any], str]:
        """A link and its secret, which is never shown again.

        Args:
            by: who makes it; None on the command line.
            workspace, role: where it leads.
            email: only this address may use it.
            days: how long it works.
            person: whose password it sets anew.

        Raises:
            NotFound: no such workspace. Conflict: too many are open.
        """
        token = new_secret()
        row = {
            "id": secrets.token_hex(12), "token_hash": digest(token), "workspace_id": workspace, "role": role, "email": email,
            "person_id": person, "made_by_id": by.id if by is not None else None, "created": now(), "expires": now(days * 86_400.0),
        }  # fmt: skip
        with self.store.write(lock="members") as connection:
            if connection.execute(select(t.workspace.c.id).where(t.workspace.c.id == workspace)).first() is None:
                raise NotFound(f"There is no workspace '{workspace[:32]}'.", field="workspace")
            if len(connection.execute(self._open(workspace)).all()) >= MOST:
                raise Conflict(f"{MOST} invitations are open. Revoke those that are not needed any more.")
            connection.execute(insert(t.invitation).values(**row))
            what = f"{row['id']} {role}" if person is None else f"{row['id']} new password of {person}"
            audit(connection, row["made_by_id"], "invite", what, workspace)
            made = connection.execute(self._open(workspace).where(t.invitation.c.id == row["id"])).one()
        return _shape(made), token

    def open_ones(self, workspace: str) -> list[dict[str, Any]]:
        """Those that can still be used, the newest first."""
        query = self._open(workspace).order_by(t.invitation.c.created.desc())
        with self.store.read() as connection:
            return [_shape(row) for row in connection.execute(query)]

    def revoke(self, me: PersonRow, id: str) -> None:
        """
        Raises:
            NotFound: there is no open one of that id in the workspace.
        """
        with self.store.write() as connection:
            here = (t.invitation.c.id == id) & (t.invitation.c.workspace_id == me.workspace)
            here &= t.invitation.c.used.is_(None) & t.invitation.c.revoked.is_(None)
            if connection.execute(update(t.invitation).where(here).values(revoked=now())).rowcount == 0:
                raise NotFound("There is no such open invitation. GET /api/v1/invitations lists them.", field="id")
            audit(connection, me.id, "revoke-invitation", id, me.workspace)

    def look(self, token: str) -> dict[str, Any]:
        """What a link offers, for whoever has it."""
        with self.store.read() as connection:
            row = self._valid(connection, token)
            workspace = connection.execute(select(t.workspace.c.name).where(t.workspace.c.id == row.workspace_id)).scalar_one()
            by = connection.execute(select(t.person.c.name).where(t.person.c.id == row.made_by_id)).scalar()
            email = row.email
            if row.person_id is not None:
                email = connection.execute(select(t.person.c.email).where(t.person.c.id == row.person_id)).scalar()
        purpose = "join" if row.person_id is None else "new-password"
        return {"purpose": purpose, "workspace": workspace, "role": row.role, "email": email, "by": by, "expires": row.expires}

    def use(self, connection: Connection, token: str, person: str) -> Row[Any]:
        """Use it up, in the transaction that does what it is for.

        Raises:
            NotFound: it was used, revoked, has expired, or never was.
        """
        row = self._valid(connection, token)
        unused = (t.invitation.c.id == row.id) & t.invitation.c.used.is_(None)
        if connection.execute(update(t.invitation).where(unused).values(used=now(), used_by_id=person)).rowcount == 0:
            raise NotFound(_GONE, field="token")
        return row

    def for_email(self, connection: Connection, email: str) -> list[Row[Any]]:
        """Open invitations of this very address."""
        c = t.invitation.c
        query = select(t.invitation).where(c.email == email, c.person_id.is_(None), c.used.is_(None), c.revoked.is_(None))
        return list(connection.execute(query.where(c.expires > now()).order_by(c.created)))

    def peek(self, connection: Connection, token: str) -> Row[Any]:
        """The row of a link that works; see :meth:`use`."""
        return self._valid(connection, token)

    def _valid(self, connection: Connection, token: str) -> Row[Any]:
        c = t.invitation.c
        query = select(t.invitation).where(c.token_hash == digest(token), c.used.is_(None), c.revoked.is_(None), c.expires > now())
        row = connection.execute(query).one_or_none()
        if row is None:
            raise NotFound(_GONE, field="token")
        return row

    def _open(self, workspace: str) -> Any:
        c = t.invitation.c
        query = select(t.invitation, t.person.c.name.label("by")).outerjoin(t.person, t.person.c.id == c.made_by_id)
        return query.where(c.workspace_id == workspace, c.used.is_(None), c.revoked.is_(None), c.expires > now())


_GONE = "This link was used, revoked or has expired. Ask an admin for another one."


def _shape(row: Row[Any]) -> dict[str, Any]:
    names = ("id", "role", "email", "by", "created", "expires")
    purpose = "join" if row.person_id is None else "new-password"
    return {n: getattr(row, n) for n in names} | {"purpose": purpose, "workspace": row.workspace_id}


def link(base: str, token: str) -> str:
    """The address to open. The secret stands behind ``#``: browsers do not send that part, so no log has it."""
    return f"{base}/join#{token}"
