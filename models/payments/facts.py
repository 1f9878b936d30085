"""Facts: what a payment gateway says of its own objects, in our words.

An event only says where to look. What is looked at is turned into one of these, whatever shape the gateway's API gives
it, and the verbs of this package bring our rows in line with it. So they may be given in any order, any number of
times, and whether an event or the reconciliation came by.

Ids are the gateway's own (`cs_…`, `pi_…`, `in_…`, `sub_…`, `re_…`, `dp_…`); amounts are in minor units of `currency`, a
code in upper case; times are aware.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from models.catalog import Billing


class PageStatus(StrEnum):
    """Of a checkout page: still open, gone through, or past its time."""

    open = "open"
    complete = "complete"
    expired = "expired"


@dataclass(frozen=True, slots=True)
class PageFact:
    """A checkout page. `paid` is false while a delayed way of paying is still on its way, also when complete."""

    id: str
    checkout_id: UUID | None
    status: PageStatus
    paid: bool
    amount: int
    currency: str
    customer_id: str | None = None
    intent_id: str | None = None
    subscription_id: str | None = None
    failed: bool = False
    """A delayed way of paying came to nothing."""


class IntentStatus(StrEnum):
    """Of a payment: waits for somebody, is on its way, is done, or never will be."""

    waiting = "waiting"
    processing = "processing"
    succeeded = "succeeded"
    canceled = "canceled"


@dataclass(frozen=True, slots=True)
class IntentFact:
    """One payment of money. `received` is what has come; `decline` is the code of the last refusal, if any."""

    id: str
    checkout_id: UUID | None
    status: IntentStatus
    amount: int
    received: int
    currency: str
    customer_id: str | None = None
    charge_id: str | None = None
    receipt_url: str | None = None
    decline: str | None = None


class InvoiceStatus(StrEnum):
    draft = "draft"
    open = "open"
    paid = "paid"
    void = "void"
    uncollectible = "uncollectible"


@dataclass(frozen=True, slots=True)
class InvoiceLine:
    """What an invoice is for: a `plan`, billed so, from `starts_at` to `ends_at`; or a part of that (`proration`)."""

    id: str
    amount: int
    plan: str | None
    billing: Billing | None
    starts_at: datetime
    ends_at: datetime
    proration: bool = False


@dataclass(frozen=True, slots=True)
class InvoiceFact:
    """One invoice. `reason` is the gateway's word for why there is one; `attempts` is how often it was tried."""

    id: str
    status: InvoiceStatus
    customer_id: str
    subscription_id: str | None
    due: int
    paid: int
    currency: str
    created_at: datetime
    reason: str = ""
    number: str | None = None
    attempts: int = 0
    next_attempt_at: datetime | None = None
    intent_id: str | None = None
    charge_id: str | None = None
    page_url: str | None = None
    pdf_url: str | None = None
    lines: tuple[InvoiceLine, ...] = field(default=())


class SubscriptionStatus(StrEnum):
    """The gateway's words, which are the field's."""

    incomplete = "incomplete"
    incomplete_expired = "incomplete_expired"
    trialing = "trialing"
    active = "active"
    past_due = "past_due"
    unpaid = "unpaid"
    paused = "paused"
    canceled = "canceled"


@dataclass(frozen=True, slots=True)
class SubscriptionFact:
    """A subscription as it is billed: to `plan`, so often, from `period_starts_at` to `period_ends_at`.

    `next_plan` and `next_billing` are what it is billed for from the next period on, where that is something else.
    """

    id: str
    customer_id: str
    status: SubscriptionStatus
    plan: str | None
    billing: Billing | None
    item_id: str
    period_starts_at: datetime
    period_ends_at: datetime
    created_at: datetime
    checkout_id: UUID | None = None
    cancels_at: datetime | None = None
    ended_at: datetime | None = None
    trial_ends_at: datetime | None = None
    latest_invoice_id: str | None = None
    next_plan: str | None = None
    next_billing: Billing | None = None


class RefundStatus(StrEnum):
    pending = "pending"
    succeeded = "succeeded"
    failed = "failed"
    canceled = "canceled"


@dataclass(frozen=True, slots=True)
class RefundFact:
    """Money that goes back to who paid it."""

    id: str
    status: RefundStatus
    amount: int
    currency: str
    intent_id: str | None
    charge_id: str | None
    created_at: datetime


class DisputeStatus(StrEnum):
    """`open` until the bank has decided; a mere inquiry (`warning`) takes no money yet."""

    warning = "warning"
    open = "open"
    won = "won"
    lost = "lost"


@dataclass(frozen=True, slots=True)
class DisputeFact:
    """Money that the payer's bank has taken back, or has been asked to."""

    id: str
    status: DisputeStatus
    amount: int
    currency: str
    intent_id: str | None
    charge_id: str | None
    created_at: datetime


Fact = PageFact | IntentFact | InvoiceFact | SubscriptionFact | RefundFact | DisputeFact
