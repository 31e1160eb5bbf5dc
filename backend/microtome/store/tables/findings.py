"""Findings: claims with the numbers and views they rest on, and every time they were checked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, String, Table, Text

from microtome.store.tables.base import Json, Serial, changeable, metadata, revisions


def _content() -> list[Column[Any]]:
    return [
        Column("title", String(200), nullable=False),
        Column("claim", Text, nullable=False),
        Column("body", Text, nullable=False),
        Column("figures", Json, nullable=False),
        Column("evidence", Json, nullable=False),
        Column("provenance", Json, nullable=False),  # of every result it rests on, by key
        Column("tolerance", Float, nullable=False),  # relative: how far a number may lie from itself when it is computed again
        Column("visibility", String(10), nullable=False),
    ]


finding = changeable(  # ``seq`` is its number
    "finding",
    Column("workspace_id", String(32), nullable=False),
    Column("model", String(64)),
    Column("probe", String(64)),
    Column("origin", Json),  # what the file said that it was brought with, for findings from another installation
    *_content(),
    Index("ix_finding_workspace", "workspace_id", "seq"),
    Index("ix_finding_model", "model"),
)
finding_revision = revisions("finding", *_content())

finding_view = Table(  # the frozen views of its figures, of all its revisions; who sees the finding sees them
    "finding_view", metadata,
    Column("share_id", String(32), ForeignKey("share.id"), primary_key=True),
    Column("finding_id", String(32), ForeignKey("finding.id"), nullable=False),
    Index("ix_finding_view_finding", "finding_id"),
)  # fmt: skip

finding_result = Table(  # what it pins; without a foreign key on result, so that the claim outlives a forced removal
    "finding_result", metadata,
    Column("finding_id", String(32), ForeignKey("finding.id"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Index("ix_finding_result_key", "key"),
)  # fmt: skip

finding_check = Table(  # append-only, but for the outcome, which is written once, when all its runs have ended
    "finding_check", metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("finding_id", String(32), ForeignKey("finding.id"), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("at", String(32), nullable=False),
    Column("entries", Json, nullable=False),
    Column("outcome", Json),
    Column("ended", String(32)),
    Index("ix_finding_check_finding", "finding_id", "seq"),
    sqlite_autoincrement=True,
)  # fmt: skip
