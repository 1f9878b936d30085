"""The gateways under test, and those who play along: customers at the pages, banks, time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from config import Settings, settings
from models.catalog import Billing, Money
from models.database import readings
from models.payments import mock_objects
from models.payments.facts import PageFact, SubscriptionFact
from tests.payments.gateways import stripe_stub
from tests.payments.gateways.stripe_stub import Stub
from worker.payments.gateway import Gateway, OpenedPage, Sale
from worker.payments.mock import MockGateway, bank, billing, counter
from worker.payments.mock.cards import GOOD
from worker.payments.mock.till import till
from worker.payments.stripe_client import client
from worker.payments.stripe_gateway import StripeGateway

SHOP = "https://shop.example.com"
BASIC = Money(amount=1500, currency="USD")
PREMIUM = Money(amount=2900, currency="USD")
PREMIUM_YEAR = Money(amount=29000, currency="USD")


@dataclass
class World:
    """A gateway, and what happens on its other side."""

    gateway: Gateway

    def customer(self) -> str:
        user_id = uuid4()
        return self.gateway.create_customer(user_id=user_id, email="ann@example.com", key=f"customer:{user_id}")

    def page(self, customer: str, sale: Sale | None = None) -> OpenedPage:
        sale = sale or pack()
        return self.gateway.open_page(
            sale, customer_id=customer, success_url=f"{SHOP}/thanks", cancel_url=f"{SHOP}/pity",
            key=f"checkout:{sale.checkout_id}",
        )  # fmt: skip

    def bought(self, customer: str, sale: Sale | None = None, card: str = GOOD) -> PageFact:
        page = self.page(customer, sale)
        assert self.do(counter.pay, page.id, card)
        return self.gateway.page(page.id)

    def subscribed(self, customer: str, sale: Sale | None = None, card: str = GOOD) -> SubscriptionFact:
        fact = self.bought(customer, sale or plan(), card)
        assert fact.subscription_id is not None
        return self.gateway.subscription(fact.subscription_id)

    def period_over(self, subscription: SubscriptionFact) -> SubscriptionFact:
        self.do(billing.end_period, subscription.id)
        return self.gateway.subscription(subscription.id)

    def disputed(self, charge_id: str, **how: Any) -> str:
        with till() as at:
            made = bank.open_dispute(at, at.take(charge_id), **how)
        return str(made["id"])

    def do(self, act: Callable[..., Any], *what: Any, **how: Any) -> Any:
        with till() as at:
            return act(at, *what, **how)

    def told(self) -> list[str]:
        """The types of the events so far."""
        with readings() as session:
            return [event["type"] for event in mock_objects.undelivered(session)]


def pack(amount: int = 999, currency: str = "USD", checkout_id: UUID | None = None) -> Sale:
    return Sale(checkout_id or uuid4(), "Starter", Money(amount=amount, currency=currency))


def plan(price: Money = BASIC, name: str = "basic", trial_days: int | None = None) -> Sale:
    return Sale(uuid4(), name.title(), price, plan=name, billing=Billing.monthly, trial_days=trial_days)


def with_stripe(url: str) -> Settings:
    """The settings of this process, with a Stripe at this address."""
    return settings().model_copy(update={"stripe_secret_key": SecretStr(stripe_stub.KEY), "stripe_api_base": url})


@pytest.fixture(scope="session")
def stub_server() -> Iterator[Stub]:
    with stripe_stub.running() as stub:
        yield stub


@pytest.fixture
def stub(stub_server: Stub, sqlite: str) -> Stub:
    """A Stripe of our own, with nothing in it; its objects are in the test's database."""
    stub_server.forget()
    return stub_server


@pytest.fixture(params=["mock on sqlite", "mock on postgresql", "stripe"])
def world(request: pytest.FixtureRequest) -> World:
    """Both gateways, one after the other; the mock on both databases."""
    if request.param == "stripe":
        stub: Stub = request.getfixturevalue("stub")
        return World(StripeGateway(client(with_stripe(stub.url))))
    request.getfixturevalue(request.param.removeprefix("mock on "))
    return World(MockGateway())
