"""The tables of payments: customers, checkouts, payments, what they gave, invoices, refunds, disputes.

Money is in minor units of its currency (cents; JPY has none). Gateway ids (`cs_…`, `pi_…`) are what facts are keyed by.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.catalog import Billing
from models.database import AwareDateTime, Base, BigId, Json, now, words

GOING_ON = "ended_at IS NULL"
LONGEST_URL = 2_000
GATEWAY_ID = 255
"""Characters; the longest id that Stripe says it may give an object (docs.stripe.com/upgrades)."""


class Customer(Base):
    """Whom the gateway knows a user as."""

    __tablename__ = "customers"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    gateway_id: Mapped[str] = mapped_column(String(GATEWAY_ID), unique=True)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


class CheckoutMode(StrEnum):
    """How it is paid: on a page of the gateway, with a form of the front end's own, or without anybody there."""

    page = "page"
    intent = "intent"
    off_session = "off_session"


class CheckoutState(StrEnum):
    """`creating` until the gateway knows of it, `open` until somebody pays; then one of the other three for good."""

    creating = "creating"
    open = "open"
    paid = "paid"
    failed = "failed"
    expired = "expired"


class Checkout(Base):
    """A user's wish to buy one pack or one plan, at the price and with the contents of the time of asking (`terms`).

    `url` is the page to send the user to, `client_secret` what a form of the front end needs; both are gone once it has
    ended. `problem` is a stable code for why it failed.
    """

    __tablename__ = "checkouts"
    __table_args__ = (
        UniqueConstraint("user_id", "idempotency_key"),
        CheckConstraint("(pack IS NULL) <> (plan IS NULL)", name="one_thing"),
        CheckConstraint("(plan IS NULL) = (billing IS NULL)", name="plans_are_billed"),
        CheckConstraint("amount >= 0", name="amount_not_negative"),
        CheckConstraint("(ended_at IS NULL) = (state IN ('creating', 'open'))", name="ended_with_an_end"),
        Index("ix_checkouts_user_id_id", "user_id", "id"),
        Index("ix_checkouts_unfinished", "created_at", postgresql_where=text(GOING_ON), sqlite_where=text(GOING_ON)),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    mode: Mapped[CheckoutMode] = mapped_column(words(CheckoutMode, "mode"))
    pack: Mapped[str | None] = mapped_column(String(50))
    plan: Mapped[str | None] = mapped_column(String(50))
    billing: Mapped[Billing | None] = mapped_column(words(Billing, "billing"))
    terms: Mapped[dict[str, Any]] = mapped_column(Json)
    amount: Mapped[int] = mapped_column(BigId)
    currency: Mapped[str] = mapped_column(String(3))
    state: Mapped[CheckoutState] = mapped_column(words(CheckoutState, "state"), default=CheckoutState.creating)
    gateway_id: Mapped[str | None] = mapped_column(String(GATEWAY_ID), unique=True)
    url: Mapped[str | None] = mapped_column(String(LONGEST_URL))
    client_secret: Mapped[str | None] = mapped_column(String(GATEWAY_ID))
    success_url: Mapped[str | None] = mapped_column(String(LONGEST_URL))
    cancel_url: Mapped[str | None] = mapped_column(String(LONGEST_URL))
    problem: Mapped[str | None] = mapped_column(String(100))
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_hash: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


class PaymentState(StrEnum):
    """`pending` until the money has come. What went back later is told by `refunded` and by disputes."""

    pending = "pending"
    succeeded = "succeeded"
    failed = "failed"


class Payment(Base):
    """Money of a user, for a checkout or an invoice. `gateway_id` is what the money is known by: `pi_…`, or the page or
    invoice that needed no money."""

    __tablename__ = "payments"
    __table_args__ = (
        CheckConstraint("amount >= 0 AND refunded >= 0 AND refunded <= amount", name="refunded_within_amount"),
        CheckConstraint("(paid_at IS NULL) = (state <> 'succeeded')", name="paid_when_succeeded"),
        Index("ix_payments_user_id_id", "user_id", "id"),
        Index("ix_payments_charge_id", "charge_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    checkout_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkouts.id"), index=True)
    invoice_id: Mapped[str | None] = mapped_column(ForeignKey("invoices.id"), index=True)
    gateway_id: Mapped[str] = mapped_column(String(GATEWAY_ID), unique=True)
    charge_id: Mapped[str | None] = mapped_column(String(GATEWAY_ID))
    title: Mapped[str] = mapped_column(String(200))
    amount: Mapped[int] = mapped_column(BigId)
    refunded: Mapped[int] = mapped_column(BigId, default=0)
    currency: Mapped[str] = mapped_column(String(3))
    state: Mapped[PaymentState] = mapped_column(words(PaymentState, "state"))
    decline: Mapped[str | None] = mapped_column(String(100))
    receipt_url: Mapped[str | None] = mapped_column(String(LONGEST_URL))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    paid_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


class PaymentLot(Base):
    """A lot of credits that a payment paid for, and that its refund takes back from."""

    __tablename__ = "payment_lots"

    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), primary_key=True)
    lot_id: Mapped[int] = mapped_column(BigId, ForeignKey("lots.id"), primary_key=True)


class Invoice(Base):
    """What a subscription was billed for the time it covers, or for a change within that time (`proration`)."""

    __tablename__ = "invoices"
    __table_args__ = (Index("ix_invoices_user_id_created_at_id", "user_id", "created_at", "id"),)

    id: Mapped[str] = mapped_column(String(GATEWAY_ID), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    subscription_id: Mapped[str | None] = mapped_column(String(GATEWAY_ID), index=True)
    number: Mapped[str | None] = mapped_column(String(100))
    status: Mapped[str] = mapped_column(String(20))
    due: Mapped[int] = mapped_column(BigId)
    paid: Mapped[int] = mapped_column(BigId)
    currency: Mapped[str] = mapped_column(String(3))
    page_url: Mapped[str | None] = mapped_column(String(LONGEST_URL))
    pdf_url: Mapped[str | None] = mapped_column(String(LONGEST_URL))
    attempts: Mapped[int] = mapped_column(default=0)
    covers_from: Mapped[datetime | None] = mapped_column(AwareDateTime)
    covers_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    proration: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime)


class Refund(Base):
    """Money of a payment that went back; `answered_at` is when the credits followed, `restored_at` when they came back
    because the refund failed after all."""

    __tablename__ = "refunds"
    __table_args__ = (CheckConstraint("amount > 0", name="amount_positive"),)

    id: Mapped[str] = mapped_column(String(GATEWAY_ID), primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    amount: Mapped[int] = mapped_column(BigId)
    status: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    restored_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


class Dispute(Base):
    """Money of a payment that the payer's bank took back, at least until it decides."""

    __tablename__ = "disputes"
    __table_args__ = (CheckConstraint("amount > 0", name="amount_positive"),)

    id: Mapped[str] = mapped_column(String(GATEWAY_ID), primary_key=True)
    payment_id: Mapped[UUID] = mapped_column(ForeignKey("payments.id"), index=True)
    amount: Mapped[int] = mapped_column(BigId)
    status: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime)
    answered_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    restored_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
