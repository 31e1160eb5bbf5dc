"""Sessions of browsers and API tokens of programs: how somebody who was let in is known again."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update

from microtome.collab.accounts.signed import Membership, Scope, Signed, digest, new_secret
from microtome.core.errors import Conflict, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import audit
from microtome.store.times import now

IDLE = 3 * 86_400.0
TOUCH = 60.0  # seconds between two notes of when something was last used
MOST = 50  # sessions, and living tokens, of one person
TOKEN = "mt_"  # noqa: S105 - how tokens begin, so that one that leaked is recognised


class Sessions:
    """Sessions and tokens of one store.

    Args:
        store: where they are.
        key: secret of the installation, from which the tokens against forged requests are made.
        hours: longest time that a session lasts.
    """

    def __init__(self, store: Store, key: str, hours: int) -> None:
        self.store, self._key, self._hours = store, key.encode(), hours

    def open(self, connection: Connection, person: str, agent: str) -> str:
        """A new session; returns what the cookie holds. Nothing of an earlier one is taken over."""
        token = new_secret()
        at = now()
        gone = (t.session.c.expires < at) | (t.session.c.seen < now(-IDLE))
        connection.execute(delete(t.session).where(gone))
        mine = select(t.session.c.id).where(t.session.c.person_id == person).order_by(t.session.c.seen.desc())
        extra = connection.execute(mine.offset(MOST - 1)).scalars().all()
        if extra:
            connection.execute(delete(t.session).where(t.session.c.id.in_(extra)))
        row = {
            "id": secrets.token_hex(12), "token_hash": digest(token), "person_id": person, "created": at, "seen": at,
            "expires": now(self._hours * 3600.0), "agent": "".join(c for c in agent if c.isprintable())[:120],
        }  # fmt: skip
        connection.execute(insert(t.session).values(**row))
        audit(connection, person, "sign-in", row["id"])
        return token

    def csrf(self, token: str) -> str:
        """What a write with this session must carry: no other site can know it."""
        return hmac.new(self._key, f"csrf\n{digest(token)}".encode(), "sha256").hexdigest()

    def signed(self, token: str) -> Signed | None:
        """Who has this session; None when it has ended or never was."""
        at = now()
        alive = (t.session.c.token_hash == digest(token)) & (t.session.c.expires > at) & (t.session.c.seen > now(-IDLE))
        rows = self._rows(t.session, alive)
        if not rows:
            return None
        if rows[0].last < now(-TOUCH):
            with self.store.write() as connection:
                connection.execute(update(t.session).where(t.session.c.id == rows[0].way).values(seen=at))
        return _signed(rows, session=rows[0].way)

    def signed_by_token(self, token: str) -> Signed | None:
        """Who has this API token; None when it has expired, was revoked or never was."""
        at = now()
        c = t.api_token.c
        rows = self._rows(t.api_token, (c.token_hash == digest(token)) & (c.expires > at) & c.revoked.is_(None))
        if not rows:
            return None
        if (rows[0].last or "") < now(-TOUCH):
            with self.store.write() as connection:
                connection.execute(update(t.api_token).where(c.id == rows[0].way).values(used=at))
        return _signed(rows, scope=rows[0].scope)

    def _rows(self, by: Any, alive: ColumnElement[bool]) -> list[Row[Any]]:
        """One row for each workspace of the person, in the order of joining; one without workspace if there is none."""
        person, member = t.person.c, t.member.c
        is_token = by is t.api_token
        last, scope = (by.c.used, by.c.scope) if is_token else (by.c.seen, by.c.id)
        query = (
            select(
                by.c.id.label("way"), last.label("last"), scope.label("scope"), person.id, person.name, person.email,
                t.workspace.c.id.label("workspace"), t.workspace.c.name.label("workspace_name"), member.role,
            )
            .join(t.person, person.id == by.c.person_id)
            .outerjoin(t.member, member.person_id == person.id)
            .outerjoin(t.workspace, t.workspace.c.id == member.workspace_id)
            .where(alive, person.state == "active")
            .order_by(member.since, member.workspace_id)
        )  # fmt: skip
        with self.store.read() as connection:
            return list(connection.execute(query))

    def of(self, me: Signed) -> list[dict[str, Any]]:
        """One's own living sessions, the last used first."""
        c = t.session.c
        query = select(t.session).where(c.person_id == me.id, c.expires > now(), c.seen > now(-IDLE)).order_by(c.seen.desc())
        with self.store.read() as connection:
            rows = connection.execute(query).all()
        names = ("id", "created", "seen", "expires", "agent")
        return [{n: getattr(row, n) for n in names} | {"current": row.id == me.session} for row in rows]

    def end(self, me: Signed, id: str) -> None:
        """
        Raises:
            NotFound: one has no such session.
        """
        with self.store.write() as connection:
            mine = (t.session.c.id == id) & (t.session.c.person_id == me.id)
            if connection.execute(delete(t.session).where(mine)).rowcount == 0:
                raise NotFound("You have no such session. GET /api/v1/sessions lists yours.", field="id")
            audit(connection, me.id, "sign-out", id)

    def end_all(self, connection: Connection, person: str, but: str | None = None) -> None:
        """End the sessions of somebody, except one."""
        mine = t.session.c.person_id == person
        connection.execute(delete(t.session).where(mine if but is None else mine & (t.session.c.id != but)))

    # --- API tokens -------------------------------------------------------------------------------------------------

    def make_token(self, me: Signed, name: str, scope: Scope, days: int) -> tuple[dict[str, Any], str]:
        """A token and its secret, which is never shown again.

        Raises:
            Conflict: one has too many.
        """
        token = new_secret(TOKEN)
        row = {
            "id": secrets.token_hex(12), "token_hash": digest(token), "person_id": me.id, "name": name, "scope": scope,
            "created": now(), "expires": now(days * 86_400.0), "used": None, "revoked": None,
        }  # fmt: skip
        with self.store.write() as connection:
            if len(self._living(connection, me.id)) >= MOST:
                raise Conflict(f"You have {MOST} tokens. Revoke one that is not needed any more.")
            connection.execute(insert(t.api_token).values(**row))
            audit(connection, me.id, "make-token", f"{row['id']} {scope} {name}")
        return {n: row[n] for n in _SHOWN}, token

    def tokens(self, me: Signed) -> list[dict[str, Any]]:
        """One's own tokens that are neither revoked nor expired, the newest first."""
        with self.store.read() as connection:
            return [{n: getattr(row, n) for n in _SHOWN} for row in self._living(connection, me.id)]

    def revoke_token(self, me: Signed, id: str) -> None:
        """
        Raises:
            NotFound: one has no such token.
        """
        c = t.api_token.c
        with self.store.write() as connection:
            mine = (c.id == id) & (c.person_id == me.id) & c.revoked.is_(None)
            if connection.execute(update(t.api_token).where(mine).values(revoked=now())).rowcount == 0:
                raise NotFound("You have no such token. GET /api/v1/tokens lists yours.", field="id")
            audit(connection, me.id, "revoke-token", id)

    def revoke_all(self, connection: Connection, person: str) -> None:
        c = t.api_token.c
        connection.execute(update(t.api_token).where(c.person_id == person, c.revoked.is_(None)).values(revoked=now()))

    def _living(self, connection: Connection, person: str) -> list[Row[Any]]:
        c = t.api_token.c
        query = select(t.api_token).where(c.person_id == person, c.revoked.is_(None), c.expires > now())
        return list(connection.execute(query.order_by(c.created.desc())))


_SHOWN = ("id", "name", "scope", "created", "expires", "used")


def _signed(rows: list[Row[Any]], session: str | None = None, scope: Scope | None = None) -> Signed:
    first = rows[0]
    memberships = tuple(Membership(r.workspace, r.workspace_name, r.role) for r in rows if r.workspace is not None)
    return Signed(first.id, first.name, first.email, memberships, session, scope)
