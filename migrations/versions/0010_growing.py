"""Growing: events of the gateway in the order in which they are listed, and how far it has come what is forgotten.

The index is made while others wait to write events, a second for a million of them. Who has more makes it beforehand,
beside live traffic (`CREATE INDEX CONCURRENTLY`, docs/growing.md); then it is left as it is here.

Revision: 0010, after 0009
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_gateway_events_received_at_id", "gateway_events", ["received_at", "id"], if_not_exists=True)
    op.create_table(
        "retention_marks",
        sa.Column("name", sa.String(50), primary_key=True),
        sa.Column("reached", sa.Uuid(), nullable=False),
    )


def downgrade() -> None:
    op.drop_table("retention_marks")
    op.drop_index("ix_gateway_events_received_at_id", "gateway_events")
