"""Attempts: what each run of a job used, and what it cost us; and how the charge of a job follows what is made.

Revision: 0006, after 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

JSON = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
MOMENT = sa.String(26).with_variant(sa.DateTime(timezone=True), "postgresql")
CLOCK = {"postgresql": "now()", "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))"}
ENDINGS = ("completed", "failed", "canceled", "requeued", "stale", "lost")


def upgrade() -> None:
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("provider", sa.String(length=50), nullable=True),
        sa.Column("model", sa.String(length=200), nullable=True),
        sa.Column("provider_request_id", sa.String(length=255), nullable=True),
        sa.Column("started_at", MOMENT, nullable=True),
        sa.Column("ended_at", MOMENT, server_default=sa.text(CLOCK[op.get_bind().dialect.name]), nullable=False),
        sa.Column(
            "ending",
            sa.Enum(*ENDINGS, name="ending", native_enum=False, create_constraint=True, length=32),
            nullable=False,
        ),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("usage", JSON, nullable=True),
        sa.Column("cost_micros", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("number > 0", name=op.f("ck_attempts_counted_from_one")),
        sa.CheckConstraint("cost_micros >= 0", name=op.f("ck_attempts_cost_not_negative")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_attempts_job_id_jobs")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_attempts")),
    )
    op.add_column("jobs", sa.Column("settling", JSON, nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "settling")
    op.drop_table("attempts")
