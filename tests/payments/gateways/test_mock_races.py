"""Many at once at the mock gateway: what carries one key happens once, and what is paid is paid once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from tests.payments.gateways.conftest import World, pack
from worker.payments.gateway import Declined, Refused
from worker.payments.mock import MockGateway, bank, counter
from worker.payments.mock.cards import FAILS_LATER, GOOD

CALLERS = 6


@pytest.fixture
def house(database: str) -> World:
    return World(MockGateway())


def at_once(call: Callable[[], Any]) -> list[Any]:
    """What several callers at the same moment get; a refusal is an answer as well."""
    line = Barrier(CALLERS)

    def one(_: int) -> Any:
        line.wait()
        try:
            return call()
        except (Refused, Declined) as error:
            return error.code

    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(one, range(CALLERS)))


def test_one_key_charges_once(house: World) -> None:
    customer, sale = house.customer(), pack()
    house.bought(customer)
    charged = at_once(lambda: house.gateway.charge_saved_card(sale, customer_id=customer, key="checkout:1"))
    assert len({each.id for each in charged}) == 1
    assert house.told().count("payment_intent.succeeded") == 2


def test_one_key_is_declined_once(house: World) -> None:
    customer, sale = house.customer(), pack()
    house.do(counter.choose_card, customer, FAILS_LATER)
    answers = at_once(lambda: house.gateway.charge_saved_card(sale, customer_id=customer, key="checkout:1"))
    assert answers == ["generic_decline"] * CALLERS
    assert house.told().count("payment_intent.payment_failed") == 1


def test_a_page_is_paid_once(house: World) -> None:
    page = house.page(house.customer())
    answers = at_once(lambda: house.do(counter.pay, page.id, GOOD))
    assert sorted(answers, key=str) == sorted([True] + ["payment_intent_unexpected_state"] * (CALLERS - 1), key=str)
    assert house.told().count("payment_intent.succeeded") == 1


def test_a_renewal_is_due_once(house: World) -> None:
    fact = house.subscribed(house.customer())
    house.do(_make_due, fact.id)
    at_once(house.gateway.let_time_pass)
    assert house.told().count("invoice.paid") == 2


def test_money_goes_back_once(house: World) -> None:
    intent_id = house.bought(house.customer()).intent_id or ""
    answers = at_once(lambda: house.do(bank.give_back, intent_id)["amount"])
    assert sorted(answers, key=str) == sorted([999] + ["charge_already_refunded"] * (CALLERS - 1), key=str)


def _make_due(at: Any, subscription_id: str) -> None:
    found = at.take(subscription_id)
    found["items"]["data"][0]["current_period_end"] = found["_due"] = at.now - 1
