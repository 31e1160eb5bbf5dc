"""Signing in, joining, changing the password, leaving: what one does with one's own account."""

from __future__ import annotations

import re
import secrets
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from microtome.collab.accounts import passwords
from microtome.collab.accounts.invitations import Invitations
from microtome.collab.accounts.lockout import Lockout
from microtome.collab.accounts.sessions import Sessions
from microtome.collab.accounts.signed import Signed
from microtome.collab.accounts.workspaces import Workspaces, forget_person, join
from microtome.collab.people import MAIN, Role, plain_name
from microtome.core.errors import Conflict, Forbidden, InvalidInput, NotFound
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import audit
from microtome.store.times import now

WRONG = "The e-mail address or the password is wrong. Try again, or ask an admin for a link to set a new password."


class Accounts:
    """All of team mode's accounts, over one store."""

    def __init__(self, store: Store, key: str, hours: int) -> None:
        self.store = store
        self.sessions = Sessions(store, key, hours)
        self.workspaces = Workspaces(store, self.sessions)
        self.invitations = Invitations(store)
        self.lockout = Lockout(store)

    def sign_in(self, email: str, password: str, address: str, agent: str) -> str:
        """What the cookie of the new session holds. An unknown account takes as long as a wrong password, and says the same.

        Raises:
            TooManyRequests: after too many failures of this account or address. Forbidden: it is wrong.
        """
        plain = plain_email(email, strict=False)
        self.lockout.attempt(plain, address)
        with self.store.read() as connection:
            row = connection.execute(select(t.person).where(t.person.c.email == plain, t.person.c.state == "active")).one_or_none()
        kept = row.password if row is not None else None
        if not passwords.verify(kept, password) or row is None or kept is None:
            with self.store.write() as connection:
                audit(connection, row.id if row is not None else None, "sign-in-failed", address)
            raise Forbidden(WRONG, field="password")
        self.lockout.forgive(plain, address)
        again = passwords.hashed(password) if passwords.outdated(kept) else kept
        with self.store.write() as connection:
            if again != kept:
                connection.execute(update(t.person).where(t.person.c.id == row.id).values(password=again))
            return self.sessions.open(connection, row.id, agent)

    def confirm(self, me: Signed, password: str, address: str) -> None:
        """Ask for the password once more before something that cannot be undone. An account without one is not asked.

        Raises:
            TooManyRequests, Forbidden: as in :meth:`sign_in`.
        """
        with self.store.read() as connection:
            kept = connection.execute(select(t.person.c.password).where(t.person.c.id == me.id)).scalar()
        if kept is None:
            return
        # not the key of sign-in, so that others who guess there keep nobody from changing the password; no address has capitals
        name = f"CONFIRM {me.id}"
        self.lockout.attempt(name, address)
        if not passwords.verify(kept, password):
            raise Forbidden("The present password is wrong.", field="current")
        self.lockout.forgive(name, address)

    def change_password(self, me: Signed, current: str, new: str, address: str, agent: str) -> str:
        """Set a new password, end all sessions and revoke all API tokens; returns the cookie of the session that goes on."""
        passwords.check_new(new, me.name, me.email)
        self.confirm(me, current, address)
        kept = passwords.hashed(new)
        with self.store.write() as connection:
            connection.execute(update(t.person).where(t.person.c.id == me.id).values(password=kept))
            self.sessions.end_all(connection, me.id)
            self.sessions.revoke_all(connection, me.id)
            audit(connection, me.id, "change-password", me.id)
            return self.sessions.open(connection, me.id, agent)

    def join_new(self, token: str, name: str, email: str, password: str, agent: str) -> str:
        """Make an account with an invitation; returns the cookie of its first session.

        Raises:
            NotFound: the link does not work. InvalidInput: name, address or password will not do. Conflict: the address has an account.
        """
        plain, address = plain_name(name), plain_email(email)
        with self.store.read() as connection:
            offer = self.invitations.peek(connection, token)
        if offer.person_id is not None:
            raise InvalidInput("This link sets a new password; it makes no account.", field="token")
        if offer.email is not None and offer.email != address:
            raise InvalidInput("This invitation is for another e-mail address.", field="email")
        kept = passwords.hashed(passwords.check_new(password, plain, address))
        with self.store.write(lock="members") as connection:
            person = self.add(connection, plain, address, kept)
            row = self.invitations.use(connection, token, person)
            join(connection, row.workspace_id, person, row.role)
            audit(connection, person, "join", f"{row.id} {row.role}", row.workspace_id)
            return self.sessions.open(connection, person, agent)

    def join_known(self, me: Signed, token: str) -> None:
        """Join one more workspace with an invitation.

        Raises:
            NotFound: the link does not work. InvalidInput: it is for somebody else.
        """
        with self.store.write(lock="members") as connection:
            row = self.invitations.use(connection, token, me.id)
            if row.person_id is not None or (row.email is not None and row.email != me.email):
                raise InvalidInput("This link is for somebody else.", field="token")
            join(connection, row.workspace_id, me.id, row.role)
            audit(connection, me.id, "join", f"{row.id} {row.role}", row.workspace_id)

    def reset_password(self, token: str, password: str, agent: str) -> str:
        """Set a new password with the link that an admin made; all sessions and API tokens end. Returns the new session's cookie."""
        with self.store.read() as connection:
            offer = self.invitations.peek(connection, token)
            person = connection.execute(select(t.person).where(t.person.c.id == offer.person_id)).one_or_none()
        if person is None or person.state != "active":
            raise InvalidInput("This link makes an account; give a name and an e-mail address too.", field="token")
        kept = passwords.hashed(passwords.check_new(password, person.name, person.email))
        with self.store.write() as connection:
            self.invitations.use(connection, token, person.id)
            connection.execute(update(t.person).where(t.person.c.id == person.id).values(password=kept))
            self.sessions.end_all(connection, person.id)
            self.sessions.revoke_all(connection, person.id)
            audit(connection, person.id, "reset-password", person.id)
            return self.sessions.open(connection, person.id, agent)

    def leave(self, me: Signed) -> None:
        """End one's own account. What one wrote stays, of a "removed user"."""
        with self.store.write(lock="members") as connection:
            forget_person(connection, self.sessions, me.id)
            audit(connection, me.id, "delete-account", me.id)

    # --- for the command line and for single sign-on ----------------------------------------------------------------

    def add(self, connection: Connection, name: str, email: str, password: str | None) -> str:
        """A new account without a workspace; returns its id. ``password`` is hashed already.

        Raises:
            Conflict: the address has an account.
        """
        id = secrets.token_hex(8)
        try:
            connection.execute(insert(t.person).values(id=id, name=name, created=now(), email=email, password=password))
        except IntegrityError:
            raise Conflict(
                "There is an account with this e-mail address. Sign in with it, then open the link again.", field="email"
            ) from None
        audit(connection, id, "make-account", id)
        return id

    def create(self, name: str, email: str, password: str, role: Role, workspace: str = MAIN) -> str:
        """An account in a workspace, made on the command line; returns its id."""
        plain, address = plain_name(name), plain_email(email)
        kept = passwords.hashed(passwords.check_new(password, plain, address))
        with self.store.write(lock="members") as connection:
            person = self.add(connection, plain, address, kept)
            join(connection, workspace, person, role)
            audit(connection, None, "make-admin" if role == "admin" else "join", person, workspace)
        return person

    def by_email(self, email: str) -> Any:
        """
        Raises:
            NotFound: nobody has this address.
        """
        plain = plain_email(email)
        with self.store.read() as connection:
            row = connection.execute(select(t.person).where(t.person.c.email == plain, t.person.c.state == "active")).one_or_none()
        if row is None:
            raise NotFound(f"There is no account with the address {plain}.", field="email")
        return row

    def active(self, person: str) -> bool:
        """True if this is an account that somebody can use."""
        alive = (t.person.c.id == person) & (t.person.c.state == "active") & t.person.c.email.is_not(None)
        with self.store.read() as connection:
            return connection.execute(select(t.person.c.id).where(alive)).first() is not None

    def sign_out_all(self) -> int:
        """End all sessions of everybody; returns how many there were."""
        with self.store.write() as connection:
            count = connection.execute(delete(t.session)).rowcount
            audit(connection, None, "sign-out-all", str(count))
        return int(count)

    def have_admin(self) -> bool:
        """True if somebody can administer the installation."""
        query = (
            select(func.count())
            .select_from(t.member)
            .join(t.person, t.person.c.id == t.member.c.person_id)
            .where(t.member.c.workspace_id == MAIN, t.member.c.role == "admin", t.person.c.state == "active")
            .where(t.person.c.email.is_not(None))
        )
        with self.store.read() as connection:
            return bool(connection.execute(query).scalar_one())


def plain_email(text: str, *, strict: bool = True) -> str:
    """
    Raises:
        InvalidInput: it is no address; with ``strict`` off nothing is refused, since such an account just does not exist.
    """
    plain = text.strip().lower()
    if strict and (len(plain) > 254 or not plain.isprintable() or not re.fullmatch(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)*", plain)):
        raise InvalidInput(f"'{plain[:100]}' is not an e-mail address. Write one as name@example.org.", field="email")
    return plain
