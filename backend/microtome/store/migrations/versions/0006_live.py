"""who may see what is private, and who is looking at what"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "presence",
        sa.Column("workspace_id", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("process", sa.String(length=32), nullable=False),
        sa.Column("place", sa.Text(), nullable=True),
        sa.Column("seen", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_presence_person_id")),
        sa.PrimaryKeyConstraint("workspace_id", "person_id", "process", name=op.f("pk_presence")),
    )
    op.create_index("ix_presence_seen", "presence", ["seen"], unique=False)
    op.create_table(
        "permit",
        sa.Column("subject_id", sa.String(length=32), nullable=False),
        sa.Column("person_id", sa.String(length=32), nullable=False),
        sa.Column("by_id", sa.String(length=32), nullable=False),
        sa.Column("at", sa.String(length=32), nullable=False),
        sa.ForeignKeyConstraint(["by_id"], ["person.id"], name=op.f("fk_permit_by_id")),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name=op.f("fk_permit_person_id")),
        sa.PrimaryKeyConstraint("subject_id", "person_id", name=op.f("pk_permit")),
    )
    op.create_index("ix_permit_person", "permit", ["person_id"], unique=False)
    op.add_column("person", sa.Column("hidden", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("annotation", sa.Column("anchor", sa.Text(), nullable=True))
    op.add_column("annotation_revision", sa.Column("anchor", sa.Text(), nullable=True))
    op.add_column("share", sa.Column("title", sa.String(length=200), nullable=True))


def downgrade() -> None:
    raise RuntimeError("What people wrote is not thrown away. Restore the copy made before the upgrade.")
