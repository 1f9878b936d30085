"""Looking: what an event points at, fetched from the gateway as it is now."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.payments.facts import Fact
from worker.payments.gateway import Gateway

Look = Callable[[Gateway, str], Sequence[Fact]]


def _invoice(gateway: Gateway, invoice_id: str) -> Sequence[Fact]:
    """An invoice, after its subscription: what it pays for goes by the plan that is billed now."""
    invoice = gateway.invoice(invoice_id)
    if invoice.subscription_id is None:
        return [invoice]
    return [gateway.subscription(invoice.subscription_id), invoice]


LOOKS: dict[str, Look] = {
    "checkout.session.completed": lambda gateway, found: [gateway.page(found)],
    "checkout.session.async_payment_succeeded": lambda gateway, found: [gateway.page(found)],
    "checkout.session.async_payment_failed": lambda gateway, found: [gateway.page(found)],
    "checkout.session.expired": lambda gateway, found: [gateway.page(found)],
    "payment_intent.succeeded": lambda gateway, found: [gateway.intent(found)],
    "payment_intent.payment_failed": lambda gateway, found: [gateway.intent(found)],
    "payment_intent.canceled": lambda gateway, found: [gateway.intent(found)],
    "invoice.paid": lambda gateway, found: _invoice(gateway, found),
    "invoice.payment_succeeded": lambda gateway, found: _invoice(gateway, found),
    "invoice.payment_failed": lambda gateway, found: _invoice(gateway, found),
    "customer.subscription.created": lambda gateway, found: [gateway.subscription(found)],
    "customer.subscription.updated": lambda gateway, found: [gateway.subscription(found)],
    "customer.subscription.deleted": lambda gateway, found: [gateway.subscription(found)],
    "customer.subscription.trial_will_end": lambda gateway, found: [gateway.subscription(found)],
    "charge.refunded": lambda gateway, found: gateway.refunds_of(charge_id=found),
    "charge.refund.updated": lambda gateway, found: [gateway.refund(found)],
    "refund.created": lambda gateway, found: [gateway.refund(found)],
    "refund.updated": lambda gateway, found: [gateway.refund(found)],
    "refund.failed": lambda gateway, found: [gateway.refund(found)],
    "charge.dispute.created": lambda gateway, found: [gateway.dispute(found)],
    "charge.dispute.updated": lambda gateway, found: [gateway.dispute(found)],
    "charge.dispute.closed": lambda gateway, found: [gateway.dispute(found)],
}
"""How to look at what an event of each type points at; events of other types say nothing to us."""


def look(gateway: Gateway, *, event_type: str, object_id: str) -> Sequence[Fact] | None:
    """What an event of this type points at, as it is now; None when the type says nothing to us.

    Raises `GatewayError`.
    """
    finder = LOOKS.get(event_type)
    return None if finder is None else finder(gateway, object_id)
