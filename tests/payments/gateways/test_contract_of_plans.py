"""The contract of both gateways about subscriptions: the same calls, the same facts. See `test_contract.py`."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from models.catalog import Billing, Money
from models.payments.facts import (
    InvoiceStatus,
    SubscriptionStatus,
)
from tests.payments.gateways.conftest import BASIC, PREMIUM, PREMIUM_YEAR, World, plan
from worker.payments.gateway import Declined, Refused
from worker.payments.mock import billing, counter
from worker.payments.mock.cards import (
    FAILS_LATER,
    GOOD,
)

MONTH = timedelta(days=27), timedelta(days=32)


def test_a_subscription_begins_with_its_first_paid_invoice(world: World) -> None:
    customer, sale = world.customer(), plan()
    page = world.bought(customer, sale)
    assert (page.paid, page.amount, page.checkout_id) == (True, 1500, sale.checkout_id)
    fact = world.gateway.subscription(page.subscription_id or "")
    assert (fact.status, fact.plan, fact.billing) == (SubscriptionStatus.active, "basic", Billing.monthly)
    assert (fact.customer_id, fact.checkout_id) == (customer, sale.checkout_id)
    assert MONTH[0] < fact.period_ends_at - fact.period_starts_at < MONTH[1]
    assert (fact.cancels_at, fact.ended_at, fact.trial_ends_at, fact.next_plan) == (None, None, None, None)
    invoice = world.gateway.invoice(fact.latest_invoice_id or "")
    assert (invoice.status, invoice.due, invoice.paid, invoice.currency) == (InvoiceStatus.paid, 1500, 1500, "USD")
    assert (invoice.subscription_id, invoice.customer_id) == (fact.id, customer)
    assert invoice.reason == "subscription_create"
    assert world.gateway.intent(invoice.intent_id or "").charge_id == invoice.charge_id
    assert invoice.page_url is not None
    [line] = invoice.lines
    assert (line.amount, line.plan, line.billing, line.proration) == (1500, "basic", Billing.monthly, False)
    assert (line.starts_at, line.ends_at) == (fact.period_starts_at, fact.period_ends_at)


def test_a_trial_takes_no_money_until_it_ends(world: World) -> None:
    customer = world.customer()
    fact = world.subscribed(customer, plan(trial_days=7))
    assert fact.status is SubscriptionStatus.trialing
    assert fact.trial_ends_at == fact.period_ends_at == fact.period_starts_at + timedelta(days=7)
    first = world.gateway.invoice(fact.latest_invoice_id or "")
    assert (first.status, first.due, first.intent_id) == (InvoiceStatus.paid, 0, None)
    then = world.period_over(fact)
    assert then.status is SubscriptionStatus.active
    assert then.period_starts_at < then.period_ends_at
    assert world.gateway.invoice(then.latest_invoice_id or "").paid == 1500


def test_a_renewal_is_paid_by_the_saved_card(world: World) -> None:
    before = world.subscribed(world.customer())
    after = world.period_over(before)
    assert after.latest_invoice_id != before.latest_invoice_id
    invoice = world.gateway.invoice(after.latest_invoice_id or "")
    assert (invoice.reason, invoice.status, invoice.paid) == ("subscription_cycle", InvoiceStatus.paid, 1500)
    assert (invoice.lines[0].starts_at, invoice.lines[0].ends_at) == (after.period_starts_at, after.period_ends_at)


def test_a_renewal_that_fails_is_past_due_until_another_card_pays(world: World) -> None:
    customer = world.customer()
    fact = world.subscribed(customer)
    assert world.do(counter.choose_card, customer, FAILS_LATER)
    late = world.period_over(fact)
    assert late.status is SubscriptionStatus.past_due
    owed = world.gateway.invoice(late.latest_invoice_id or "")
    assert (owed.status, owed.due, owed.paid, owed.attempts) == (InvoiceStatus.open, 1500, 0, 1)
    assert owed.next_attempt_at == owed.created_at + timedelta(days=3)
    assert "invoice.payment_failed" in world.told()
    assert not world.do(billing.pay, owed.id, present=True)
    assert world.do(counter.choose_card, customer, GOOD)
    assert world.do(billing.pay, owed.id, present=True)
    assert world.gateway.invoice(owed.id).status is InvoiceStatus.paid
    assert world.gateway.subscription(fact.id).status is SubscriptionStatus.active


def test_an_upgrade_is_billed_at_once_for_the_rest_of_the_period(world: World) -> None:
    before = world.subscribed(world.customer())
    after = world.gateway.change_plan(
        before, plan="premium", billing=Billing.monthly, price=PREMIUM, prorate=True, key="change:1"
    )
    assert (after.plan, after.billing, after.next_plan) == ("premium", Billing.monthly, None)
    assert (after.id, after.period_ends_at) == (before.id, before.period_ends_at)
    invoice = world.gateway.invoice(after.latest_invoice_id or "")
    assert (invoice.reason, invoice.status) == ("subscription_update", InvoiceStatus.paid)
    assert [(line.plan, line.proration) for line in invoice.lines] == [("basic", True), ("premium", True)]
    # Seconds have gone by, of a month: nearly the whole difference.
    assert 1398 <= invoice.paid <= 1400
    again = world.gateway.change_plan(
        before, plan="premium", billing=Billing.monthly, price=PREMIUM, prorate=True, key="change:1"
    )
    assert again.latest_invoice_id == after.latest_invoice_id


def test_an_upgrade_to_a_year_begins_a_year_now(world: World) -> None:
    before = world.subscribed(world.customer())
    after = world.gateway.change_plan(
        before, plan="premium", billing=Billing.yearly, price=PREMIUM_YEAR, prorate=True, key="change:1"
    )
    assert (after.plan, after.billing) == ("premium", Billing.yearly)
    assert timedelta(days=364) < after.period_ends_at - after.period_starts_at < timedelta(days=367)
    assert 27_500 <= world.gateway.invoice(after.latest_invoice_id or "").paid <= 27_502


def test_an_upgrade_that_is_declined_changes_nothing(world: World) -> None:
    customer = world.customer()
    before = world.subscribed(customer)
    assert world.do(counter.choose_card, customer, FAILS_LATER)
    with pytest.raises(Declined):
        world.gateway.change_plan(
            before, plan="premium", billing=Billing.monthly, price=PREMIUM, prorate=True, key="change:1"
        )
    assert world.gateway.subscription(before.id) == before


def test_a_downgrade_counts_from_the_next_period(world: World) -> None:
    before = world.subscribed(world.customer(), plan(PREMIUM, "premium"))
    after = world.gateway.change_plan(
        before, plan="basic", billing=Billing.monthly, price=BASIC, prorate=False, key="change:1"
    )
    assert (after.plan, after.next_plan, after.next_billing) == ("premium", "basic", Billing.monthly)
    assert after.latest_invoice_id == before.latest_invoice_id
    then = world.period_over(after)
    assert (then.plan, then.next_plan) == ("basic", None)
    assert world.gateway.invoice(then.latest_invoice_id or "").paid == 1500


def test_a_downgrade_can_be_taken_back_or_followed_by_something_else(world: World) -> None:
    before = world.subscribed(world.customer(), plan(PREMIUM, "premium"))

    def to(plan: str, price: Money, *, prorate: bool, billing: Billing = Billing.monthly) -> tuple[str | None, ...]:
        key = f"change:{uuid4()}"
        now = world.gateway.change_plan(before, plan=plan, billing=billing, price=price, prorate=prorate, key=key)
        return now.plan, now.next_plan, now.next_billing

    assert to("basic", BASIC, prorate=False) == ("premium", "basic", "monthly")
    assert to("premium", PREMIUM, prorate=False) == ("premium", None, None)
    assert to("basic", BASIC, prorate=False) == ("premium", "basic", "monthly")
    assert to("premium", PREMIUM_YEAR, prorate=False, billing=Billing.yearly) == ("premium", "premium", "yearly")
    assert to("premium", PREMIUM_YEAR, prorate=True, billing=Billing.yearly) == ("premium", None, None)


def test_a_downgrade_in_a_trial_waits_for_its_end(world: World) -> None:
    before = world.subscribed(world.customer(), plan(PREMIUM, "premium", trial_days=5))
    after = world.gateway.change_plan(
        before, plan="basic", billing=Billing.monthly, price=BASIC, prorate=False, key="change:1"
    )
    assert (after.status, after.trial_ends_at) == (SubscriptionStatus.trialing, before.trial_ends_at)
    assert world.period_over(after).plan == "basic"


def test_a_subscription_is_canceled_at_the_end_of_its_period_unless_resumed(world: World) -> None:
    fact = world.subscribed(world.customer())
    ends = world.gateway.cancel(fact.id, at_period_end=True, key="cancel:1")
    assert (ends.status, ends.cancels_at) == (SubscriptionStatus.active, fact.period_ends_at)
    assert world.gateway.resume(fact.id, key="resume:1").cancels_at is None
    world.gateway.cancel(fact.id, at_period_end=True, key="cancel:2")
    over = world.period_over(fact)
    assert over.status is SubscriptionStatus.canceled
    assert over.ended_at is not None
    assert over.latest_invoice_id == fact.latest_invoice_id
    assert world.told()[-1] == "customer.subscription.deleted"
    with pytest.raises(Refused):
        world.gateway.resume(fact.id, key="resume:2")


def test_a_cancellation_takes_back_what_was_to_follow(world: World) -> None:
    fact = world.subscribed(world.customer(), plan(PREMIUM, "premium"))
    world.gateway.change_plan(fact, plan="basic", billing=Billing.monthly, price=BASIC, prorate=False, key="change:1")
    ends = world.gateway.cancel(fact.id, at_period_end=True, key="cancel:1")
    assert (ends.next_plan, ends.cancels_at) == (None, fact.period_ends_at)


def test_a_subscription_is_canceled_at_once_and_only_once(world: World) -> None:
    fact = world.subscribed(world.customer())
    over = world.gateway.cancel(fact.id, at_period_end=False, key="cancel:1")
    assert over.status is SubscriptionStatus.canceled
    assert world.gateway.cancel(fact.id, at_period_end=False, key="cancel:1") == over
    assert world.gateway.cancel(fact.id, at_period_end=False, key="cancel:2") == over
    assert world.told().count("customer.subscription.deleted") == 1
