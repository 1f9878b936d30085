"""What goes wrong between us and Stripe, over real HTTP: what it is in our words, and that nothing happens twice."""

from __future__ import annotations

from uuid import uuid4

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from models.catalog import Billing
from models.payments.facts import IntentStatus
from ops.embedded import free_port
from tests.payments.gateways.conftest import PREMIUM_YEAR, World, pack, plan, with_stripe
from tests.payments.gateways.stripe_stub import KEY, Fault, Stub, wait_until
from worker.payments.gateway import Refused, Unreachable
from worker.payments.stripe_client import client
from worker.payments.stripe_gateway import StripeGateway

IMPATIENT = (1.0, 0.3)
"""Seconds to connect, and to wait for an answer."""


@pytest.fixture
def world(stub: Stub) -> World:
    return World(StripeGateway(client(with_stripe(stub.url))))


@pytest.mark.parametrize(
    ("fault", "code", "retry_after"),
    [
        (Fault(429, {"Retry-After": "7"}), "gateway_busy", 7.0),
        (Fault(429, {"Retry-After": "soon"}), "gateway_busy", None),
        (Fault(429), "gateway_busy", None),
        (Fault(500), "gateway_failing", None),
        (Fault(503, {"Retry-After": "2.5"}), "gateway_failing", 2.5),
        (Fault(409, {"Retry-After": "1"}), "gateway_conflict", 1.0),
        (Fault(cut=True), "gateway_unreachable", None),
        (Fault(cut=True, slow=True), "gateway_unreachable", None),
    ],
)
def test_what_may_work_later_is_asked_again_with_the_same_key(
    world: World, stub: Stub, fault: Fault, code: str, retry_after: float | None
) -> None:
    """Also when the money was taken and only the answer was lost: the second call finds what the first one did."""
    customer = world.customer()
    world.bought(customer)
    before = world.told().count("payment_intent.succeeded")
    sale = pack(amount=4200)
    asks = StripeGateway(client(with_stripe(stub.url), timeouts=IMPATIENT)) if fault.slow else world.gateway
    stub.faults.append(fault)
    with pytest.raises(Unreachable) as failed:
        asks.charge_saved_card(sale, customer_id=customer, key=f"checkout:{sale.checkout_id}")
    assert (failed.value.code, failed.value.retry_after) == (code, retry_after)
    handled_at_first = fault.cut
    wait_until(lambda: world.told().count("payment_intent.succeeded") == before + handled_at_first)
    charged = world.gateway.charge_saved_card(sale, customer_id=customer, key=f"checkout:{sale.checkout_id}")
    assert (charged.fact.status, charged.fact.received) == (IntentStatus.succeeded, 4200)
    assert world.told().count("payment_intent.succeeded") == before + 1
    asked = [each for each in stub.changes("/v1/payment_intents") if each.params["amount"] == "4200"]
    assert [each.key for each in asked] == [f"checkout:{sale.checkout_id}"] * 2
    assert asked[0].params == asked[1].params


def test_nothing_is_tried_twice_by_itself(world: World, stub: Stub) -> None:
    stub.faults.append(Fault(500))
    with pytest.raises(Unreachable):
        world.customer()
    assert len(stub.changes("/v1/customers")) == 1


def test_a_stripe_that_is_not_there_cannot_be_reached(sqlite: str) -> None:
    nobody = StripeGateway(client(with_stripe(f"http://127.0.0.1:{free_port()}"), timeouts=IMPATIENT))
    with pytest.raises(Unreachable) as failed:
        nobody.intent("pi_1")
    assert failed.value.code == "gateway_unreachable"


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        (400, {"type": "invalid_request_error", "code": "url_invalid", "param": "success_url"}, "url_invalid"),
        (400, {"type": "invalid_request_error", "param": "amount"}, "gateway_refused"),
        (403, {"type": "invalid_request_error"}, "gateway_key_lacks_permission"),
    ],
)
def test_what_will_never_work_is_refused_without_a_word_of_what_was_sent(
    world: World, stub: Stub, status: int, error: dict[str, str], code: str
) -> None:
    stub.faults.append(Fault(status, body={"error": {"message": "Not a valid URL: https://ann@secret/", **error}}))
    with capture_logs() as logs, pytest.raises(Refused) as refused:
        world.customer()
    assert refused.value.code == code
    told = f"{refused.value} {refused.value.message} {refused.value.__cause__} {logs}"
    assert "ann@" not in told
    assert "stripe_said_no" in told


def test_a_key_that_is_not_accepted_is_not_shown(stub: Stub) -> None:
    wrong = "sk_test_somebody_elses"
    chosen = with_stripe(stub.url).model_copy(update={"stripe_secret_key": SecretStr(wrong)})
    with capture_logs() as logs, pytest.raises(Refused) as refused:
        StripeGateway(client(chosen)).intent("pi_1")
    assert refused.value.code == "gateway_key_refused"
    told = f"{refused.value} {logs}"
    assert "stripe_said_no" in told
    assert wrong not in told
    assert "sk_test_****" not in told


def test_every_change_carries_a_key_and_every_call_our_version(world: World, stub: Stub) -> None:
    """The stub refuses what does not; here it is seen that all changes were among what it saw."""
    customer = world.customer()
    fact = world.subscribed(customer)
    paid = world.bought(customer)
    gateway = world.gateway
    gateway.change_plan(fact, plan="premium", billing=Billing.yearly, price=PREMIUM_YEAR, prorate=False, key="a")
    gateway.cancel(fact.id, at_period_end=True, key="b")
    gateway.resume(fact.id, key="c")
    gateway.cancel(fact.id, at_period_end=False, key="d")
    gateway.give_back(intent_id=paid.intent_id or "", amount=1, key="e")
    gateway.portal(customer_id=customer, return_url="https://shop.example.com")
    gateway.close(world.page(customer).id)
    gateway.close(gateway.open_intent(pack(), customer_id=customer, key="f").id)
    changes = stub.changes(".*")
    assert {(each.method, each.path.split("/")[2]) for each in changes} == {
        ("POST", "billing_portal"), ("POST", "checkout"), ("POST", "customers"), ("POST", "payment_intents"),
        ("POST", "prices"), ("POST", "products"), ("POST", "refunds"), ("POST", "subscription_schedules"),
        ("POST", "subscriptions"), ("DELETE", "subscriptions"),
    }  # fmt: skip
    assert all(each.key for each in changes)
    assert len({each.key for each in changes}) == len(changes), "two different changes have one key"
    assert {each.headers["stripe-version"] for each in stub.seen} == {"2026-10-28.endive"}
    assert {each.headers["authorization"] for each in stub.seen} == {f"Bearer {KEY}"}


def test_the_price_of_a_plan_is_made_once(world: World, stub: Stub) -> None:
    customer, sale = world.customer(), plan()
    world.page(customer, sale)
    world.page(customer, plan())
    [made] = stub.changes("/v1/prices")
    assert made.params["lookup_key"] == "coinop:basic:monthly:1500:USD"
    assert made.params["metadata"] == {"plan": "basic", "billing": "monthly"}
    assert len(stub.changes("/v1/products")) == 1


def test_a_pack_carries_its_price_and_its_checkout(world: World, stub: Stub) -> None:
    sale = pack(amount=123, currency="EUR", checkout_id=uuid4())
    world.page(world.customer(), sale)
    [made] = stub.changes("/v1/checkout/sessions")
    assert made.params["client_reference_id"] == str(sale.checkout_id)
    assert made.params["metadata"] == made.params["payment_intent_data"]["metadata"]
    assert made.params["line_items"] == [
        {"quantity": "1", "price_data": {"currency": "eur", "unit_amount": "123", "product_data": {"name": "Starter"}}}
    ]
    assert "price" not in made.params["line_items"][0]
