"""Who works here: people and how they sign in, workspaces and who is in them. Secrets are kept as hashes only."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    false,
)

from microtome.store.tables.base import metadata

person = Table(
    "person", metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(60), nullable=False),
    Column("created", String(32), nullable=False),
    Column("email", String(254)),  # in lower case; null for people of single-user mode and removed ones
    Column("password", String(200)),  # Argon2id, with its parameters; null where there is none
    Column("state", String(10), nullable=False, server_default="active"),  # or removed: the row stays, for what they wrote
    Column("hidden", Boolean, nullable=False, server_default=false()),  # does not want to be seen looking at things
    Index("uq_person_email", "email", unique=True),
)  # fmt: skip

workspace = Table(
    "workspace", metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(60), nullable=False),
    Column("created", String(32), nullable=False),
)  # fmt: skip

member = Table(
    "member", metadata,
    Column("workspace_id", String(32), ForeignKey("workspace.id"), primary_key=True),
    Column("person_id", String(32), ForeignKey("person.id"), primary_key=True),
    Column("role", String(10), nullable=False),
    Column("since", String(32), nullable=False),
    Index("ix_member_person", "person_id"),
)  # fmt: skip

invitation = Table(  # also the one-use link with which somebody sets a new password: then person_id says whose
    "invitation", metadata,
    Column("id", String(32), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("workspace_id", String(32), ForeignKey("workspace.id"), nullable=False),
    Column("role", String(10), nullable=False),
    Column("email", String(254)),  # only this address may use it; null for anybody who has the link
    Column("person_id", String(32), ForeignKey("person.id")),
    Column("made_by_id", String(32), ForeignKey("person.id")),  # null when made on the command line
    Column("created", String(32), nullable=False),
    Column("expires", String(32), nullable=False),
    Column("used", String(32)),
    Column("used_by_id", String(32), ForeignKey("person.id")),
    Column("revoked", String(32)),
    Index("ix_invitation_workspace", "workspace_id", "created"),
)  # fmt: skip

session = Table(
    "session", metadata,
    Column("id", String(32), primary_key=True),  # names it in lists; what the cookie holds is another number
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("created", String(32), nullable=False),
    Column("seen", String(32), nullable=False),
    Column("expires", String(32), nullable=False),
    Column("agent", String(120), nullable=False),
    Index("ix_session_person", "person_id"),
)  # fmt: skip

api_token = Table(
    "api_token", metadata,
    Column("id", String(32), primary_key=True),
    Column("token_hash", String(64), nullable=False, unique=True),
    Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("name", String(60), nullable=False),
    Column("scope", String(10), nullable=False),
    Column("created", String(32), nullable=False),
    Column("expires", String(32), nullable=False),
    Column("used", String(32)),
    Column("revoked", String(32)),
    Index("ix_api_token_person", "person_id"),
)  # fmt: skip

identity = Table(  # who somebody is at an OpenID provider
    "identity", metadata,
    Column("issuer", String(300), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("created", String(32), nullable=False),
    Index("ix_identity_person", "person_id"),
)  # fmt: skip

failure = Table(  # failed sign-ins, by account and by address; in the database so that several processes agree
    "failure", metadata,
    Column("key", String(64), primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("until", Float, nullable=False),
)  # fmt: skip
