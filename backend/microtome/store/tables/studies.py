"""Hypotheses and studies: what was predicted before it was measured, and what people could tell from explanations."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from microtome.store.tables.base import Json, changeable, metadata, revisions


def _card() -> list[Column[Any]]:
    return [
        Column("statement", Text, nullable=False),
        Column("prediction", Text, nullable=False),
        Column("test", Json, nullable=False),  # {method, subjects, params}
        Column("control", Json, nullable=False),  # {subjects, params, reference?}
        Column("reference", Json, nullable=False),  # which number of the results
        Column("comparison", String(8), nullable=False),  # above, below
        Column("threshold", Float, nullable=False),
        Column("interval", Boolean, nullable=False),  # the whole 95 % interval must lie on one side
        Column("predicted", String(32), nullable=False),  # when the prediction was last made: nothing above changed since
        Column("note", Text, nullable=False),
        Column("start", Json),  # {at, by, test_run, control_run, known_before}; null while it is not started
    ]


hypothesis = changeable(  # the outcome is computed from the results, never kept
    "hypothesis",
    Column("workspace_id", String(32), nullable=False),
    Column("visibility", String(10), nullable=False),
    Column("model", String(64), nullable=False),
    Column("told", String(32)),  # when its author was told of the outcome
    *_card(),
    Index("ix_hypothesis_place", "workspace_id", "model"),
    Index("ix_hypothesis_told", "told"),
)
hypothesis_revision = revisions("hypothesis", *_card())

hypothesis_result = Table(  # what it pins; without a foreign key on result, so that the record outlives a forced removal
    "hypothesis_result", metadata,
    Column("hypothesis_id", String(32), ForeignKey("hypothesis.id"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Index("ix_hypothesis_result_key", "key"),
)  # fmt: skip


def _study() -> list[Column[Any]]:
    return [
        Column("name", String(100), nullable=False),
        Column("instructions", Text, nullable=False),
        Column("design", Json, nullable=False),
        Column("state", String(8), nullable=False),  # draft, open, closed
    ]


study = changeable(
    "study",
    Column("workspace_id", String(32), nullable=False),
    Column("prepared", Json),  # {design, runs, tasks?}: what was asked for so that tasks can be made; null before
    *_study(),
    Index("ix_study_workspace", "workspace_id"),
)
study_revision = revisions("study", *_study())

study_result = Table(
    "study_result", metadata,
    Column("study_id", String(32), ForeignKey("study.id"), primary_key=True),
    Column("key", String(64), primary_key=True),
    Index("ix_study_result_key", "key"),
)  # fmt: skip

study_task = Table(  # written once, when the study is opened
    "study_task", metadata,
    Column("study_id", String(32), ForeignKey("study.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content", Json, nullable=False),  # what its pictures are made from
    Column("choices", Json, nullable=False),
    Column("truth", Integer, nullable=False),  # place in choices; leaves the server when the study is closed
    Column("attention", Boolean, nullable=False),  # a check of attention: the text says what to choose
)  # fmt: skip

study_participant = Table(
    "study_participant", metadata,
    Column("study_id", String(32), ForeignKey("study.id"), primary_key=True),
    Column("person_id", String(32), ForeignKey("person.id"), primary_key=True),
    Column("number", Integer, nullable=False),  # decides which condition each task has, and the order
    Column("joined", String(32), nullable=False),
    UniqueConstraint("study_id", "number"),
)  # fmt: skip


def _placed(name: str, *columns: Any) -> Table:
    """Append-only: once for each person and place in their order of tasks."""
    return Table(
        name, metadata,
        Column("study_id", String(32), ForeignKey("study.id"), primary_key=True),
        Column("person_id", String(32), ForeignKey("person.id"), primary_key=True),
        Column("place", Integer, primary_key=True, autoincrement=False),
        *columns,
    )  # fmt: skip


study_shown = _placed("study_shown", Column("at", String(32), nullable=False))  # when the server first gave it out
study_answer = _placed(
    "study_answer",
    Column("task", Integer, nullable=False),
    Column("condition", Integer, nullable=False),
    Column("choice", Integer, nullable=False),  # place in the choices of the task
    Column("confidence", Integer),
    Column("milliseconds", Integer),  # as the participant's browser measured it
    Column("at", String(32), nullable=False),
    Column("token", String(32)),
)
