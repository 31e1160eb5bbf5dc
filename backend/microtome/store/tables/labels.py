"""Labels as data: label sets, their units, ratings, decisions; and what people say to each other about them.

A thing that can change has a row of its own and a table of revisions, which is append-only (``collab.revisions``). ``token`` is
made from the Idempotency-Key of the write, so that a retry after a crash finds what it has already done.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from microtome.store.tables.base import Json, Serial, changeable, metadata, revisions


def _set_content() -> list[Column[Any]]:
    return [
        Column("name", String(100), nullable=False),
        Column("question", Text, nullable=False),
        Column("schema", Json, nullable=False),
        Column("version", Integer, nullable=False),  # of question and schema; answers name theirs
        Column("raters", Integer, nullable=False),
        Column("blind", Boolean, nullable=False),
        Column("closed", Boolean, nullable=False),
    ]


label_set = changeable(
    "label_set",
    Column("workspace_id", String(32), nullable=False),
    Column("model", String(64), nullable=False),
    Column("model_hash", String(64), nullable=False),
    Column("probe", String(64)),
    Column("selection", Json),  # the predicate that its units were found by, if it was one
    Column("imported", Json),  # {by, at, sha256, ignored, mark}: authors and times of imported rows are what the file says
    *_set_content(),
    Index("ix_label_set_place", "workspace_id", "model"),
)
label_set_revision = revisions("label_set", *_set_content())

label_unit = Table(  # units are added and never taken away, so that a place means the same for ever
    "label_unit", metadata,
    Column("set_id", String(32), ForeignKey("label_set.id"), primary_key=True),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("layer", String(200), nullable=False),
    Column("unit", Integer, nullable=False),
    UniqueConstraint("set_id", "layer", "unit"),
)  # fmt: skip


def _answer() -> list[Column[Any]]:
    return [
        Column("answer", Json, nullable=False),
        Column("value", String(64), nullable=False),  # equal for answers that agree (collab.labels.schema)
        Column("version", Integer, nullable=False),
        Column("informed", Boolean, nullable=False),  # others' answers could be seen when it was given
    ]


rating = changeable(
    "rating",
    Column("set_id", String(32), ForeignKey("label_set.id"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("rater", String(150), nullable=False),  # p:<person>, or m:<name>@<version> for a machine
    Column("machine", Json),
    *_answer(),
    UniqueConstraint("set_id", "place", "rater"),
    Index("ix_rating_rater", "set_id", "rater"),
)
rating_revision = revisions("rating", *_answer(), Column("batch", String(32), index=True))

label_batch = Table(  # ratings that were written in one go, and can be undone in one
    "label_batch", metadata,
    Column("id", String(32), primary_key=True),
    Column("set_id", String(32), ForeignKey("label_set.id"), nullable=False),
    Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("at", String(32), nullable=False),
    Column("ratings", Integer, nullable=False),
    Column("undone", String(32)),
)  # fmt: skip


def _of_person(name: str, *columns: Any) -> Table:
    """Something about one person and one unit of a label set."""
    return Table(
        name, metadata,
        Column("set_id", String(32), ForeignKey("label_set.id"), primary_key=True),
        Column("place", Integer, primary_key=True, autoincrement=False),
        Column("person_id", String(32), ForeignKey("person.id"), primary_key=True),
        *columns,
    )  # fmt: skip


label_assignment = _of_person("label_assignment", Column("by_id", String(32), nullable=False), Column("at", String(32), nullable=False))
label_lease = _of_person("label_lease", Column("until", Float, nullable=False))  # unix time
label_reveal = _of_person("label_reveal", Column("at", String(32), nullable=False))  # who looked before answering

decision = changeable(
    "decision",
    Column("set_id", String(32), ForeignKey("label_set.id"), nullable=False),
    Column("place", Integer, nullable=False),
    Column("answer", Json, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("set_id", "place"),
)
decision_revision = revisions(
    "decision",
    Column("answer", Json, nullable=False),
    Column("version", Integer, nullable=False),
    Column("reason", Text, nullable=False),
)

comment = changeable(
    "comment",
    Column("workspace_id", String(32), nullable=False),
    Column("subject", String(12), nullable=False),  # unit, annotation, rating, result
    Column("subject_id", String(300), nullable=False),
    Column("parent_id", String(32)),
    Column("body", Text, nullable=False),
    Index("ix_comment_subject", "subject", "subject_id"),
)
comment_revision = revisions("comment", Column("body", Text, nullable=False))

vote = Table(
    "vote", metadata,
    Column("subject", String(12), primary_key=True),
    Column("subject_id", String(32), primary_key=True),
    Column("person_id", String(32), ForeignKey("person.id"), primary_key=True),
    Column("value", Integer, nullable=False),  # 1 for, -1 against
    Column("at", String(32), nullable=False),
)  # fmt: skip

notification = Table(
    "notification", metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
    Column("workspace_id", String(32), nullable=False),
    Column("kind", String(10), nullable=False),  # mention, reply, assigned
    Column("subject", String(12), nullable=False),
    Column("subject_id", String(300), nullable=False),
    Column("comment_id", String(32)),
    Column("actor_id", String(32), nullable=False),
    Column("at", String(32), nullable=False),
    Column("read", String(32)),
    Index("ix_notification_person", "person_id", "read"),
    sqlite_autoincrement=True,
)  # fmt: skip
