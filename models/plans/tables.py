"""The subscriptions' table: which plan, in which version, a user has or had."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.catalog import Billing
from models.database import AwareDateTime, Base, BigId, now, words


class Origin(StrEnum):
    """Who gave a user a plan."""

    signup = "signup"
    admin = "admin"
    promo = "promo"
    payment = "payment"


class Subscription(Base):
    """One user's time with one version of a plan, from `started_at` until `ended_at`; one at a time.

    `ref` names the business fact that started it. `ends_at` is when it is over unless something happens before. Cycles
    are months counted from `anchor_at`: the start, but for the plan of sign-up, which counts on where it was left, or
    everyone who falls back to it would get its credits anew. A plan that is paid gives what begins before `paid_until`;
    without one it is not paid for, and gives for as long as it lasts. Cycles of the same `series` are the same ones,
    whatever plan they were spent on: who changes plans or comes back is given them once.
    """

    __tablename__ = "subscriptions"
    __table_args__ = (
        UniqueConstraint("ref"),
        CheckConstraint("ended_at IS NULL OR ended_at >= started_at", name="ends_after_start"),
        Index(
            "uq_subscriptions_user_id_open",
            "user_id",
            unique=True,
            postgresql_where=text("ended_at IS NULL"),
            sqlite_where=text("ended_at IS NULL"),
        ),
        Index("ix_subscriptions_user_id", "user_id"),
        Index(
            "ix_subscriptions_ends_at",
            "ends_at",
            postgresql_where=text("ended_at IS NULL AND ends_at IS NOT NULL"),
            sqlite_where=text("ended_at IS NULL AND ends_at IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    plan_version_id: Mapped[int] = mapped_column(BigId, ForeignKey("plan_versions.id"))
    origin: Mapped[Origin] = mapped_column(words(Origin, "origin"))
    billing: Mapped[Billing | None] = mapped_column(words(Billing, "billing"))
    ref: Mapped[str] = mapped_column(String(200))
    started_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    anchor_at: Mapped[datetime] = mapped_column(AwareDateTime)
    ends_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    series: Mapped[str | None] = mapped_column(String(100))
    paid_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
