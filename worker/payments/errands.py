"""Running errands: what each kind of errand asks of the gateway."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

from models.catalog import Billing, Money
from models.payments.errands import Errand, ErrandKind
from models.payments.facts import Fact, SubscriptionFact
from worker.payments.gateway import Gateway

CustomerOf = Callable[[Gateway, UUID], str]

Outcome = tuple[Sequence[Fact], dict[str, Any] | None]
"""What is known at the gateway afterwards, and what whoever asked is to be told."""


def run(gateway: Gateway, errand: Errand, customer_of: CustomerOf) -> Outcome:
    """Do an errand; each call that changes something is known to the gateway by the errand's id.

    Raises `GatewayError`.
    """
    key, details = f"errand:{errand.id}", errand.details
    match errand.kind:
        case ErrandKind.portal:
            url = gateway.portal(customer_id=customer_of(gateway, errand.user_id), return_url=details["return_url"])
            return [], {"url": url}
        case ErrandKind.change_plan:
            changed = gateway.change_plan(
                gateway.subscription(errand.about),
                plan=details["plan"],
                billing=Billing(details["billing"]),
                price=Money(amount=details["amount"], currency=details["currency"]),
                prorate=details["prorate"],
                key=key,
            )
            return _with_invoice(gateway, changed), None
        case ErrandKind.cancel:
            return [gateway.cancel(errand.about, at_period_end=details["at_period_end"], key=key)], None
        case ErrandKind.resume:
            return [gateway.resume(errand.about, key=key)], None
        case ErrandKind.refund:
            return [gateway.give_back(intent_id=errand.about, amount=details["amount"], key=key)], None
        case ErrandKind.undo:
            return _undo(gateway, errand.about, key), None


def _with_invoice(gateway: Gateway, subscription: SubscriptionFact) -> Sequence[Fact]:
    """A subscription and its latest invoice, in the order in which they are to be followed."""
    if subscription.latest_invoice_id is None:
        return [subscription]
    return [subscription, gateway.invoice(subscription.latest_invoice_id)]


def _undo(gateway: Gateway, subscription_id: str, key: str) -> Sequence[Fact]:
    """End a subscription at once and pay back what it cost."""
    ended = gateway.cancel(subscription_id, at_period_end=False, key=key)
    invoice = gateway.invoice(ended.latest_invoice_id) if ended.latest_invoice_id else None
    if invoice is None or not invoice.paid or invoice.intent_id is None:
        return [ended]
    return [ended, gateway.give_back(intent_id=invoice.intent_id, amount=invoice.paid, key=f"{key}:refund")]
