"""Auto top-up: a pack bought by itself from the saved card when a balance falls low. Only for who asked for it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, BigId, now


class TopUp(Base):
    """When `wallet` has less than `threshold` credits, buy `pack`, for at most `monthly_cap` minor units a month.

    `checkout_id` is the purchase under way: never two at once. After a declined card it rests until `paused_until`,
    each time longer; after too many in a row it stops until its owner sets it anew.
    """

    __tablename__ = "top_ups"
    __table_args__ = (
        CheckConstraint("threshold > 0 AND monthly_cap > 0", name="amounts_positive"),
        CheckConstraint("declines >= 0", name="declines_not_negative"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    wallet: Mapped[str] = mapped_column(String(50))
    pack: Mapped[str] = mapped_column(String(50))
    threshold: Mapped[int] = mapped_column(BigId)
    monthly_cap: Mapped[int] = mapped_column(BigId)
    currency: Mapped[str] = mapped_column(String(3))
    checkout_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkouts.id"))
    declines: Mapped[int] = mapped_column(default=0)
    paused_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
