"""People. In single-user mode one per browser profile, by a signed cookie; a new one gets a made-up name that can be changed."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from itsdangerous import BadSignature, URLSafeSerializer
from sqlalchemy import insert, select, update

from microtome.core.errors import InvalidInput
from microtome.store import Store
from microtome.store import tables as t
from microtome.store.events import audit
from microtome.store.times import now

_QUALITIES = (
    "Amber", "Bold", "Bright", "Calm", "Clever", "Curious", "Eager", "Gentle", "Keen", "Lively", "Merry", "Patient", "Quick",
    "Quiet", "Sharp", "Steady", "Sunny", "Swift", "Warm", "Wise",
)  # fmt: skip
_CREATURES = (
    "Badger", "Beaver", "Crane", "Dolphin", "Falcon", "Finch", "Fox", "Gecko", "Hare", "Heron", "Ibis", "Lynx", "Magpie",
    "Marten", "Otter", "Owl", "Puffin", "Raven", "Robin", "Seal", "Stork", "Swan", "Tern", "Wren",
)  # fmt: skip
Role = Literal["viewer", "annotator", "editor", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "annotator", "editor", "admin")  # from least to most
MAIN = "main"


@dataclass(frozen=True, slots=True)
class PersonRow:
    """Somebody, in one workspace. ``initials`` are shown in small circles.

    In single-user mode everybody is an admin of the workspace ``main``.
    """

    id: str
    name: str
    role: Role = "admin"
    workspace: str = MAIN

    def may(self, least: Role) -> bool:
        """True if the role is ``least`` or more."""
        return ROLES.index(self.role) >= ROLES.index(least)

    @property
    def initials(self) -> str:
        words = [w for w in self.name.split() if w[:1].isalnum()]
        letters = words[0][0] + words[-1][0] if len(words) > 1 else (words[0][:2] if words else "?")
        return letters.upper()

    def shape(self) -> dict[str, str]:
        return {"id": self.id, "name": self.name, "initials": self.initials}


#: Whoever reads on the command line, or in single-user mode before there is a cookie.
ANYBODY = PersonRow("", "")
#: Whoever reads by a share link in team mode: in no workspace.
OUTSIDER = PersonRow("", "", "viewer", "")


def secret(data_dir: Path) -> str:
    """The key that cookies are signed with, made once, readable by the owner only."""
    path = data_dir / "secret"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text("ascii")
    value = secrets.token_hex(32)
    with os.fdopen(handle, "w") as file:
        file.write(value)
    return value


class People:
    """Who is who."""

    def __init__(self, store: Store) -> None:
        self.store = store
        store.data_dir.mkdir(parents=True, exist_ok=True)
        self.key = secret(store.data_dir)
        self._signer = URLSafeSerializer(self.key, salt="person")

    def cookie(self, person: PersonRow) -> str:
        value = self._signer.dumps(person.id)
        return value if isinstance(value, str) else value.decode()

    def from_cookie(self, value: str | None) -> PersonRow | None:
        if not value:
            return None
        try:
            id = self._signer.loads(value)
        except BadSignature:
            return None
        return self.find(str(id))

    def find(self, id: str) -> PersonRow | None:
        with self.store.read() as connection:
            row = connection.execute(select(t.person).where(t.person.c.id == id)).one_or_none()
        return PersonRow(row.id, row.name) if row is not None else None

    def many(self, ids: set[str]) -> dict[str, PersonRow]:
        if not ids:
            return {}
        with self.store.read() as connection:
            rows = connection.execute(select(t.person).where(t.person.c.id.in_(ids)))
            return {row.id: PersonRow(row.id, row.name) for row in rows}

    def everybody(self) -> list[dict[str, Any]]:
        """The members of single-user mode: whoever opened the page once, the latest first."""
        query = select(t.person).where(t.person.c.state == "active").order_by(t.person.c.created.desc(), t.person.c.id).limit(500)
        with self.store.read() as connection:
            rows = connection.execute(query).all()
        return [{"person": PersonRow(r.id, r.name).shape(), "role": "admin", "since": r.created, "email": None} for r in rows]

    def create(self, name: str | None = None) -> PersonRow:
        person = PersonRow(secrets.token_hex(8), name or f"{secrets.choice(_QUALITIES)} {secrets.choice(_CREATURES)}")
        with self.store.write() as connection:
            connection.execute(insert(t.person).values(id=person.id, name=person.name, created=now()))
        return person

    def rename(self, person: PersonRow, name: str) -> PersonRow:
        plain = plain_name(name)
        with self.store.write() as connection:
            connection.execute(update(t.person).where(t.person.c.id == person.id).values(name=plain))
            audit(connection, person.id, "rename", plain)
        return replace(person, name=plain)


def plain_name(name: str) -> str:
    """
    Raises:
        InvalidInput: nothing of it is visible, or it is too long.
    """
    plain = " ".join(name.split())
    if not plain or not plain.isprintable() or len(plain) > 60:
        raise InvalidInput("A name has 1 to 60 visible characters and no control characters.", field="name")
    return plain
