"""Who is looking at what, and who may see what somebody else keeps private."""

from __future__ import annotations

from sqlalchemy import Column, Float, ForeignKey, Index, String, Table

from microtome.store.tables.base import Json, metadata

presence = Table(  # one row for each person in each server process that holds a stream of theirs; expires when nobody renews it
    "presence", metadata,
    Column("workspace_id", String(32), primary_key=True),
    Column("person_id", String(32), ForeignKey("person.id"), primary_key=True),
    Column("process", String(32), primary_key=True),
    Column("place", Json),
    Column("seen", Float, nullable=False),  # unix time
    Index("ix_presence_seen", "seen"),
)  # fmt: skip

permit = Table(  # this person sees this private thing too; ids of annotations, selections and shares are random, so one column is enough
    "permit", metadata,
    Column("subject_id", String(32), primary_key=True),
    Column("person_id", String(32), ForeignKey("person.id"), primary_key=True),
    Column("by_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("at", String(32), nullable=False),
    Index("ix_permit_person", "person_id"),
)  # fmt: skip
