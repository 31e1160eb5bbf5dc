"""first schema"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "blob",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("dtype", sa.String(length=20), nullable=False),
        sa.Column("shape", sa.Text(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=True),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_blob")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("type", sa.String(length=20), nullable=False),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "idempotency",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("headers", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=True),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_idempotency")),
    )
    op.create_table(
        "model",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("added", sa.String(length=32), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_model")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("model", schema=None) as batch_op:
        batch_op.create_index("ix_model_hash", ["hash"], unique=False)
        batch_op.create_index(
            "uq_model_current", ["slug"], unique=True, sqlite_where=sa.text("current"), postgresql_where=sa.text("current")
        )

    op.create_table(
        "person",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=60), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
    )
    op.create_table(
        "probe_set",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("slug", sa.String(length=64), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("current", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("problem", sa.Text(), nullable=True),
        sa.Column("added", sa.String(length=32), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_probe_set")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("probe_set", schema=None) as batch_op:
        batch_op.create_index("ix_probe_set_hash", ["hash"], unique=False)
        batch_op.create_index(
            "uq_probe_set_current", ["slug"], unique=True, sqlite_where=sa.text("current"), postgresql_where=sa.text("current")
        )

    op.create_table(
        "result",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("method", sa.String(length=60), nullable=False),
        sa.Column("version", sa.String(length=20), nullable=False),
        sa.Column("part", sa.String(length=200), nullable=False),
        sa.Column("run_id", sa.String(length=32), nullable=True),
        sa.Column("subjects", sa.Text(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("group_key", sa.String(length=64), nullable=False),
        sa.Column("builds_on", sa.Text(), nullable=False),
        sa.Column("model_hash", sa.String(length=64), nullable=True),
        sa.Column("probe_hash", sa.String(length=64), nullable=True),
        sa.Column("provenance", sa.Text(), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("used", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_result")),
    )
    with op.batch_alter_table("result", schema=None) as batch_op:
        batch_op.create_index("ix_result_group", ["group_key"], unique=False)
        batch_op.create_index("ix_result_subject", ["model_hash", "probe_hash", "method"], unique=False)

    op.create_table(
        "run",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("method", sa.String(length=60), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("system", sa.Boolean(), nullable=False),
        sa.Column("request_key", sa.String(length=64), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=True),
        sa.Column("subjects", sa.Text(), nullable=False),
        sa.Column("params", sa.Text(), nullable=False),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("after", sa.String(length=32), nullable=True),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=True),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.Column("started", sa.String(length=32), nullable=True),
        sa.Column("ended", sa.String(length=32), nullable=True),
        sa.Column("seconds", sa.Float(), nullable=True),
        sa.Column("forward_passes", sa.BigInteger(), nullable=True),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("cancel", sa.Boolean(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("lease", sa.Float(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_run")),
        sa.UniqueConstraint("id", name=op.f("uq_run_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index("ix_run_model", ["model", "seq"], unique=False)
        batch_op.create_index("ix_run_queue", ["state", "priority", "seq"], unique=False)
        batch_op.create_index("ix_run_request", ["request_key", "state"], unique=False)

    op.create_table(
        "upload",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=True),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_upload")),
    )
    op.create_table(
        "worker",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("device", sa.String(length=40), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("seen", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_worker")),
    )
    op.create_table(
        "annotation",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("model_hash", sa.String(length=64), nullable=False),
        sa.Column("layer", sa.String(length=200), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("machine", sa.Boolean(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("author_id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.Column("changed_by_id", sa.String(length=32), nullable=False),
        sa.Column("changed", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["person.id"], name=op.f("fk_annotation_author_id")),
        sa.ForeignKeyConstraint(["changed_by_id"], ["person.id"], name=op.f("fk_annotation_changed_by_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_annotation")),
        sa.UniqueConstraint("id", name=op.f("uq_annotation_id")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("annotation", schema=None) as batch_op:
        batch_op.create_index("ix_annotation_unit", ["model", "layer", "unit"], unique=False)

    op.create_table(
        "concept",
        sa.Column("probe_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("category", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(["probe_id"], ["probe_set.id"], name=op.f("fk_concept_probe_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("probe_id", "position", name=op.f("pk_concept")),
    )
    op.create_table(
        "exemplar",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("band", sa.String(length=20), nullable=False),
        sa.Column("example", sa.Integer(), nullable=False),
        sa.Column("activation", sa.Float(), nullable=False),
        sa.Column("site_row", sa.Integer(), nullable=False),
        sa.Column("site_column", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["result.key"], name=op.f("fk_exemplar_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "unit", "slot", name=op.f("pk_exemplar")),
    )
    op.create_table(
        "layer",
        sa.Column("model_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("kind", sa.String(length=200), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("chosen", sa.Boolean(), nullable=False),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["model_id"], ["model.id"], name=op.f("fk_layer_model_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("model_id", "position", name=op.f("pk_layer")),
    )
    op.create_table(
        "result_blob",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["result.key"], name=op.f("fk_result_blob_key"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["sha256"], ["blob.sha256"], name=op.f("fk_result_blob_sha256")),
        sa.PrimaryKeyConstraint("key", "sha256", name=op.f("pk_result_blob")),
    )
    with op.batch_alter_table("result_blob", schema=None) as batch_op:
        batch_op.create_index("ix_result_blob_sha256", ["sha256"], unique=False)

    op.create_table(
        "result_item",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=40), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("arrays", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["key"], ["result.key"], name=op.f("fk_result_item_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "name", name=op.f("pk_result_item")),
    )
    op.create_table(
        "run_part",
        sa.Column("run_id", sa.String(length=32), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("part", sa.String(length=200), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], name=op.f("fk_run_part_run_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("pk_run_part")),
    )
    with op.batch_alter_table("run_part", schema=None) as batch_op:
        batch_op.create_index("ix_run_part_key", ["key"], unique=False)

    op.create_table(
        "selection",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("probe", sa.String(length=64), nullable=False),
        sa.Column("selection", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_selection_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_selection")),
    )
    op.create_table(
        "share",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("frozen", sa.Text(), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.Column("revoked", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_share_person_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_share")),
    )
    op.create_table(
        "unit_concept",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("concept", sa.String(length=300), nullable=False),
        sa.Column("iou", sa.Float(), nullable=False),
        sa.Column("ceiling", sa.Float(), nullable=True),
        sa.Column("chance", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["key"], ["result.key"], name=op.f("fk_unit_concept_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "unit", "rank", name=op.f("pk_unit_concept")),
    )
    with op.batch_alter_table("unit_concept", schema=None) as batch_op:
        batch_op.create_index("ix_unit_concept_concept", ["concept", "iou"], unique=False)

    op.create_table(
        "unit_stat",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("unit", sa.Integer(), nullable=False),
        sa.Column("mean", sa.Float(), nullable=True),
        sa.Column("std", sa.Float(), nullable=True),
        sa.Column("min", sa.Float(), nullable=True),
        sa.Column("max", sa.Float(), nullable=True),
        sa.Column("threshold", sa.Float(), nullable=True),
        sa.Column("attained", sa.Float(), nullable=True),
        sa.Column("density", sa.Float(), nullable=True),
        sa.Column("best_iou", sa.Float(), nullable=True),
        sa.Column("best_ceiling", sa.Float(), nullable=True),
        sa.Column("best_chance", sa.Float(), nullable=True),
        sa.Column("dead", sa.Boolean(), nullable=True),
        sa.Column("constant", sa.Boolean(), nullable=True),
        sa.Column("ties", sa.Boolean(), nullable=True),
        sa.Column("detector", sa.Boolean(), nullable=True),
        sa.Column("active_positions", sa.BigInteger(), nullable=True),
        sa.Column("best_concept", sa.String(length=300), nullable=True),
        sa.Column("best_category", sa.String(length=100), nullable=True),
        sa.ForeignKeyConstraint(["key"], ["result.key"], name=op.f("fk_unit_stat_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key", "unit", name=op.f("pk_unit_stat")),
    )
    with op.batch_alter_table("unit_stat", schema=None) as batch_op:
        batch_op.create_index("ix_unit_stat_best", ["best_concept", "best_iou"], unique=False)

    op.create_table(
        "annotation_revision",
        sa.Column("annotation_id", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["annotation_id"], ["annotation.id"], name=op.f("fk_annotation_revision_annotation_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_annotation_revision_person_id")),
        sa.PrimaryKeyConstraint("annotation_id", "revision", name=op.f("pk_annotation_revision")),
    )
    op.create_table(
        "share_result",
        sa.Column("share_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["share_id"], ["share.id"], name=op.f("fk_share_result_share_id"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("share_id", "key", name=op.f("pk_share_result")),
    )
    with op.batch_alter_table("share_result", schema=None) as batch_op:
        batch_op.create_index("ix_share_result_key", ["key"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("share_result", schema=None) as batch_op:
        batch_op.drop_index("ix_share_result_key")

    op.drop_table("share_result")
    op.drop_table("annotation_revision")
    with op.batch_alter_table("unit_stat", schema=None) as batch_op:
        batch_op.drop_index("ix_unit_stat_best")

    op.drop_table("unit_stat")
    with op.batch_alter_table("unit_concept", schema=None) as batch_op:
        batch_op.drop_index("ix_unit_concept_concept")

    op.drop_table("unit_concept")
    op.drop_table("share")
    op.drop_table("selection")
    with op.batch_alter_table("run_part", schema=None) as batch_op:
        batch_op.drop_index("ix_run_part_key")

    op.drop_table("run_part")
    op.drop_table("result_item")
    with op.batch_alter_table("result_blob", schema=None) as batch_op:
        batch_op.drop_index("ix_result_blob_sha256")

    op.drop_table("result_blob")
    op.drop_table("layer")
    op.drop_table("exemplar")
    op.drop_table("concept")
    with op.batch_alter_table("annotation", schema=None) as batch_op:
        batch_op.drop_index("ix_annotation_unit")

    op.drop_table("annotation")
    op.drop_table("worker")
    op.drop_table("upload")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index("ix_run_request")
        batch_op.drop_index("ix_run_queue")
        batch_op.drop_index("ix_run_model")

    op.drop_table("run")
    with op.batch_alter_table("result", schema=None) as batch_op:
        batch_op.drop_index("ix_result_subject")
        batch_op.drop_index("ix_result_group")

    op.drop_table("result")
    with op.batch_alter_table("probe_set", schema=None) as batch_op:
        batch_op.drop_index("uq_probe_set_current", sqlite_where=sa.text("current"), postgresql_where=sa.text("current"))
        batch_op.drop_index("ix_probe_set_hash")

    op.drop_table("probe_set")
    op.drop_table("person")
    with op.batch_alter_table("model", schema=None) as batch_op:
        batch_op.drop_index("uq_model_current", sqlite_where=sa.text("current"), postgresql_where=sa.text("current"))
        batch_op.drop_index("ix_model_hash")

    op.drop_table("model")
    op.drop_table("idempotency")
    op.drop_table("event")
    op.drop_table("blob")
    op.drop_table("audit")
