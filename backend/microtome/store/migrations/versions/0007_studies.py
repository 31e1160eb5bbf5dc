"""studies and hypotheses"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SERIAL = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "hypothesis",
        sa.Column("seq", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", sa.String(length=32), nullable=False),
        sa.Column("visibility", sa.String(length=10), nullable=False),
        sa.Column("model", sa.String(length=64), nullable=False),
        sa.Column("told", sa.String(length=32), nullable=True),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("prediction", sa.Text(), nullable=False),
        sa.Column("test", sa.Text(), nullable=False),
        sa.Column("control", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("comparison", sa.String(length=8), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("interval", sa.Boolean(), nullable=False),
        sa.Column("predicted", sa.String(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("start", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("author_id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.Column("changed_by_id", sa.String(length=32), nullable=False),
        sa.Column("changed", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["person.id"], name=op.f("fk_hypothesis_author_id")),
        sa.ForeignKeyConstraint(["changed_by_id"], ["person.id"], name=op.f("fk_hypothesis_changed_by_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_hypothesis")),
        sa.UniqueConstraint("id", name=op.f("uq_hypothesis_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_hypothesis_place", "hypothesis", ["workspace_id", "model"], unique=False)
    op.create_index("ix_hypothesis_told", "hypothesis", ["told"], unique=False)
    op.create_table(
        "study",
        sa.Column("seq", SERIAL, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("workspace_id", sa.String(length=32), nullable=False),
        sa.Column("prepared", sa.Text(), nullable=True),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("instructions", sa.Text(), nullable=False),
        sa.Column("design", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("author_id", sa.String(length=32), nullable=False),
        sa.Column("created", sa.String(length=32), nullable=False),
        sa.Column("changed_by_id", sa.String(length=32), nullable=False),
        sa.Column("changed", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["author_id"], ["person.id"], name=op.f("fk_study_author_id")),
        sa.ForeignKeyConstraint(["changed_by_id"], ["person.id"], name=op.f("fk_study_changed_by_id")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_study")),
        sa.UniqueConstraint("id", name=op.f("uq_study_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_study_workspace", "study", ["workspace_id"], unique=False)
    op.create_table(
        "hypothesis_result",
        sa.Column("hypothesis_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["hypothesis_id"], ["hypothesis.id"], name=op.f("fk_hypothesis_result_hypothesis_id")),
        sa.PrimaryKeyConstraint("hypothesis_id", "key", name=op.f("pk_hypothesis_result")),
    )
    op.create_index("ix_hypothesis_result_key", "hypothesis_result", ["key"], unique=False)
    op.create_table(
        "hypothesis_revision",
        sa.Column("of_id", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("prediction", sa.Text(), nullable=False),
        sa.Column("test", sa.Text(), nullable=False),
        sa.Column("control", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("comparison", sa.String(length=8), nullable=False),
        sa.Column("threshold", sa.Float(), nullable=False),
        sa.Column("interval", sa.Boolean(), nullable=False),
        sa.Column("predicted", sa.String(length=32), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("start", sa.Text(), nullable=True),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["of_id"], ["hypothesis.id"], name=op.f("fk_hypothesis_revision_of_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_hypothesis_revision_person_id")),
        sa.PrimaryKeyConstraint("of_id", "revision", name=op.f("pk_hypothesis_revision")),
    )
    op.create_table(
        "study_answer",
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("task", sa.Integer(), nullable=False),
        sa.Column("condition", sa.Integer(), nullable=False),
        sa.Column("choice", sa.Integer(), nullable=False),
        sa.Column("confidence", sa.Integer(), nullable=True),
        sa.Column("milliseconds", sa.Integer(), nullable=True),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_study_answer_person_id")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_study_answer_study_id")),
        sa.PrimaryKeyConstraint("study_id", "person_id", "place", name=op.f("pk_study_answer")),
    )
    op.create_table(
        "study_participant",
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("joined", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_study_participant_person_id")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_study_participant_study_id")),
        sa.PrimaryKeyConstraint("study_id", "person_id", name=op.f("pk_study_participant")),
        sa.UniqueConstraint("study_id", "number", name=op.f("uq_study_participant_study_id_number")),
    )
    op.create_table(
        "study_result",
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_study_result_study_id")),
        sa.PrimaryKeyConstraint("study_id", "key", name=op.f("pk_study_result")),
    )
    op.create_index("ix_study_result_key", "study_result", ["key"], unique=False)
    op.create_table(
        "study_revision",
        sa.Column("of_id", sa.String(length=32), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("instructions", sa.Text(), nullable=False),
        sa.Column("design", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.Column("token", sa.String(length=32), nullable=True),
        sa.ForeignKeyConstraint(["of_id"], ["study.id"], name=op.f("fk_study_revision_of_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_study_revision_person_id")),
        sa.PrimaryKeyConstraint("of_id", "revision", name=op.f("pk_study_revision")),
    )
    op.create_table(
        "study_shown",
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_study_shown_person_id")),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_study_shown_study_id")),
        sa.PrimaryKeyConstraint("study_id", "person_id", "place", name=op.f("pk_study_shown")),
    )
    op.create_table(
        "study_task",
        sa.Column("study_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("choices", sa.Text(), nullable=False),
        sa.Column("truth", sa.Integer(), nullable=False),
        sa.Column("attention", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["study.id"], name=op.f("fk_study_task_study_id")),
        sa.PrimaryKeyConstraint("study_id", "number", name=op.f("pk_study_task")),
    )


def downgrade() -> None:
    raise RuntimeError("What people wrote is not thrown away. Restore the copy made before the upgrade.")
