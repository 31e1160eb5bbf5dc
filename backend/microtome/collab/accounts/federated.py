"""Accounts of people who sign in at an OpenID provider."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, insert, select, update

from microtome.collab.accounts.accounts import Accounts, plain_email
from microtome.collab.accounts.workspaces import join
from microtome.collab.people import MAIN, Role, plain_name
from microtome.core.errors import Forbidden, InvalidInput
from microtome.store import tables as t
from microtome.store.events import audit
from microtome.store.times import now


class NoAccount(Forbidden):
    """``reason`` is one word for the page that signs in: no-account, unverified."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class Federated:
    """
    Args:
        accounts: where people are.
        domains: of addresses that may join without an invitation.
        role: what these become in the first workspace.
    """

    def __init__(self, accounts: Accounts, domains: Sequence[str], role: Role) -> None:
        self.accounts, self.store = accounts, accounts.store
        self.domains, self.role = {d.lower().lstrip("@") for d in domains}, role

    def sign_in(self, issuer: str, subject: str, email: str | None, verified: bool, name: str, agent: str) -> str:
        """What the cookie of the new session holds.

        Somebody who was here before is known by issuer and subject, whatever their address is now. Somebody new needs a verified
        address with an account, an invitation, or a domain that may join. An account that another subject of the issuer has used is
        not theirs. One that is found by its address has not shown that the address is its own, so its password, sessions and tokens
        end: they may be of somebody who took the address first.

        Raises:
            NoAccount: nothing lets them in.
        """
        with self.store.write(lock="members") as connection:
            here = (t.identity.c.issuer == issuer) & (t.identity.c.subject == subject)
            query = select(t.person.c.id).join(t.identity, t.identity.c.person_id == t.person.c.id)
            person = connection.execute(query.where(here, t.person.c.state == "active")).scalar()
            if person is None:
                person = self._new(connection, issuer, email, verified, name)
                connection.execute(insert(t.identity).values(issuer=issuer, subject=subject, person_id=person, created=now()))
                audit(connection, person, "link-identity", issuer)
            return self.accounts.sessions.open(connection, str(person), agent)

    def _new(self, connection: Connection, issuer: str, email: str | None, verified: bool, name: str) -> str:
        try:
            address = plain_email(email or "")
        except InvalidInput:
            address = ""
        if not address or not verified:
            raise NoAccount("unverified", "The provider does not say that your e-mail address is verified. Ask its administrator.")
        found = connection.execute(select(t.person.c.id).where(t.person.c.email == address, t.person.c.state == "active")).scalar()
        offers = self.accounts.invitations.for_email(connection, address)
        welcome = address.rsplit("@", 1)[1] in self.domains
        if found is not None:
            person = str(found)
            known = (t.identity.c.issuer == issuer) & (t.identity.c.person_id == person)
            if connection.execute(select(t.identity.c.subject).where(known)).first() is not None:
                # the provider itself says that this is somebody else: an address that was given to another person
                raise NoAccount("no-account", "This address belongs to another account of the provider. Ask an admin of the server.")
            connection.execute(update(t.person).where(t.person.c.id == person).values(password=None))
            self.accounts.sessions.end_all(connection, person)
            self.accounts.sessions.revoke_all(connection, person)
        elif offers or welcome:
            try:
                shown = plain_name(name[:60])
            except InvalidInput:
                shown = address.split("@")[0][:60]
            person = self.accounts.add(connection, shown, address, None)
        else:
            raise NoAccount("no-account", "Nobody has invited this address. Ask an admin of the server for an invitation.")
        for offer in offers:
            used = {"used": now(), "used_by_id": person}
            connection.execute(update(t.invitation).where(t.invitation.c.id == offer.id).values(**used))
            join(connection, offer.workspace_id, person, offer.role)
            audit(connection, person, "join", f"{offer.id} {offer.role}", offer.workspace_id)
        if found is None and not offers:
            join(connection, MAIN, person, self.role)
            audit(connection, person, "join", f"by domain {self.role}", MAIN)
        return person
