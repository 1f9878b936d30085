"""Providers: which of them are out of order, and how much of each is in use; and jobs that wait in line.

Revision: 0007, after 0006
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


IN_LINE = sa.text("status = 'queued' AND waits_for IS NOT NULL")


def upgrade() -> None:
    op.add_column("jobs", sa.Column("waits_for", sa.String(50)))
    op.create_index(
        "ix_jobs_waits_for",
        "jobs",
        ["waits_for", "user_id", "queue", "id"],
        postgresql_where=IN_LINE,
        sqlite_where=IN_LINE,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_waits_for", "jobs")
    op.drop_column("jobs", "waits_for")
