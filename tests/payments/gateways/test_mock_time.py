"""What time does at the mock gateway, and how it tells of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import delete, select

from config import settings
from models.catalog import Billing
from models.database import moment, sessions
from models.outbox import Outbox
from models.payments import mock_objects
from models.payments.facts import InvoiceStatus, PageStatus, SubscriptionStatus
from tasks import mock_payments
from tests.payments.gateways.conftest import BASIC, PREMIUM, World, plan
from tests.payments.signing import sign
from tests.plans.clock import Clock, clock, utc
from worker.payments.mock import MockGateway, counter, posting
from worker.payments.mock.cards import FAILS_LATER, GOOD

__all__ = ["clock"]


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str:
    """Mostly one of the two: what is due, and the months, are looked for on both."""
    url: str = request.getfixturevalue(getattr(request, "param", "sqlite"))
    return url


@pytest.fixture
def house(clock: Clock) -> World:
    """The mock gateway under a clock that can be moved."""
    return World(MockGateway())


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_months_are_counted_from_the_day_a_subscription_began(house: World, clock: Clock) -> None:
    """Also when nobody looked for a quarter of a year: one invoice for each month, each for its own."""
    clock.set(utc(2027, 1, 31, 12))
    fact = house.subscribed(house.customer())
    clock.set(utc(2027, 4, 15, 12))
    house.gateway.let_time_pass()
    house.gateway.let_time_pass()
    now = house.gateway.subscription(fact.id)
    assert (now.period_starts_at.date(), now.period_ends_at.date()) == (
        utc(2027, 3, 31).date(),
        utc(2027, 4, 30).date(),
    )
    with sessions() as session:
        invoices = mock_objects.where(session, "invoice", customer=fact.customer_id)
    assert [each["billing_reason"] for each in invoices].count("subscription_cycle") == 2
    assert {each["status"] for each in invoices} == {"paid"}
    begun = {house.gateway.invoice(each["id"]).lines[0].starts_at.date() for each in invoices}
    assert begun == {utc(2027, 1, 31).date(), utc(2027, 2, 28).date(), utc(2027, 3, 31).date()}


def test_a_renewal_is_tried_three_times_more_and_then_it_is_over(house: World, clock: Clock) -> None:
    customer = house.customer()
    fact = house.subscribed(customer)
    house.do(counter.choose_card, customer, FAILS_LATER)
    clock.move(days=32)
    for attempts, wait in ((1, 3), (2, 5), (3, 7)):
        house.gateway.let_time_pass()
        owed = house.gateway.invoice(house.gateway.subscription(fact.id).latest_invoice_id or "")
        assert (owed.attempts, owed.status) == (attempts, InvoiceStatus.open)
        assert house.gateway.subscription(fact.id).status is SubscriptionStatus.past_due
        clock.move(days=wait, minutes=-5)
        house.gateway.let_time_pass()
        assert house.gateway.invoice(owed.id).attempts == attempts, "it is not due yet"
        clock.move(minutes=10)
    house.gateway.let_time_pass()
    over = house.gateway.subscription(fact.id)
    assert over.status is SubscriptionStatus.canceled
    assert house.told().count("invoice.payment_failed") == 4
    assert house.told().count("customer.subscription.deleted") == 1
    clock.move(days=60)
    house.gateway.let_time_pass()
    assert house.gateway.subscription(fact.id) == over


def test_a_later_attempt_with_a_good_card_ends_the_trouble(house: World, clock: Clock) -> None:
    customer = house.customer()
    fact = house.subscribed(customer)
    house.do(counter.choose_card, customer, FAILS_LATER)
    clock.move(days=32)
    house.gateway.let_time_pass()
    house.do(counter.choose_card, customer, GOOD)
    clock.move(days=3, minutes=1)
    house.gateway.let_time_pass()
    now = house.gateway.subscription(fact.id)
    assert now.status is SubscriptionStatus.active
    paid = house.gateway.invoice(now.latest_invoice_id or "")
    assert (paid.status, paid.attempts, paid.next_attempt_at) == (InvoiceStatus.paid, 2, None)


def test_the_end_of_a_trial_is_told_three_days_ahead_once(house: World, clock: Clock) -> None:
    fact = house.subscribed(house.customer(), plan(trial_days=14))
    house.gateway.let_time_pass()
    assert "customer.subscription.trial_will_end" not in house.told()
    clock.move(days=11, minutes=1)
    house.gateway.let_time_pass()
    house.gateway.let_time_pass()
    assert house.told().count("customer.subscription.trial_will_end") == 1
    assert house.gateway.subscription(fact.id).status is SubscriptionStatus.trialing
    clock.move(days=3)
    house.gateway.let_time_pass()
    then = house.gateway.subscription(fact.id)
    assert (then.status, then.period_starts_at) == (SubscriptionStatus.active, fact.trial_ends_at)
    assert house.gateway.invoice(then.latest_invoice_id or "").paid == 1500


def test_what_is_to_follow_follows_when_the_period_ends(house: World, clock: Clock) -> None:
    fact = house.subscribed(house.customer(), plan(PREMIUM, "premium"))
    house.gateway.change_plan(fact, plan="basic", billing=Billing.monthly, price=BASIC, prorate=False, key="change:1")
    clock.move(days=20)
    house.gateway.let_time_pass()
    assert house.gateway.subscription(fact.id).plan == "premium"
    clock.move(days=12)
    house.gateway.let_time_pass()
    then = house.gateway.subscription(fact.id)
    assert (then.plan, then.next_plan, then.period_starts_at) == ("basic", None, fact.period_ends_at)
    assert house.gateway.invoice(then.latest_invoice_id or "").paid == 1500


def test_half_a_period_costs_half_the_difference(house: World, clock: Clock) -> None:
    clock.set(utc(2027, 6, 1))
    fact = house.subscribed(house.customer())
    clock.set(utc(2027, 6, 16))
    after = house.gateway.change_plan(
        fact, plan="premium", billing=Billing.monthly, price=PREMIUM, prorate=True, key="change:1"
    )
    invoice = house.gateway.invoice(after.latest_invoice_id or "")
    assert invoice.paid == 700
    assert [line.amount for line in invoice.lines] == [-750, 1450]


def test_a_subscription_that_was_canceled_ends_with_its_period(house: World, clock: Clock) -> None:
    fact = house.subscribed(house.customer())
    house.gateway.cancel(fact.id, at_period_end=True, key="cancel:1")
    clock.move(days=32)
    house.gateway.let_time_pass()
    over = house.gateway.subscription(fact.id)
    assert (over.status, over.latest_invoice_id) == (SubscriptionStatus.canceled, fact.latest_invoice_id)


def test_a_page_expires_after_a_day(house: World, clock: Clock) -> None:
    page = house.page(house.customer())
    clock.move(hours=23)
    mock_payments.let_time_pass()
    assert house.gateway.page(page.id).status is PageStatus.open
    clock.move(hours=2)
    mock_payments.let_time_pass()
    mock_payments.let_time_pass()
    assert house.gateway.page(page.id).status is PageStatus.expired
    assert house.told() == ["checkout.session.expired"]


def test_an_event_is_posted_until_somebody_takes_it(house: World, clock: Clock) -> None:
    house.gateway.close(house.page(house.customer()).id)
    [(task, event_id)] = _staged()
    assert task == "payments.post_mock_event"
    with mock.patch.object(posting, "post", return_value=False) as post:
        for wait in (5, 10, 20):
            mock_payments.post_event(event_id)
            with sessions() as session:
                due = session.execute(select(Outbox.due_at)).scalar_one()
                assert abs(due - moment(session) - timedelta(seconds=wait)) < timedelta(seconds=2)
            assert _staged() == [(task, event_id)]
        assert post.call_count == 3
    with mock.patch.object(posting, "post", return_value=True) as post:
        mock_payments.post_event(event_id)
        mock_payments.post_event(event_id)
        assert post.call_count == 1
    assert _staged() == []
    assert house.told() == []


@pytest.mark.parametrize("database", ["sqlite", "postgresql"], indirect=True)
def test_an_event_whose_worker_died_is_posted_again(house: World, clock: Clock) -> None:
    house.gateway.close(house.page(house.customer()).id)
    posting_it = _staged()
    mock_payments.let_time_pass()
    assert _staged() == [], "its own task may have it yet"
    clock.move(minutes=2)
    mock_payments.let_time_pass()
    assert _staged() == posting_it
    with mock.patch.object(posting, "post", return_value=True):
        mock_payments.post_event(posting_it[0][1])
    clock.move(minutes=2)
    mock_payments.let_time_pass()
    assert _staged() == []


def test_an_event_is_given_up_in_the_end(sqlite: str) -> None:
    assert posting.pause(posting.MOST_ATTEMPTS - 1) == posting.LONGEST_PAUSE_SECONDS
    assert posting.pause(posting.MOST_ATTEMPTS) is None


def test_an_event_goes_over_http_as_stripe_signs_it(sqlite: str) -> None:
    world = World(MockGateway())
    page = world.page(world.customer())
    world.gateway.close(page.id)
    with sessions() as session:
        [event] = mock_objects.undelivered(session)
    with _listening(answer=200) as (url, came):
        here = settings().model_copy(update={"public_url": f"{url}/behind/a/path"})
        assert posting.post({**event, "_attempts": 3}, here)
    [(path, body, signature, kind)] = came
    assert (path, kind) == ("/behind/a/path/v1/webhooks/stripe", "application/json; charset=utf-8")
    signed_at = int(signature.split(",")[0].removeprefix("t="))
    assert signature == sign(body, settings().webhook_secret, at=signed_at)
    told: dict[str, Any] = json.loads(body)
    assert (told["object"], told["type"], told["api_version"]) == (
        "event", "checkout.session.expired", "2026-10-28.endive",
    )  # fmt: skip
    assert told["data"]["object"]["id"] == page.id
    assert not [name for name in (*told, *told["data"]["object"]) if name.startswith("_")]
    with _listening(answer=500) as (url, _):
        assert not posting.post(event, settings().model_copy(update={"public_url": url}))
    assert not posting.post(event, settings().model_copy(update={"public_url": url}))


def _staged() -> list[tuple[str, str]]:
    with sessions() as session:
        rows = session.execute(select(Outbox.task, Outbox.args)).all()
        session.execute(delete(Outbox))
    return [(task, args[0]) for task, args in rows]


@contextmanager
def _listening(*, answer: int) -> Iterator[tuple[str, list[tuple[str, bytes, str, str]]]]:
    came: list[tuple[str, bytes, str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            came.append((self.path, body, self.headers["Stripe-Signature"], self.headers["Content-Type"]))
            self.send_response(answer)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", came
    finally:
        server.shutdown()
        server.server_close()
