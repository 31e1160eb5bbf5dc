"""Who is asking: somebody signed in, by a session of a browser or by an API token, in one of their workspaces."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Literal

from microtome.collab.people import ROLES, PersonRow, Role
from microtome.core.errors import NotFound
from microtome.core.keys import sha256

Scope = Literal["read", "write", "admin"]
#: The most that a token of a scope may be, whatever its owner is.
CAPS: dict[Scope, Role] = {"read": "viewer", "write": "editor", "admin": "admin"}


@dataclass(frozen=True, slots=True)
class Membership:
    """A workspace that somebody is in."""

    id: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Signed:
    """An account that has shown who it is. Exactly one of ``session`` and ``scope`` is set."""

    id: str
    name: str
    email: str | None
    memberships: tuple[Membership, ...]
    session: str | None = None
    scope: Scope | None = None

    def in_workspace(self, wanted: str | None) -> PersonRow | None:
        """The person with the role there; in the first workspace if none is named, None if there is none.

        Raises:
            NotFound: not a member of the workspace that is named, or there is no such.
        """
        found = next((m for m in self.memberships if wanted in (None, m.id)), None)
        if found is None:
            if wanted is not None:
                raise NotFound(f"There is no workspace '{wanted[:32]}'. GET /api/v1/workspaces lists yours.", field="X-Workspace")
            return None
        role = found.role if self.scope is None else ROLES[min(ROLES.index(found.role), ROLES.index(CAPS[self.scope]))]
        return PersonRow(self.id, self.name, role, found.id)


def new_secret(prefix: str = "") -> str:
    """256 bits that nobody can guess."""
    return prefix + secrets.token_urlsafe(32)


def digest(token: str) -> str:
    """What is kept of a secret. It has 256 bits of its own, so one round of SHA-256 is enough."""
    return sha256(token.encode("utf-8", "surrogatepass"))
