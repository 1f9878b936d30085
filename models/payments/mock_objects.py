"""What the mock gateway keeps: its own customers, pages, intents and so on, as real-shaped JSON.

They are the mock's, as Stripe's are Stripe's: no verb of the product reads them, only `worker/payments/mock/` does.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, Json, now
from models.payments.tables import GATEWAY_ID


class MockObject(Base):
    """One object of the mock gateway. `key` is the idempotency key it was made with."""

    __tablename__ = "mock_objects"
    __table_args__ = (Index("ix_mock_objects_kind_changed_at", "kind", "changed_at"),)

    id: Mapped[str] = mapped_column(String(GATEWAY_ID), primary_key=True)
    kind: Mapped[str] = mapped_column(String(50))
    key: Mapped[str | None] = mapped_column(String(GATEWAY_ID), unique=True)
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    changed_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
