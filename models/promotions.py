"""Promotional codes: redeemed once by each user, within their window, up to their cap."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, BigId, now


class PromotionUse(Base):
    """How many users have redeemed a code."""

    __tablename__ = "promotion_uses"
    __table_args__ = (CheckConstraint("redeemed >= 0", name="redeemed_not_negative"),)

    code: Mapped[str] = mapped_column(String(40), primary_key=True)
    redeemed: Mapped[int]


class Redemption(Base):
    """One code, redeemed by one user."""

    __tablename__ = "redemptions"
    __table_args__ = (UniqueConstraint("user_id", "code"), Index("ix_redemptions_user_id_id", "user_id", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    code: Mapped[str] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
