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


MOMENT = sa.String(26).with_variant(sa.DateTime(timezone=True), "postgresql")
IN_LINE = sa.text("status = 'queued' AND waits_for IS NOT NULL")
AT_PROVIDER = sa.text("status IN ('running', 'canceling') AND at_provider IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "provider_states",
        sa.Column("provider", sa.String(50), primary_key=True),
        sa.Column("failures", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("openings", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("open_until", MOMENT),
        sa.Column("probe", sa.Uuid()),
        sa.Column("last_error", sa.String(64)),
        sa.Column("window_at", MOMENT),
        sa.Column("window_count", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.CheckConstraint("failures >= 0 AND openings >= 0", name="counts_not_negative"),
    )
    op.add_column("jobs", sa.Column("waits_for", sa.String(50)))
    op.add_column("jobs", sa.Column("put_back_at", MOMENT))
    op.add_column("jobs", sa.Column("at_provider", sa.String(50)))
    op.add_column("jobs", sa.Column("fallback", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_index(
        "ix_jobs_at_provider", "jobs", ["at_provider"], postgresql_where=AT_PROVIDER, sqlite_where=AT_PROVIDER
    )
    op.create_index(
        "ix_jobs_waits_for",
        "jobs",
        ["waits_for", "user_id", "queue", "id"],
        postgresql_where=IN_LINE,
        sqlite_where=IN_LINE,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_waits_for", "jobs")
    op.drop_index("ix_jobs_at_provider", "jobs")
    op.drop_column("jobs", "fallback")
    op.drop_column("jobs", "at_provider")
    op.drop_column("jobs", "put_back_at")
    op.drop_column("jobs", "waits_for")
    op.drop_table("provider_states")
