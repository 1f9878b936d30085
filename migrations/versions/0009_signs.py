"""Signs of life of the system's parts, and the request that a message goes back to.

Revision: 0009, after 0008
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

MOMENT = sa.String(26).with_variant(sa.DateTime(timezone=True), "postgresql")


def upgrade() -> None:
    op.create_table(
        "signs",
        sa.Column("name", sa.String(150), primary_key=True),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("value", sa.BigInteger()),
    )
    op.add_column("outbox", sa.Column("request_id", sa.String(64)))


def downgrade() -> None:
    op.drop_column("outbox", "request_id")
    op.drop_table("signs")
