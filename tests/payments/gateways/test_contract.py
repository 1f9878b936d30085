"""One contract for both gateways: the same calls, the same facts.

The mock runs on both databases; Stripe's gateway talks over HTTP to a Stripe of our own (`stripe_stub.py`). What a
Stripe that no one here wrote has to say is in `test_localstripe.py`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from models.catalog import Money
from models.payments.facts import (
    DisputeStatus,
    IntentStatus,
    PageStatus,
    RefundStatus,
)
from tests.payments.gateways.conftest import SHOP, World, pack
from worker.payments.gateway import Declined, Refused, Unreachable
from worker.payments.mock import bank, counter
from worker.payments.mock.cards import (
    AUTHENTICATE_ALWAYS,
    AUTHENTICATE_ONCE,
    DECLINED,
    DISPUTED,
    FAILS_LATER,
    GOOD,
    INSUFFICIENT_FUNDS,
)


def test_a_customer_is_made_once_for_each_key(world: World) -> None:
    user_id, other = uuid4(), uuid4()
    made = world.gateway.create_customer(user_id=user_id, email="ann@example.com", key="customer:1")
    assert world.gateway.create_customer(user_id=user_id, email="ann@example.com", key="customer:1") == made
    assert world.gateway.create_customer(user_id=other, email="", key="customer:2") != made
    with pytest.raises(Unreachable) as conflict:
        world.gateway.create_customer(user_id=other, email="eve@example.com", key="customer:1")
    assert conflict.value.code == "gateway_conflict"


def test_a_pack_is_paid_on_a_page_at_the_price_of_its_checkout(world: World) -> None:
    customer, sale = world.customer(), pack(amount=1234, currency="EUR")
    page = world.page(customer, sale)
    assert page.url
    assert page.expires_at > datetime.now(UTC) + timedelta(hours=23)
    opened = world.gateway.page(page.id)
    assert (opened.status, opened.paid, opened.failed) == (PageStatus.open, False, False)
    assert world.do(counter.pay, page.id, GOOD)
    paid = world.gateway.page(page.id)
    assert (paid.status, paid.paid, paid.failed) == (PageStatus.complete, True, False)
    assert (paid.amount, paid.currency) == (1234, "EUR")
    assert (paid.checkout_id, paid.customer_id, paid.subscription_id) == (sale.checkout_id, customer, None)
    assert paid.intent_id is not None
    intent = world.gateway.intent(paid.intent_id)
    assert (intent.status, intent.amount, intent.received) == (IntentStatus.succeeded, 1234, 1234)
    assert (intent.checkout_id, intent.customer_id, intent.decline) == (sale.checkout_id, customer, None)
    assert intent.charge_id is not None
    assert intent.receipt_url is not None
    assert world.told() == ["charge.succeeded", "payment_intent.succeeded", "checkout.session.completed"]


def test_the_same_page_is_opened_once(world: World) -> None:
    customer, sale = world.customer(), pack()
    page = world.page(customer, sale)
    assert world.page(customer, sale) == page
    with pytest.raises(Unreachable):
        # Another price under the same key: the first call counts, whatever it came to.
        world.page(customer, replace(sale, price=Money(amount=1, currency="USD")))
    assert world.gateway.page(page.id).amount == 999


def test_a_declined_card_leaves_a_page_open(world: World) -> None:
    page = world.page(world.customer())
    assert not world.do(counter.pay, page.id, INSUFFICIENT_FUNDS)
    assert world.gateway.page(page.id).status is PageStatus.open
    assert world.told() == ["payment_intent.payment_failed", "charge.failed"]
    assert world.do(counter.pay, page.id, GOOD)
    assert world.gateway.page(page.id).paid


def test_a_page_that_needs_authentication_waits_for_it(world: World) -> None:
    page = world.page(world.customer())
    assert not world.do(counter.require_authentication, page.id)
    assert not world.do(counter.authenticate, page.id, succeed=False)
    assert world.gateway.page(page.id).status is PageStatus.open
    assert not world.do(counter.require_authentication, page.id)
    assert world.do(counter.authenticate, page.id, succeed=True)
    assert world.gateway.page(page.id).paid


@pytest.mark.parametrize("arrives", [True, False])
def test_a_debit_is_complete_long_before_it_is_paid(world: World, arrives: bool) -> None:
    page = world.page(world.customer())
    world.do(counter.pay_later, page.id)
    on_its_way = world.gateway.page(page.id)
    assert (on_its_way.status, on_its_way.paid, on_its_way.failed) == (PageStatus.complete, False, False)
    assert world.gateway.intent(on_its_way.intent_id or "").status is IntentStatus.processing
    world.do(counter.arrive if arrives else counter.bounce, page.id)
    then = world.gateway.page(page.id)
    assert (then.paid, then.failed) == (arrives, not arrives)
    word = "succeeded" if arrives else "failed"
    assert world.told()[-1] == f"checkout.session.async_payment_{word}"


def test_a_page_that_is_closed_cannot_be_paid(world: World) -> None:
    page = world.page(world.customer())
    world.gateway.close(page.id)
    world.gateway.close(page.id)
    assert world.gateway.page(page.id).status is PageStatus.expired
    with pytest.raises(Refused):
        world.do(counter.pay, page.id, GOOD)
    assert world.told() == ["checkout.session.expired"]


def test_what_is_paid_stays_paid_when_it_is_closed(world: World) -> None:
    fact = world.bought(world.customer())
    world.gateway.close(fact.id)
    world.gateway.close(fact.intent_id or "")
    assert world.gateway.page(fact.id).paid
    assert world.gateway.intent(fact.intent_id or "").status is IntentStatus.succeeded


def test_a_pack_is_paid_with_a_form_of_the_front_ends_own(world: World) -> None:
    customer, sale = world.customer(), pack(amount=500, currency="JPY")
    opened = world.gateway.open_intent(sale, customer_id=customer, key="checkout:1")
    assert opened.client_secret.startswith(f"{opened.id}_secret_")
    assert opened.fact == world.gateway.intent(opened.id)
    assert (opened.fact.status, opened.fact.amount, opened.fact.currency) == (IntentStatus.waiting, 500, "JPY")
    assert opened.fact.checkout_id == sale.checkout_id
    again = world.gateway.open_intent(sale, customer_id=customer, key="checkout:1")
    assert (again.id, again.client_secret) == (opened.id, opened.client_secret)
    assert not world.do(counter.pay, opened.id, DECLINED)
    declined = world.gateway.intent(opened.id)
    assert (declined.status, declined.received, declined.decline) == (IntentStatus.waiting, 0, "generic_decline")
    assert world.do(counter.pay, opened.id, GOOD)
    paid = world.gateway.intent(opened.id)
    assert (paid.status, paid.received, paid.decline) == (IntentStatus.succeeded, 500, None)


def test_an_intent_that_is_closed_is_canceled(world: World) -> None:
    opened = world.gateway.open_intent(pack(), customer_id=world.customer(), key="checkout:1")
    world.gateway.close(opened.id)
    world.gateway.close(opened.id)
    assert world.gateway.intent(opened.id).status is IntentStatus.canceled


def test_a_saved_card_is_charged_once_for_each_key(world: World) -> None:
    customer, sale = world.customer(), pack(amount=700)
    with pytest.raises(Declined) as none:
        world.gateway.charge_saved_card(sale, customer_id=customer, key="checkout:0")
    assert none.value.code == "no_saved_card"
    world.bought(customer)
    first = world.gateway.charge_saved_card(sale, customer_id=customer, key="checkout:1")
    assert (first.fact.status, first.fact.received) == (IntentStatus.succeeded, 700)
    assert first.fact.checkout_id == sale.checkout_id
    assert world.gateway.charge_saved_card(sale, customer_id=customer, key="checkout:1").id == first.id
    assert world.told().count("payment_intent.succeeded") == 2


@pytest.mark.parametrize(
    ("card", "code"), [(FAILS_LATER, "generic_decline"), (AUTHENTICATE_ALWAYS, "authentication_required")]
)
def test_a_saved_card_can_be_declined_when_nobody_is_there(world: World, card: str, code: str) -> None:
    customer, sale = world.customer(), pack()
    assert world.do(counter.choose_card, customer, card)
    for _ in range(2):
        with pytest.raises(Declined) as declined:
            world.gateway.charge_saved_card(sale, customer_id=customer, key="checkout:1")
        assert declined.value.code == code
    assert world.told().count("payment_intent.succeeded") == 0


def test_a_card_that_was_authenticated_once_can_be_charged_later(world: World) -> None:
    customer = world.customer()
    page = world.page(customer)
    assert not world.do(counter.pay, page.id, AUTHENTICATE_ONCE)
    assert world.do(counter.authenticate, page.id, succeed=True)
    later = world.gateway.charge_saved_card(pack(), customer_id=customer, key="checkout:1")
    assert later.fact.status is IntentStatus.succeeded


def test_money_goes_back_in_parts_and_never_more_than_came(world: World) -> None:
    paid = world.bought(world.customer())
    intent_id = paid.intent_id or ""
    first = world.gateway.give_back(intent_id=intent_id, amount=300, key="refund:1")
    assert (first.status, first.amount, first.currency) == (RefundStatus.succeeded, 300, "USD")
    assert first.intent_id == intent_id
    assert world.gateway.give_back(intent_id=intent_id, amount=300, key="refund:1") == first
    with pytest.raises(Refused):
        world.gateway.give_back(intent_id=intent_id, amount=700, key="refund:2")
    # Somebody gives the rest back in the dashboard.
    outside = world.do(bank.give_back, intent_id)
    charge_id = world.gateway.intent(intent_id).charge_id or ""
    assert first.charge_id == charge_id
    refunds = {each.id: each.amount for each in world.gateway.refunds_of(charge_id=charge_id)}
    assert refunds == {first.id: 300, outside["id"]: 699}
    assert world.gateway.refund(outside["id"]).amount == 699
    assert world.told().count("charge.refunded") == 2


@pytest.mark.parametrize("won", [True, False])
def test_a_dispute_is_open_until_the_bank_decides(world: World, won: bool) -> None:
    charge_id = world.gateway.intent(world.bought(world.customer()).intent_id or "").charge_id or ""
    dispute_id = world.disputed(charge_id)
    fact = world.gateway.dispute(dispute_id)
    assert (fact.status, fact.amount, fact.charge_id) == (DisputeStatus.open, 999, charge_id)
    assert fact.intent_id is not None
    world.do(bank.close_dispute, dispute_id, won=won)
    assert world.gateway.dispute(dispute_id).status is (DisputeStatus.won if won else DisputeStatus.lost)
    assert world.told()[-1] == "charge.dispute.closed"


def test_an_inquiry_is_no_dispute_yet(world: World) -> None:
    charge_id = world.gateway.intent(world.bought(world.customer()).intent_id or "").charge_id or ""
    dispute_id = world.disputed(charge_id, inquiry=True)
    assert world.gateway.dispute(dispute_id).status is DisputeStatus.warning
    world.do(bank.close_dispute, dispute_id, won=True)
    assert world.gateway.dispute(dispute_id).status is DisputeStatus.warning


def test_a_card_can_be_disputed_at_once(world: World) -> None:
    world.bought(world.customer(), card=DISPUTED)
    assert "charge.dispute.created" in world.told()


def test_the_portal_has_an_address(world: World) -> None:
    customer = world.customer()
    first = world.gateway.portal(customer_id=customer, return_url=SHOP)
    assert first != world.gateway.portal(customer_id=customer, return_url=SHOP)
    assert first.startswith("http")


def test_all_that_changed_is_found_again(world: World) -> None:
    before = datetime.now(UTC) - timedelta(minutes=1)
    customer = world.customer()
    paid = world.bought(customer)
    refund = world.gateway.give_back(intent_id=paid.intent_id or "", amount=1, key="refund:1")
    unpaid = world.page(customer)
    subscription = world.period_over(world.subscribed(customer))
    dispute_id = world.disputed(world.gateway.invoice(subscription.latest_invoice_id or "").charge_id or "")
    found = {fact.id: fact for fact in world.gateway.changes_since(before)}
    assert found[paid.id] == paid
    assert found[paid.intent_id or ""] == world.gateway.intent(paid.intent_id or "")
    assert found[unpaid.id] == world.gateway.page(unpaid.id)
    assert found[refund.id] == refund
    assert found[subscription.id] == subscription
    assert found[subscription.latest_invoice_id or ""] == world.gateway.invoice(subscription.latest_invoice_id or "")
    assert found[dispute_id] == world.gateway.dispute(dispute_id)
    assert list(world.gateway.changes_since(datetime.now(UTC) + timedelta(minutes=1))) == []


def test_what_is_not_there_is_refused(world: World) -> None:
    for look in (world.gateway.page, world.gateway.intent, world.gateway.invoice, world.gateway.subscription):
        with pytest.raises(Refused) as refused:
            look("xx_missing")
        assert refused.value.code == "resource_missing"
