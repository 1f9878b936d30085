"""The gateway: what Coinop needs of whoever takes the money. One protocol; Stripe and the mock each are one.

Every call talks over the network, so none is made with a transaction open. What changes something takes a `key`, made
from our own row: the same call with the same key happens once, however often it is sent. What a gateway says comes back
as facts (`models/payments/facts.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from models.catalog import Billing, Money
from models.payments.facts import (
    DisputeFact,
    Fact,
    IntentFact,
    InvoiceFact,
    PageFact,
    RefundFact,
    SubscriptionFact,
)


class GatewayError(Exception):
    """The gateway did not do it. `code` is stable and public; nothing secret is in it or in the message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Declined(GatewayError):
    """The customer's bank said no, or wants the customer to act. Trying the same again is no use."""


class Refused(GatewayError):
    """The gateway will never do this: a wrong request, key or state."""


class Unreachable(GatewayError):
    """It may work later: network, 429, 5xx. Whether the call happened is not known; its key makes asking again safe."""

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(code, message)
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Sale:
    """What is to be sold in one checkout: one line with a title, at a price, or a plan by the name of its price."""

    checkout_id: UUID
    title: str
    price: Money
    plan: str | None = None
    billing: Billing | None = None
    trial_days: int | None = None


@dataclass(frozen=True, slots=True)
class OpenedPage:
    id: str
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class OpenedIntent:
    """A payment that waits for the customer, or, off session, has gone through already."""

    id: str
    client_secret: str
    fact: IntentFact


class Gateway(Protocol):
    name: str

    def create_customer(self, *, user_id: UUID, email: str, key: str) -> str:
        """Make the customer of a user and return its id."""
        ...

    def open_page(self, sale: Sale, *, customer_id: str, success_url: str, cancel_url: str, key: str) -> OpenedPage:
        """Open a checkout page for a pack or a subscription."""
        ...

    def open_intent(self, sale: Sale, *, customer_id: str, key: str) -> OpenedIntent:
        """Open a payment for a pack that a form of the front end completes."""
        ...

    def charge_saved_card(self, sale: Sale, *, customer_id: str, key: str) -> OpenedIntent:
        """Take the money for a pack from the customer's saved card, with nobody there. Raises `Declined`."""
        ...

    def close(self, gateway_id: str) -> None:
        """Close an open page or intent that is not wanted any more; one that is closed or paid stays as it is."""
        ...

    def page(self, gateway_id: str) -> PageFact: ...

    def intent(self, gateway_id: str) -> IntentFact: ...

    def invoice(self, gateway_id: str) -> InvoiceFact: ...

    def subscription(self, gateway_id: str) -> SubscriptionFact: ...

    def refund(self, gateway_id: str) -> RefundFact: ...

    def refunds_of(self, *, charge_id: str) -> list[RefundFact]: ...

    def dispute(self, gateway_id: str) -> DisputeFact: ...

    def change_plan(
        self, subscription: SubscriptionFact, *, plan: str, billing: Billing, price: Money, prorate: bool, key: str
    ) -> SubscriptionFact:
        """Bill another plan from now on.

        With `prorate` the difference for the rest of the period is billed at once, and only once it is paid does the
        plan change; else the new price counts from the next period, and the fact has it as `next_plan` until then. The
        plan it is billed for already takes back what was to follow. Raises `Declined`.
        """
        ...

    def cancel(self, subscription_id: str, *, at_period_end: bool, key: str) -> SubscriptionFact: ...

    def resume(self, subscription_id: str, *, key: str) -> SubscriptionFact:
        """Take back a cancellation at the end of the period."""
        ...

    def give_back(self, *, intent_id: str, amount: int, key: str) -> RefundFact:
        """Refund `amount` of a payment."""
        ...

    def portal(self, *, customer_id: str, return_url: str) -> str:
        """The address of a page where the customer sees invoices and changes cards."""
        ...

    def changes_since(self, moment: datetime) -> Iterator[Fact]:
        """Everything that may have changed since then: pages, intents, invoices, subscriptions, refunds, disputes."""
        ...

    def let_time_pass(self) -> None:
        """Do what is due by now, such as renewals. Only a gateway that runs in this house has to be told."""
        ...
