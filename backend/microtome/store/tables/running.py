"""What keeps the server going: uploads, events, audit, remembered answers, workers."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Integer,
    LargeBinary,
    String,
    Table,
)

from microtome.store.tables.base import Json, Serial, metadata

upload = Table(
    "upload", metadata,
    Column("sha256", String(64), primary_key=True),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("person_id", String(32)),
    Column("created", String(32), nullable=False),
)  # fmt: skip

event = Table(
    "event", metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("type", String(20), nullable=False),
    Column("data", Json, nullable=False),
    Column("at", Float, nullable=False),
    Column("workspace_id", String(32)),  # only its members hear of it; null: everybody signed in
    Column("person_id", String(32)),  # only this person hears of it
    sqlite_autoincrement=True,
)  # fmt: skip

audit = Table(
    "audit", metadata,
    Column("id", Serial, primary_key=True, autoincrement=True),
    Column("at", String(32), nullable=False),
    Column("person_id", String(32)),
    Column("action", String(40), nullable=False),
    Column("subject", String(300), nullable=False),
    Column("workspace_id", String(32)),  # null: about the installation
    sqlite_autoincrement=True,
)  # fmt: skip

idempotency = Table(
    "idempotency", metadata,
    Column("key", String(64), primary_key=True),  # hash of person and the client's key
    Column("request", String(64), nullable=False),  # hash of method, path and body
    Column("status", Integer),  # null while the first one is under way
    Column("headers", Json),
    Column("body", LargeBinary),
    Column("at", Float, nullable=False),
)  # fmt: skip

worker = Table(
    "worker", metadata,
    Column("id", String(64), primary_key=True),
    Column("device", String(40), nullable=False),
    Column("state", String(10), nullable=False),
    Column("pid", Integer, nullable=False),
    Column("seen", Float, nullable=False),
)  # fmt: skip
