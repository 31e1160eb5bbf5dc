"""rows of results by number instead of key, exemplars by example, columns of unit tables as arrays"""

import hashlib

import numpy as np
import orjson
import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATS = (
    "mean", "std", "min", "max", "threshold", "attained", "density", "best_iou", "best_ceiling", "best_chance", "dead",
    "constant", "ties", "detector", "active_positions", "best_concept", "best_category",
)  # fmt: skip
STACKS = {"number": ("numbers", np.float64), "integer": ("integers", np.int64), "flag": ("flags", np.bool_), "text": ("codes", np.int32)}


def upgrade() -> None:
    op.add_column("result", sa.Column("number", sa.Integer(), nullable=True))
    op.execute(
        "UPDATE result SET number = named.number "
        "FROM (SELECT key, row_number() OVER (ORDER BY created, key) AS number FROM result) AS named WHERE named.key = result.key"
    )
    op.create_index("uq_result_number", "result", ["number"], unique=True)
    op.create_table(
        "row_set",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_row_set"),
        sqlite_autoincrement=True,
    )
    op.execute("INSERT INTO row_set (number, at) SELECT number, 0 FROM result")
    if op.get_bind().dialect.name != "sqlite":
        op.execute("SELECT setval(pg_get_serial_sequence('row_set', 'number'), (SELECT count(*) + 1 FROM row_set), false)")
    _rows()
    _tables()


def _rows() -> None:
    """The same rows in narrower tables. Their indexes keep their names, so the old tables go before the new ones get theirs."""
    for index, table in (("ix_unit_stat_best", "unit_stat"), ("ix_unit_concept_concept", "unit_concept")):
        op.drop_index(index, table_name=table)
    for table in ("unit_stat", "unit_concept", "exemplar"):
        op.rename_table(table, f"old_{table}")
        if op.get_bind().dialect.name != "sqlite":  # a constraint keeps its name when its table is renamed
            op.execute(f"ALTER INDEX pk_{table} RENAME TO pk_old_{table}")
    op.create_table(
        "unit_stat",
        sa.Column("result", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Integer(), autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Float(), nullable=True) for name in STATS[:10]),
        *(sa.Column(name, sa.Boolean(), nullable=True) for name in STATS[10:14]),
        sa.Column("active_positions", sa.BigInteger(), nullable=True),
        sa.Column("best_concept", sa.String(length=300), nullable=True),
        sa.Column("best_category", sa.String(length=100), nullable=True),
        sa.PrimaryKeyConstraint("result", "unit", name="pk_unit_stat"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_unit_stat_best", "unit_stat", ["best_concept", "best_iou"])
    op.create_table(
        "unit_concept",
        sa.Column("result", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rank", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("concept", sa.String(length=300), nullable=False),
        sa.Column("iou", sa.Float(), nullable=False),
        sa.Column("ceiling", sa.Float(), nullable=True),
        sa.Column("chance", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("result", "unit", "rank", name="pk_unit_concept"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_unit_concept_concept", "unit_concept", ["concept", "iou"])
    op.create_table(
        "exemplar",
        sa.Column("result", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("example", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("rank", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("unit", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("activation", sa.REAL(), nullable=False),
        sa.Column("site_row", sa.SmallInteger(), nullable=False),
        sa.Column("site_column", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("result", "example", "rank", "unit", name="pk_exemplar"),
        sqlite_with_rowid=False,
    )
    for table, columns, source in (
        ("unit_stat", ("unit", *STATS), None),
        ("unit_concept", ("unit", "rank", "concept", "iou", "ceiling", "chance"), None),
        (
            "exemplar", ("example", "rank", "unit", "activation", "site_row", "site_column"),
            ("example", "slot", "unit", "activation", "site_row", "site_column"),
        ),
    ):  # fmt: skip
        into, chosen = (", ".join(f'"{c}"' for c in names) for names in (columns, source or columns))
        op.execute(
            f"INSERT INTO {table} (result, {into}) SELECT result.number, {chosen} "  # noqa: S608 -- names from above
            f"FROM old_{table} AS old JOIN result ON result.key = old.key"
        )
        op.drop_table(f"old_{table}")


def _tables() -> None:
    """Unit tables that kept their values in the document get them as arrays, in SQL: what was in the document was small."""
    connection = op.get_bind()
    item = sa.table("result_item", *(sa.column(n) for n in ("key", "name", "kind", "document", "arrays")))
    found = connection.execute(sa.select(item.c.key, item.c.name).where(item.c.kind == "unit-table")).all()
    for key, name in found:
        here = (item.c.key == key) & (item.c.name == name)
        document = orjson.loads(connection.execute(sa.select(item.c.document).where(here)).scalar_one())
        arrays = {"units": np.array(document.pop("units"), np.int32)}
        stacks: dict[str, list[np.ndarray]] = {}
        for column in document["columns"]:
            stack, dtype = STACKS[column["type"]]
            values = column.pop("values")
            column["names"] = []
            if column["type"] == "text":
                column["names"] = sorted({v for v in values if v is not None})
                place = {text: i for i, text in enumerate(column["names"])}
                values = [place.get(v, -1) for v in values]
            elif column["type"] == "number":
                values = [np.nan if v is None else v for v in values]
            stacks.setdefault(stack, []).append(np.array(values, dtype))
        arrays |= {stack: np.stack(values) for stack, values in stacks.items()}
        refs = {array: _blob(connection, key, values) for array, values in arrays.items()}
        size = sum(ref["bytes"] for ref in refs.values())
        connection.execute(sa.update(item).where(here).values(document=orjson.dumps(document).decode(), arrays=orjson.dumps(refs).decode()))
        connection.execute(sa.text("UPDATE result SET bytes = bytes + :size WHERE key = :key"), {"size": size, "key": key})


def _blob(connection: sa.Connection, key: str, values: np.ndarray) -> dict:
    digest = hashlib.sha256(f"{values.dtype.name}{values.shape}".encode())
    digest.update(values.tobytes())
    sha = digest.hexdigest()
    shape = list(values.shape)
    blob = {"sha": sha, "bytes": values.nbytes, "dtype": values.dtype.name, "shape": orjson.dumps(shape).decode(), "data": values.tobytes()}
    insert = "INSERT INTO blob (sha256, bytes, dtype, shape, data) VALUES (:sha, :bytes, :dtype, :shape, :data)"
    connection.execute(sa.text(f"{insert} ON CONFLICT DO NOTHING"), blob)
    connection.execute(
        sa.text("INSERT INTO result_blob (key, sha256) VALUES (:key, :sha) ON CONFLICT DO NOTHING"), {"key": key, "sha": sha}
    )
    return {"sha256": sha, "dtype": values.dtype.name, "shape": shape, "bytes": values.nbytes}


def downgrade() -> None:
    raise RuntimeError("Values that were moved into arrays are not moved back. Restore the copy made before the upgrade.")
