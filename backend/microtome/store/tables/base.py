"""What all tables share: their registry, the naming of constraints, the types that both databases know, and what changes by revisions."""

from __future__ import annotations

from typing import Any

import orjson
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Dialect,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)
Serial = BigInteger().with_variant(Integer, "sqlite")


class Json(TypeDecorator[Any]):
    """JSON kept as text, written and read by orjson."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        return None if value is None else orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY).decode()

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        return None if value is None else orjson.loads(value)


def changeable(name: str, *columns: Any) -> Table:
    """A thing with an author that changes by revisions."""
    return Table(
        name,
        metadata,
        Column("seq", Serial, primary_key=True, autoincrement=True),
        Column("id", String(32), nullable=False, unique=True),
        *columns,
        Column("revision", Integer, nullable=False),
        Column("deleted", Boolean, nullable=False),
        Column("author_id", String(32), ForeignKey("person.id"), nullable=False),
        Column("created", String(32), nullable=False),
        Column("changed_by_id", String(32), ForeignKey("person.id"), nullable=False),
        Column("changed", String(32), nullable=False),
        sqlite_autoincrement=True,
    )


def revisions(of: str, *columns: Any) -> Table:
    """Append-only: rows are never changed and never deleted."""
    return Table(
        f"{of}_revision",
        metadata,
        Column("of_id", String(32), ForeignKey(f"{of}.id"), primary_key=True),
        Column("revision", Integer, primary_key=True),
        *columns,
        Column("deleted", Boolean, nullable=False),
        Column("person_id", String(32), ForeignKey("person.id"), nullable=False),
        Column("at", String(32), nullable=False),
        Column("token", String(32)),
    )
