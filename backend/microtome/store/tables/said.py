"""What people say: annotations, saved selections, shares. All of it belongs to a workspace, and says who may see it."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
)

from microtome.store.tables.base import Json, Serial, metadata

annotation = Table(
    "annotation", metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("kind", String(8), nullable=False),
    Column("model", String(64), nullable=False),
    Column("model_hash", String(64), nullable=False),
    Column("layer", String(200), nullable=False),
    Column("unit", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("machine", Boolean, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("author_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("created", String(32), nullable=False),
    Column("changed_by_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("changed", String(32), nullable=False),
    Column("workspace_id", String(32), nullable=False, server_default="main"),
    Column("visibility", String(10), nullable=False, server_default="workspace"),
    Column("anchor", Json),  # {example, polygon}: the region of an image that a note is about
    Index("ix_annotation_unit", "model", "layer", "unit"),
    sqlite_autoincrement=True,
)  # fmt: skip

annotation_revision = Table(  # append-only: rows are never changed and never deleted
    "annotation_revision", metadata,
    Column("annotation_id", String(32), ForeignKey("annotation.id"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("body", Text, nullable=False),
    Column("anchor", Json),
    Column("deleted", Boolean, nullable=False),
    Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("at", String(32), nullable=False),
    Column("token", String(32)),  # of the Idempotency-Key: a retry after a crash finds what it has done
)  # fmt: skip

selection = Table(
    "selection", metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("model", String(64), nullable=False),
    Column("probe", String(64), nullable=False),
    Column("selection", Json, nullable=False),
    Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("created", String(32), nullable=False),
    Column("deleted", Boolean, nullable=False),
    Column("workspace_id", String(32), nullable=False, server_default="main"),
    Column("visibility", String(10), nullable=False, server_default="workspace"),
)  # fmt: skip

share = Table(
    "share", metadata,
    Column("id", String(32), primary_key=True),
    Column("state", Json, nullable=False),
    Column("frozen", Json, nullable=False),
    Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("created", String(32), nullable=False),
    Column("revoked", String(32)),
    Column("workspace_id", String(32), nullable=False, server_default="main"),
    Column("visibility", String(10), nullable=False, server_default="link"),
    Column("title", String(200)),
)  # fmt: skip

share_result = Table(  # what a share pins; without a foreign key on result, so that the claim outlives a forced removal
    "share_result", metadata,
    Column("share_id", String(32), ForeignKey("share.id", ondelete="CASCADE"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Index("ix_share_result_key", "key"),
)  # fmt: skip
