"""Referrals: who brought whom, and the credits both get for it."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, now


class ReferralCode(Base):
    """The code that a user hands on."""

    __tablename__ = "referral_codes"
    __table_args__ = (UniqueConstraint("code"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    code: Mapped[str] = mapped_column(String(16))


class Referral(Base):
    """`referrer_id` brought `referred_id`, who was brought by nobody else. Rewarded once, at `rewarded_at`."""

    __tablename__ = "referrals"
    __table_args__ = (
        CheckConstraint("referrer_id <> referred_id", name="not_self"),
        Index("ix_referrals_referrer_id", "referrer_id"),
    )

    referred_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    referrer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    rewarded_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
