"""Models, probe sets, runs and their results."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)

from microtome.store.tables.base import Json, Serial, metadata


def _versions(name: str) -> Table:
    """One row per version: a changed file makes a new row, the old one stays for the results that were made from it."""
    return Table(
        name,
        metadata,
        Column("id", Serial, primary_key=True, autoincrement=True),
        Column("slug", String(64), nullable=False),
        Column("source", Text, nullable=False),
        Column("hash", String(64), nullable=False),
        Column("current", Boolean, nullable=False),
        Column("state", String(10), nullable=False),
        Column("problem", Text),
        Column("added", String(32), nullable=False),
        Column("description", Json, nullable=False),
        Index(
            f"uq_{name}_current",
            "slug",
            unique=True,
            sqlite_where=text("current"),
            postgresql_where=text("current"),
        ),
        Index(f"ix_{name}_hash", "hash"),
        sqlite_autoincrement=True,
    )


model = _versions("model")
probe_set = _versions("probe_set")

layer = Table(
    "layer", metadata,
    Column("model_id", Serial, ForeignKey("model.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("label", String(200), nullable=False),
    Column("kind", String(200), nullable=False),
    Column("units", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("width", Integer, nullable=False),
    Column("chosen", Boolean, nullable=False),
    Column("depth", Integer, nullable=False),
)  # fmt: skip

concept = Table(
    "concept", metadata,
    Column("probe_id", Serial, ForeignKey("probe_set.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(200), nullable=False),
    Column("category", String(100), nullable=False),
)  # fmt: skip

run = Table(
    "run", metadata,
    Column("seq", Serial, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False, unique=True),
    Column("method", String(60), nullable=False),
    Column("title", String(200), nullable=False),
    Column("system", Boolean, nullable=False),  # adding a model or probe set
    Column("request_key", String(64), nullable=False),
    Column("model", String(64)),
    Column("subjects", Json, nullable=False),
    Column("params", Json, nullable=False),
    Column("plan", Json, nullable=False),  # what the worker needs beyond subjects: sources, hashes, keys built on
    Column("state", String(10), nullable=False),
    Column("priority", Integer, nullable=False),  # 1 interactive, 0 batch
    Column("after", String(32)),  # a run that must have ended before
    Column("cached", Boolean, nullable=False),
    Column("person_id", String(32)),
    Column("created", String(32), nullable=False),
    Column("started", String(32)),
    Column("ended", String(32)),
    Column("seconds", Float),
    Column("forward_passes", BigInteger),
    Column("progress", Json),
    Column("error", Json),
    Column("cancel", Boolean, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("owner", String(64)),
    Column("lease", Float),  # unix time until which the owner is believed alive
    Column("pass_key", String(64)),  # equal for runs whose recorders fit into one pass
    Index("ix_run_queue", "state", "priority", "seq"),
    Index("ix_run_request", "request_key", "state"),
    Index("ix_run_model", "model", "seq"),
    Index("ix_run_pass", "pass_key", "state"),
    sqlite_autoincrement=True,
)  # fmt: skip

run_part = Table(
    "run_part", metadata,
    Column("run_id", String(32), ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("part", String(200), nullable=False),
    Column("key", String(64), nullable=False),
    Index("ix_run_part_key", "key"),
)  # fmt: skip

result = Table(
    "result", metadata,
    Column("key", String(64), primary_key=True),
    Column("number", Integer),  # of its row_set
    Column("method", String(60), nullable=False),
    Column("version", String(20), nullable=False),
    Column("part", String(200), nullable=False),
    Column("run_id", String(32)),
    Column("subjects", Json, nullable=False),
    Column("params", Json, nullable=False),
    Column("group_key", String(64), nullable=False),  # the same for all parts of one question
    Column("builds_on", Json, nullable=False),
    Column("model_hash", String(64)),
    Column("probe_hash", String(64)),
    Column("provenance", Json, nullable=False),
    Column("created", String(32), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("used", Float, nullable=False),
    Index("ix_result_subject", "model_hash", "probe_hash", "method"),
    Index("ix_result_group", "group_key"),
    Index("uq_result_number", "number", unique=True),
)  # fmt: skip

result_item = Table(
    "result_item", metadata,
    Column("key", String(64), ForeignKey("result.key", ondelete="CASCADE"), primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("position", Integer, nullable=False),
    Column("kind", String(40), nullable=False),
    Column("document", Json, nullable=False),
    Column("arrays", Json, nullable=False),  # name -> {sha256, dtype, shape, bytes}
)  # fmt: skip

result_blob = Table(
    "result_blob", metadata,
    Column("key", String(64), ForeignKey("result.key", ondelete="CASCADE"), primary_key=True),
    Column("sha256", String(64), ForeignKey("blob.sha256"), primary_key=True),
    Index("ix_result_blob_sha256", "sha256"),
)  # fmt: skip

blob = Table(
    "blob", metadata,
    Column("sha256", String(64), primary_key=True),
    Column("bytes", BigInteger, nullable=False),
    Column("dtype", String(20), nullable=False),
    Column("shape", Json, nullable=False),
    Column("data", LargeBinary),  # null when it is in a file
)  # fmt: skip


row_set = Table(  # a short name for the rows of one result; they are written before the result that makes them visible
    "row_set", metadata,
    Column("number", Serial, primary_key=True, autoincrement=True),
    Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip


def _rows(name: str, *columns: Any) -> Table:
    """Rows of results, by the number of their set. One tree holds row and primary key, so a million units stay small.

    There is no foreign key: checking one for each of twenty million rows costs more than the rows. Whoever removes a result
    removes its rows (``store.index.drop_rows``).
    """
    return Table(name, metadata, Column("result", Integer, primary_key=True, autoincrement=False), *columns, sqlite_with_rowid=False)


unit_stat = _rows(
    "unit_stat",
    Column("unit", Integer, primary_key=True, autoincrement=False),
    *(Column(name, Float) for name in (
        "mean", "std", "min", "max", "threshold", "attained", "density", "best_iou", "best_ceiling", "best_chance",
    )),
    *(Column(name, Boolean) for name in ("dead", "constant", "ties", "detector")),
    Column("active_positions", BigInteger),
    Column("best_concept", String(300)),
    Column("best_category", String(100)),
    Index("ix_unit_stat_best", "best_concept", "best_iou"),
)  # fmt: skip

unit_concept = _rows(
    "unit_concept",
    Column("unit", Integer, primary_key=True, autoincrement=False),
    Column("rank", SmallInteger, primary_key=True, autoincrement=False),
    Column("concept", String(300), nullable=False),
    Column("iou", Float, nullable=False),
    Column("ceiling", Float),
    Column("chance", Float),
    Index("ix_unit_concept_concept", "concept", "iou"),
)  # fmt: skip

exemplar = _rows(  # in the order of the question that it answers: which units does this example drive, hardest first
    "exemplar",
    Column("example", Integer, primary_key=True, autoincrement=False),
    Column("rank", SmallInteger, primary_key=True, autoincrement=False),
    Column("unit", Integer, primary_key=True, autoincrement=False),
    Column("activation", REAL, nullable=False),
    Column("site_row", SmallInteger, nullable=False),
    Column("site_column", SmallInteger, nullable=False),
)  # fmt: skip
