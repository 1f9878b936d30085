"""Billing: the subscriptions that are paid through the gateway, and what their state means for the plan of a user."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from models.catalog import Billing
from models.database import AwareDateTime, Base, BigId, words
from models.payments.facts import SubscriptionStatus
from models.payments.tables import GATEWAY_ID

GOING_ON = "ended_at IS NULL"


class BilledSubscription(Base):
    """One subscription at the gateway, by its id there (`sub_…`); a user has at most one going on.

    `plan` and `billing` are what is paid for now, in the version `plan_version_id` that was sold; `next_plan` and
    `next_billing` what follows when the period ends. What was paid reaches to `paid_until`; only until then does the
    plan give credits. `past_due_since` is when a payment first failed; the features last for a grace period from then.
    """

    __tablename__ = "billed_subscriptions"
    __table_args__ = (
        Index(
            "uq_billed_subscriptions_user_id_going_on", "user_id", unique=True,
            postgresql_where=text(GOING_ON), sqlite_where=text(GOING_ON),
        ),
        Index("ix_billed_subscriptions_user_id", "user_id"),
        Index(
            "ix_billed_subscriptions_period_ends_at", "period_ends_at",
            postgresql_where=text(GOING_ON), sqlite_where=text(GOING_ON),
        ),
    )  # fmt: skip

    id: Mapped[str] = mapped_column(String(GATEWAY_ID), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    subscription_id: Mapped[int | None] = mapped_column(BigId, ForeignKey("subscriptions.id"))
    plan: Mapped[str] = mapped_column(String(50))
    plan_version_id: Mapped[int] = mapped_column(BigId, ForeignKey("plan_versions.id"))
    billing: Mapped[Billing] = mapped_column(words(Billing, "billing"))
    next_plan: Mapped[str | None] = mapped_column(String(50))
    next_billing: Mapped[Billing | None] = mapped_column(words(Billing, "next_billing"))
    status: Mapped[SubscriptionStatus] = mapped_column(words(SubscriptionStatus, "status"))
    period_starts_at: Mapped[datetime] = mapped_column(AwareDateTime)
    period_ends_at: Mapped[datetime] = mapped_column(AwareDateTime)
    paid_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    trial_ends_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    cancels_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    past_due_since: Mapped[datetime | None] = mapped_column(AwareDateTime)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
