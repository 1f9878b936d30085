"""Shapes: from a gateway's JSON to facts, whichever version of the API it was written by.

An endpoint may be set to an older version than ours, and objects have moved between versions: a subscription's period
to its items, an invoice's subscription to its parent and its payment to a list, a line's price to `pricing`. Both
places are looked at. What is only named by its id may be a whole object instead (`expand`), and the other way round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from models.catalog import Billing
from models.payments.facts import (
    DisputeFact,
    DisputeStatus,
    IntentFact,
    IntentStatus,
    InvoiceFact,
    InvoiceLine,
    InvoiceStatus,
    PageFact,
    PageStatus,
    RefundFact,
    RefundStatus,
    SubscriptionFact,
    SubscriptionStatus,
)

Object = Mapping[str, Any]

PriceOf = Callable[[str], Object]
"""Finds a price by its id, where only that is told."""

LOOKUP_KEY = "coinop"
"""What the lookup keys of our prices begin with: `coinop:<plan>:<billing>:<amount>:<currency>`."""

CHECKOUT = "checkout_id"
"""The name in metadata of what our own row is called."""

_FAILED_INTENTS = ("requires_payment_method", "canceled")
_FAILED_SUBSCRIPTIONS = ("incomplete_expired", "canceled")

_INTENTS = {
    "requires_payment_method": IntentStatus.waiting,
    "requires_confirmation": IntentStatus.waiting,
    "requires_action": IntentStatus.waiting,
    "requires_capture": IntentStatus.processing,
    "processing": IntentStatus.processing,
    "succeeded": IntentStatus.succeeded,
    "canceled": IntentStatus.canceled,
}

_REFUNDS = {
    "pending": RefundStatus.pending,
    "requires_action": RefundStatus.pending,
    "succeeded": RefundStatus.succeeded,
    "failed": RefundStatus.failed,
    "canceled": RefundStatus.canceled,
}

_DISPUTES = {
    "needs_response": DisputeStatus.open,
    "under_review": DisputeStatus.open,
    "won": DisputeStatus.won,
    "lost": DisputeStatus.lost,
}
"""Every other status is an inquiry, or a dispute that was prevented: neither has taken any money."""


def page(found: Object) -> PageFact:
    """A checkout session; whether a delayed payment failed is told only by its expanded intent or subscription."""
    status = PageStatus(found["status"])
    complete = status is PageStatus.complete
    paid = complete and found["payment_status"] != "unpaid"
    return PageFact(
        id=found["id"],
        checkout_id=_checkout_id(found.get("client_reference_id")) or _checkout_of(found),
        status=status,
        paid=paid,
        amount=found.get("amount_total") or 0,
        currency=_currency(found),
        customer_id=_id(found.get("customer")),
        intent_id=_id(found.get("payment_intent")),
        subscription_id=_id(found.get("subscription")),
        failed=complete
        and not paid
        and (
            _whole(found.get("payment_intent")).get("status") in _FAILED_INTENTS
            or _whole(found.get("subscription")).get("status") in _FAILED_SUBSCRIPTIONS
        ),
    )


def intent(found: Object) -> IntentFact:
    """A payment intent, best with its latest charge expanded, for the receipt."""
    status = _INTENTS[found["status"]]
    charge = found.get("latest_charge") or _first(found.get("charges"))
    error = found.get("last_payment_error") or {}
    succeeded = status is IntentStatus.succeeded
    return IntentFact(
        id=found["id"],
        checkout_id=_checkout_of(found),
        status=status,
        amount=found["amount"],
        received=found.get("amount_received", found["amount"] if succeeded else 0),
        currency=_currency(found),
        customer_id=_id(found.get("customer")),
        charge_id=_id(charge),
        receipt_url=_whole(charge).get("receipt_url"),
        decline=None if succeeded else error.get("decline_code") or error.get("code"),
    )


def invoice(found: Object, price_of: PriceOf) -> InvoiceFact:
    """An invoice, best with its payments expanded down to their intents."""
    parent = (found.get("parent") or {}).get("subscription_details") or {}
    paying = _paying(found)
    paid_by = _whole(paying.get("payment_intent"))
    return InvoiceFact(
        id=found["id"],
        status=InvoiceStatus(found["status"]),
        customer_id=_id(found["customer"]) or "",
        subscription_id=_id(found.get("subscription")) or _id(parent.get("subscription")),
        due=found["amount_due"],
        paid=found["amount_paid"],
        currency=_currency(found),
        created_at=_moment(found["created"]),
        reason=found.get("billing_reason") or "",
        number=found.get("number"),
        attempts=found.get("attempt_count") or 0,
        next_attempt_at=_moment_or_none(found.get("next_payment_attempt")),
        intent_id=_id(paying.get("payment_intent")),
        charge_id=_id(paying.get("charge")) or _id(paid_by.get("latest_charge")),
        page_url=found.get("hosted_invoice_url"),
        pdf_url=found.get("invoice_pdf"),
        lines=tuple(_line(each, price_of) for each in found["lines"]["data"]),
    )


def subscription(found: Object, price_of: PriceOf) -> SubscriptionFact:
    """A subscription; what comes next is told only by its expanded schedule."""
    item = found["items"]["data"][0]
    plan, billing = _sold(_price(item, price_of))
    ends = item.get("current_period_end") or found["current_period_end"]
    cancels = found.get("cancel_at") or (ends if found.get("cancel_at_period_end") else None)
    status = SubscriptionStatus(found["status"])
    next_plan, next_billing = _next(found, price_of)
    return SubscriptionFact(
        id=found["id"],
        customer_id=_id(found["customer"]) or "",
        status=status,
        plan=plan,
        billing=billing,
        item_id=item["id"],
        period_starts_at=_moment(item.get("current_period_start") or found["current_period_start"]),
        period_ends_at=_moment(ends),
        created_at=_moment(found["created"]),
        checkout_id=_checkout_of(found),
        cancels_at=_moment_or_none(cancels),
        ended_at=_moment_or_none(found.get("ended_at")),
        trial_ends_at=_moment_or_none(found.get("trial_end")),
        latest_invoice_id=_id(found.get("latest_invoice")),
        next_plan=next_plan if (next_plan, next_billing) != (plan, billing) else None,
        next_billing=next_billing if (next_plan, next_billing) != (plan, billing) else None,
    )


def refund(found: Object) -> RefundFact:
    """A refund. One that waits for the customer to act is pending."""
    return RefundFact(
        id=found["id"],
        status=_REFUNDS[found.get("status") or "pending"],
        amount=found["amount"],
        currency=_currency(found),
        intent_id=_id(found.get("payment_intent")),
        charge_id=_id(found.get("charge")),
        created_at=_moment(found["created"]),
    )


def dispute(found: Object) -> DisputeFact:
    """A dispute."""
    return DisputeFact(
        id=found["id"],
        status=_DISPUTES.get(found["status"], DisputeStatus.warning),
        amount=found["amount"],
        currency=_currency(found),
        intent_id=_id(found.get("payment_intent")),
        charge_id=_id(found.get("charge")),
        created_at=_moment(found["created"]),
    )


def lookup_key(*, plan: str, billing: Billing, amount: int, currency: str) -> str:
    """What the price of a plan is called at the gateway. Another amount is another price: prices never change."""
    return f"{LOOKUP_KEY}:{plan}:{billing}:{amount}:{currency}"


def _paying(found: Object) -> Object:
    """What an invoice was paid with, or is to be: `payment_intent` and `charge`, in the old place or the new."""
    if found.get("payment_intent") or found.get("charge"):
        return found
    payments = (found.get("payments") or {}).get("data") or []
    best = next((each for each in payments if each["status"] == "paid"), None) or next(
        (each for each in payments if each.get("is_default")), None
    )
    return best["payment"] if best else {}


def _line(found: Object, price_of: PriceOf) -> InvoiceLine:
    plan, billing = _sold(_price(found, price_of))
    details = (found.get("parent") or {}).get("subscription_item_details") or {}
    return InvoiceLine(
        id=found["id"],
        amount=found["amount"],
        plan=plan,
        billing=billing,
        starts_at=_moment(found["period"]["start"]),
        ends_at=_moment(found["period"]["end"]),
        proration=bool(found.get("proration", details.get("proration", False))),
    )


def _price(found: Object, price_of: PriceOf) -> Object:
    """The price of an item or a line: in `price`, in `plan` of old, or in `pricing`."""
    details = (found.get("pricing") or {}).get("price_details") or {}
    price = found.get("price") or details.get("price") or found.get("plan") or {}
    return price_of(price) if isinstance(price, str) else price


def _sold(price: Object) -> tuple[str | None, Billing | None]:
    """The plan that a price is for, and how often it is paid; None when the price is none of ours."""
    marks = price.get("metadata") or {}
    plan, billing = marks.get("plan"), marks.get("billing")
    if not plan or not billing:
        parts = (price.get("lookup_key") or "").split(":")
        if parts[0] != LOOKUP_KEY or len(parts) != 5:
            return None, None
        plan, billing = parts[1], parts[2]
    return (plan, Billing(billing)) if billing in set(Billing) else (None, None)


def _next(found: Object, price_of: PriceOf) -> tuple[str | None, Billing | None]:
    """What the phase of the schedule after the present one is for."""
    schedule = _whole(found.get("schedule"))
    if schedule.get("status") not in ("active", "not_started"):
        return None, None
    phases = schedule["phases"]
    current = (schedule.get("current_phase") or phases[0])["start_date"]
    later = [phase for phase in phases if phase["start_date"] > current]
    return _sold(_price(later[0]["items"][0], price_of)) if later else (None, None)


def _checkout_of(found: Object) -> UUID | None:
    return _checkout_id((found.get("metadata") or {}).get(CHECKOUT))


def _checkout_id(text: str | None) -> UUID | None:
    """Our own id, unless somebody else's shop wrote something of its own there."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None


def _id(value: Any) -> str | None:
    return value["id"] if isinstance(value, Mapping) else value or None


def _whole(value: Any) -> Object:
    return value if isinstance(value, Mapping) else {}


def _first(listed: Any) -> Any:
    data = (listed or {}).get("data") or [None]
    return data[0]


def _currency(found: Object) -> str:
    return (found.get("currency") or "").upper()


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _moment_or_none(seconds: int | None) -> datetime | None:
    return None if seconds is None else _moment(seconds)
