"""Outputs: since when the files of a job are deleted, and which have been kept for how long.

Revision: 0008, after 0007
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

MOMENT = sa.String(26).with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("outputs_deleted_at", MOMENT, nullable=True))
    op.create_index(
        "ix_jobs_finished_at",
        "jobs",
        ["finished_at", "id"],
        postgresql_where=sa.text("""outputs @> CAST('[{"type": "file"}]' AS jsonb) AND outputs_deleted_at IS NULL"""),
        sqlite_where=sa.text("""instr(outputs, '"type": "file"') > 0 AND outputs_deleted_at IS NULL"""),
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_finished_at", "jobs")
    op.drop_column("jobs", "outputs_deleted_at")
