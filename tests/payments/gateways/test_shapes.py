"""Shapes: objects as the present API writes them and as older versions did give the same facts.

The examples are written after the documented shapes, not copied from anywhere; members that say nothing to us are
left out, but for some that could be taken for what they are not.
"""

from __future__ import annotations

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

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
from worker.payments import shapes

CHECKOUT = UUID("01890a5d-ac96-774b-bcce-b302099a8057")
BEGAN, ENDS = 1_790_000_000, 1_792_592_000
PRICE: dict[str, Any] = {
    "id": "price_1", "object": "price", "lookup_key": "coinop:basic:monthly:1500:USD", "unit_amount": 1500,
    "currency": "usd", "metadata": {"plan": "basic", "billing": "monthly"}, "recurring": {"interval": "month"},
}  # fmt: skip
PREMIUM = {
    **PRICE, "id": "price_2", "lookup_key": "coinop:premium:yearly:29000:USD",
    "metadata": {"plan": "premium", "billing": "yearly"},
}  # fmt: skip
OLD_PLAN: dict[str, Any] = {
    "id": "price_1", "object": "plan", "amount": 1500, "currency": "usd", "interval": "month",
    "metadata": {"plan": "basic", "billing": "monthly"},
}  # fmt: skip


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def price_of(price_id: str) -> dict[str, Any]:
    return {"price_1": PRICE, "price_2": PREMIUM}[price_id]


def nobody(price_id: str) -> dict[str, Any]:
    raise AssertionError(f"nobody has to look for {price_id}: the price is there in full")


SUBSCRIPTION: dict[str, Any] = {
    "id": "sub_1", "object": "subscription", "status": "active", "customer": "cus_1", "created": BEGAN,
    "currency": "usd", "cancel_at": None, "cancel_at_period_end": False, "canceled_at": None, "ended_at": None,
    "trial_end": None, "latest_invoice": "in_1", "schedule": None, "metadata": {"checkout_id": str(CHECKOUT)},
    "items": {
        "object": "list",
        "data": [
            {
                "id": "si_1", "object": "subscription_item", "price": PRICE, "plan": OLD_PLAN, "quantity": 1,
                "current_period_start": BEGAN, "current_period_end": ENDS,
            }
        ],
    },
}  # fmt: skip


def old_subscription() -> dict[str, Any]:
    """Before 2025-03-31 the period was the subscription's; before prices there were plans alone."""
    old = deepcopy(SUBSCRIPTION)
    item = old["items"]["data"][0]
    old["current_period_start"] = item.pop("current_period_start")
    old["current_period_end"] = item.pop("current_period_end")
    del item["price"], old["schedule"]
    old["plan"] = OLD_PLAN
    return old


def test_a_subscription_of_either_shape_is_the_same_fact() -> None:
    fact = shapes.subscription(SUBSCRIPTION, nobody)
    assert fact == shapes.subscription(old_subscription(), nobody)
    assert fact == SubscriptionFact(
        id="sub_1", customer_id="cus_1", status=SubscriptionStatus.active, plan="basic", billing=Billing.monthly,
        item_id="si_1", period_starts_at=at(BEGAN), period_ends_at=at(ENDS), created_at=at(BEGAN),
        checkout_id=CHECKOUT, latest_invoice_id="in_1",
    )  # fmt: skip


def test_a_subscription_that_ends_with_its_period_says_when() -> None:
    ending = {**SUBSCRIPTION, "cancel_at_period_end": True}
    assert shapes.subscription(ending, nobody).cancels_at == at(ENDS)
    assert shapes.subscription({**ending, "cancel_at": ENDS + 60}, nobody).cancels_at == at(ENDS + 60)
    over = {**SUBSCRIPTION, "status": "canceled", "ended_at": ENDS, "latest_invoice": {"id": "in_2"}}
    fact = shapes.subscription({**over, "customer": {"id": "cus_1"}, "trial_end": BEGAN}, nobody)
    assert (fact.status, fact.ended_at, fact.latest_invoice_id) == (SubscriptionStatus.canceled, at(ENDS), "in_2")
    assert (fact.customer_id, fact.trial_ends_at) == ("cus_1", at(BEGAN))


def scheduled(**how: Any) -> dict[str, Any]:
    phases = [
        {"start_date": BEGAN - 100, "end_date": BEGAN, "items": [{"price": "price_1"}]},
        {"start_date": BEGAN, "end_date": ENDS, "items": [{"price": "price_1"}]},
        {"start_date": ENDS, "end_date": None, "items": [{"price": "price_2"}]},
    ]
    schedule = {"id": "sub_sched_1", "status": "active", "phases": phases, "current_phase": {"start_date": BEGAN}}
    return {**SUBSCRIPTION, "schedule": {**schedule, **how}}


def test_what_is_billed_next_is_in_the_schedule() -> None:
    fact = shapes.subscription(scheduled(), price_of)
    assert (fact.plan, fact.next_plan, fact.next_billing) == ("basic", "premium", Billing.yearly)
    for nothing in (scheduled(status="released"), scheduled(current_phase={"start_date": ENDS}), SUBSCRIPTION):
        assert shapes.subscription(nothing, price_of).next_plan is None
    # Only named, not shown: nothing is known of it.
    assert shapes.subscription({**SUBSCRIPTION, "schedule": "sub_sched_1"}, nobody).next_plan is None


@pytest.mark.parametrize(
    ("price", "sold"),
    [
        (PRICE, ("basic", Billing.monthly)),
        ({**PRICE, "metadata": {}}, ("basic", Billing.monthly)),
        ({**PRICE, "lookup_key": None}, ("basic", Billing.monthly)),
        ({**PRICE, "metadata": {}, "lookup_key": None}, (None, None)),
        ({**PRICE, "metadata": {}, "lookup_key": "othershop:gold:monthly:1:USD"}, (None, None)),
        ({**PRICE, "metadata": {}, "lookup_key": "coinop:gold"}, (None, None)),
        ({**PRICE, "metadata": {"plan": "gold", "billing": "weekly"}}, (None, None)),
    ],
)
def test_the_plan_is_known_by_the_price(price: dict[str, Any], sold: tuple[str, Billing]) -> None:
    found = deepcopy(SUBSCRIPTION)
    found["items"]["data"][0]["price"] = price
    fact = shapes.subscription(found, nobody)
    assert (fact.plan, fact.billing) == sold


LINE: dict[str, Any] = {
    "id": "il_1", "object": "line_item", "amount": 1500, "currency": "usd", "period": {"start": BEGAN, "end": ENDS},
    "pricing": {"type": "price_details", "price_details": {"price": "price_1", "product": "prod_1"}},
    "parent": {
        "type": "subscription_item_details",
        "subscription_item_details": {"subscription": "sub_1", "subscription_item": "si_1", "proration": False},
    },
}  # fmt: skip
REST: dict[str, Any] = deepcopy(LINE) | {"id": "il_2", "amount": -700}
REST["parent"]["subscription_item_details"]["proration"] = True

INVOICE: dict[str, Any] = {
    "id": "in_1", "object": "invoice", "number": "A-1", "status": "paid", "customer": "cus_1", "currency": "usd",
    "amount_due": 800, "amount_paid": 800, "created": BEGAN, "billing_reason": "subscription_update",
    "attempt_count": 1, "next_payment_attempt": None, "hosted_invoice_url": "https://i.example.com/1",
    "invoice_pdf": "https://i.example.com/1.pdf", "lines": {"object": "list", "data": [LINE, REST]},
    "parent": {"type": "subscription_details", "subscription_details": {"subscription": "sub_1", "metadata": {}}},
    "payments": {
        "object": "list",
        "data": [
            {
                "id": "inpay_1", "status": "canceled", "is_default": False,
                "payment": {"type": "payment_intent", "payment_intent": {"id": "pi_0", "latest_charge": None}},
            },
            {
                "id": "inpay_2", "status": "paid", "is_default": True,
                "payment": {"type": "payment_intent", "payment_intent": {"id": "pi_1", "latest_charge": "ch_1"}},
            },
        ],
    },
}  # fmt: skip


def old_invoice() -> dict[str, Any]:
    """Before 2025-03-31 an invoice named its subscription, its payment and its charge itself, and lines their price."""
    old = deepcopy(INVOICE)
    del old["parent"], old["payments"]
    old |= {"subscription": "sub_1", "payment_intent": "pi_1", "charge": "ch_1"}
    for line, proration in zip(old["lines"]["data"], (False, True), strict=True):
        del line["pricing"], line["parent"]
        line |= {"price": PRICE, "plan": OLD_PLAN, "proration": proration, "subscription": "sub_1"}
    return old


def oldest_invoice() -> dict[str, Any]:
    old = old_invoice()
    for line in old["lines"]["data"]:
        del line["price"]
    old["payment_intent"] = {"id": "pi_1", "object": "payment_intent"}
    old["charge"] = {"id": "ch_1", "object": "charge"}
    return old


def test_an_invoice_of_any_shape_is_the_same_fact() -> None:
    fact = shapes.invoice(INVOICE, price_of)
    assert fact == shapes.invoice(old_invoice(), nobody) == shapes.invoice(oldest_invoice(), nobody)
    assert fact == InvoiceFact(
        id="in_1", status=InvoiceStatus.paid, customer_id="cus_1", subscription_id="sub_1", due=800, paid=800,
        currency="USD", created_at=at(BEGAN), reason="subscription_update", number="A-1", attempts=1,
        intent_id="pi_1", charge_id="ch_1", page_url="https://i.example.com/1",
        pdf_url="https://i.example.com/1.pdf",
        lines=(
            InvoiceLine("il_1", 1500, "basic", Billing.monthly, at(BEGAN), at(ENDS)),
            InvoiceLine("il_2", -700, "basic", Billing.monthly, at(BEGAN), at(ENDS), proration=True),
        ),
    )  # fmt: skip


def test_an_invoice_that_waits_names_the_payment_it_waits_for() -> None:
    waiting = deepcopy(INVOICE) | {"status": "open", "amount_paid": 0, "next_payment_attempt": ENDS}
    waiting["payments"]["data"][1]["status"] = "open"
    fact = shapes.invoice(waiting, price_of)
    assert (fact.intent_id, fact.next_attempt_at, fact.paid) == ("pi_1", at(ENDS), 0)


def test_an_invoice_without_a_payment_or_a_subscription_says_so() -> None:
    free = {**INVOICE, "payments": {"object": "list", "data": []}, "parent": None}
    fact = shapes.invoice(free, price_of)
    assert (fact.intent_id, fact.charge_id, fact.subscription_id) == (None, None, None)


INTENT: dict[str, Any] = {
    "id": "pi_1", "object": "payment_intent", "status": "succeeded", "amount": 999, "amount_received": 999,
    "currency": "eur", "customer": "cus_1", "metadata": {"checkout_id": str(CHECKOUT)}, "last_payment_error": None,
    "latest_charge": {"id": "ch_1", "object": "charge", "receipt_url": "https://r.example.com/1"},
}  # fmt: skip


def test_an_intent_of_either_shape_is_the_same_fact() -> None:
    """Before 2022-11-15 an intent listed its charges."""
    old = {name: value for name, value in INTENT.items() if name not in ("latest_charge", "amount_received")}
    old["charges"] = {"object": "list", "data": [INTENT["latest_charge"]]}
    fact = shapes.intent(INTENT)
    assert fact == shapes.intent(old)
    assert fact == IntentFact(
        id="pi_1", checkout_id=CHECKOUT, status=IntentStatus.succeeded, amount=999, received=999, currency="EUR",
        customer_id="cus_1", charge_id="ch_1", receipt_url="https://r.example.com/1",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "ours"),
    [
        ("requires_payment_method", IntentStatus.waiting),
        ("requires_confirmation", IntentStatus.waiting),
        ("requires_action", IntentStatus.waiting),
        ("requires_capture", IntentStatus.processing),
        ("processing", IntentStatus.processing),
        ("canceled", IntentStatus.canceled),
    ],
)
def test_money_that_has_not_come_is_not_received(status: str, ours: IntentStatus) -> None:
    error = {"code": "card_declined", "decline_code": "insufficient_funds"}
    fact = shapes.intent({**INTENT, "status": status, "amount_received": 0, "last_payment_error": error})
    assert (fact.status, fact.received, fact.decline) == (ours, 0, "insufficient_funds")
    bare = shapes.intent({**INTENT, "status": status, "amount_received": 0, "latest_charge": "ch_1", "metadata": {}})
    assert (bare.charge_id, bare.receipt_url, bare.checkout_id, bare.decline) == ("ch_1", None, None, None)


def test_a_decline_without_a_code_of_the_bank_has_stripes() -> None:
    error = {"code": "payment_intent_authentication_failure"}
    fact = shapes.intent({**INTENT, "status": "requires_payment_method", "last_payment_error": error})
    assert fact.decline == "payment_intent_authentication_failure"


PAGE: dict[str, Any] = {
    "id": "cs_1", "object": "checkout.session", "mode": "payment", "status": "complete", "payment_status": "paid",
    "amount_total": 999, "currency": "usd", "customer": "cus_1", "client_reference_id": str(CHECKOUT),
    "metadata": {"checkout_id": str(CHECKOUT)}, "payment_intent": "pi_1", "subscription": None,
}  # fmt: skip


UNPAID: dict[str, Any] = {"payment_status": "unpaid"}


def test_a_page_is_a_fact() -> None:
    assert shapes.page(PAGE) == PageFact(
        id="cs_1", checkout_id=CHECKOUT, status=PageStatus.complete, paid=True, amount=999, currency="USD",
        customer_id="cus_1", intent_id="pi_1",
    )  # fmt: skip
    for without in ("client_reference_id", "metadata"):
        assert shapes.page({**PAGE, without: None}).checkout_id == CHECKOUT
    elsewhere = {**PAGE, "client_reference_id": "order 17", "metadata": {"checkout_id": "x"}}
    assert shapes.page(elsewhere).checkout_id is None


@pytest.mark.parametrize(
    ("members", "paid", "failed"),
    [
        ({"status": "open", "payment_status": "unpaid", "payment_intent": None}, False, False),
        ({"status": "open", "payment_status": "no_payment_required"}, False, False),
        ({"status": "expired", "payment_status": "unpaid"}, False, False),
        ({"payment_status": "no_payment_required", "payment_intent": None, "amount_total": 0}, True, False),
        (UNPAID | {"payment_intent": {"id": "pi_1", "status": "processing"}}, False, False),
        (UNPAID | {"payment_intent": {"id": "pi_1", "status": "canceled"}}, False, True),
        (UNPAID | {"payment_intent": {"id": "pi_1", "status": "requires_payment_method"}}, False, True),
        (UNPAID | {"subscription": {"id": "sub_1", "status": "incomplete_expired"}}, False, True),
        (UNPAID | {"subscription": {"id": "sub_1", "status": "incomplete"}}, False, False),
        ({"payment_intent": {"id": "pi_1", "status": "succeeded"}}, True, False),
    ],
)  # fmt: skip
def test_a_page_is_paid_only_when_the_money_came(members: dict[str, Any], paid: bool, failed: bool) -> None:
    fact = shapes.page({**PAGE, **members})
    assert (fact.paid, fact.failed) == (paid, failed)


def test_a_refund_and_a_dispute_are_facts() -> None:
    given = {"id": "re_1", "object": "refund", "amount": 5, "currency": "usd", "charge": "ch_1", "created": BEGAN}
    fact = shapes.refund({**given, "payment_intent": {"id": "pi_1"}, "status": "succeeded"})
    assert fact == RefundFact("re_1", RefundStatus.succeeded, 5, "USD", "pi_1", "ch_1", at(BEGAN))
    for status, ours in (
        ("pending", "pending"),
        ("requires_action", "pending"),
        ("failed", "failed"),
        (None, "pending"),
    ):
        assert shapes.refund({**given, "payment_intent": None, "status": status}).status == ours
    taken = {"id": "dp_1", "object": "dispute", "amount": 5, "currency": "usd", "charge": "ch_1", "created": BEGAN}
    dispute = shapes.dispute({**taken, "payment_intent": "pi_1", "status": "needs_response"})
    assert dispute == DisputeFact("dp_1", DisputeStatus.open, 5, "USD", "pi_1", "ch_1", at(BEGAN))
    for status, word in (
        ("under_review", "open"), ("won", "won"), ("lost", "lost"), ("warning_needs_response", "warning"),
        ("warning_under_review", "warning"), ("warning_closed", "warning"), ("prevented", "warning"),
    ):  # fmt: skip
        assert shapes.dispute({**taken, "status": status}).status == word
