"""Invoices: what a subscription is billed, line by line."""

from __future__ import annotations

from collections.abc import Callable

from worker.payments.mock import bank
from worker.payments.mock.till import Object, Till, new_id


def new_invoice(
    till: Till, found: Object, *, reason: str, lines: list[Object], intent: Object | None = None
) -> Object:  # fmt: skip
    """An invoice of a subscription, waiting for its payment; one that comes to nothing is paid already."""
    total = sum(each["amount"] for each in lines)
    due = max(total, 0)
    made = till.new(
        "invoice", "in", number=None, customer=found["customer"], currency=found["currency"], status="open",
        billing_reason=reason, amount_due=due, amount_paid=0, amount_remaining=due, subtotal=total, total=total,
        attempt_count=0, attempted=False, next_payment_attempt=None, collection_method="charge_automatically",
        parent={
            "type": "subscription_details", "quote_details": None,
            "subscription_details": {"subscription": found["id"], "metadata": found["metadata"]},
        },
        lines={"object": "list", "data": lines, "has_more": False},
        payments={"object": "list", "data": [], "has_more": False}, _due=None,
    )  # fmt: skip
    made["number"] = f"MOCK-{made['id'][-8:].upper()}"
    made["hosted_invoice_url"] = made["invoice_pdf"] = f"{till.public_url}/mock-checkout/{made['id']}"
    till.tell("invoice.created", made)
    if due:
        intent = intent or bank.new_intent(
            till, customer=found["customer"], amount=due, currency=found["currency"],
            description=f"Invoice {made['number']}",
        )  # fmt: skip
        made["payments"]["data"].append(
            {
                "id": new_id("inpay"), "object": "invoice_payment", "amount_paid": None, "amount_requested": due,
                "currency": found["currency"], "is_default": True, "status": "open", "invoice": made["id"],
                "payment": {"type": "payment_intent", "payment_intent": intent["id"]}, "created": till.now,
            }
        )  # fmt: skip
    else:
        settle(till, made)
    return made


def line(
    found: Object, item: Object, price: Object, amount: int, starts: int, ends: int, *, proration: bool = False
) -> Object:
    """What an invoice asks for one price and one stretch of time."""
    return {
        "id": new_id("il"), "object": "line_item", "amount": amount, "currency": found["currency"],
        "description": f"{'Rest of ' if proration else ''}{price['nickname']}", "quantity": 1, "metadata": {},
        "livemode": False, "period": {"start": starts, "end": ends},
        "pricing": {
            "type": "price_details", "unit_amount_decimal": str(price["unit_amount"]),
            "price_details": {"price": price["id"], "product": price["product"]},
        },
        "parent": {
            "type": "subscription_item_details", "invoice_item_details": None,
            "subscription_item_details": {
                "subscription": found["id"], "subscription_item": item["id"], "proration": proration,
            },
        },
    }  # fmt: skip


def settle(till: Till, owed: Object) -> None:
    """An invoice is paid."""
    due = owed["amount_due"]
    owed["attempt_count"] += bool(due)
    owed.update(
        status="paid", amount_paid=due, amount_remaining=0, next_payment_attempt=None, attempted=True, _due=None
    )
    for payment in owed["payments"]["data"]:
        payment.update(status="paid", amount_paid=due)
    till.tell("invoice.paid", owed)
    till.tell("invoice.payment_succeeded", owed)


def whole(found: Object, get: Callable[[str], Object]) -> Object:
    """An invoice with its payments' intents in full."""
    payments = [
        {**each, "payment": {**each["payment"], "payment_intent": get(each["payment"]["payment_intent"])}}
        for each in found["payments"]["data"]
    ]
    return {**found, "payments": {**found["payments"], "data": payments}}
