"""runs that can share a pass are found by its key"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # A plain ALTER: a nullable column needs no copy of the table, which on SQLite would cascade into what refers to it.
    op.add_column("run", sa.Column("pass_key", sa.String(length=64), nullable=True))
    op.create_index("ix_run_pass", "run", ["pass_key", "state"])


def downgrade() -> None:
    op.drop_index("ix_run_pass", table_name="run")
    op.drop_column("run", "pass_key")
