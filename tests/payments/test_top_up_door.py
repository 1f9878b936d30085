"""Auto top-up over HTTP, with tasks and the mock gateway behind it: the saved card is charged while nobody is there."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from models.database import sessions
from models.payments import checkouts
from models.payments.checkouts import Begun
from models.payments.tables import Checkout
from tasks import payments as tasks
from tests.accounts.people import code_of, id_of
from tests.http.conftest import Caller
from tests.payments import till
from tests.payments.hands import Hands
from tests.payments.shopping import at_the_gateway, buy, choose_card
from tests.plans.clock import Clock
from tests.races.test_job_races import wait_until_somebody_waits
from web.shelf import shelf
from worker.payments.mock.cards import FAILS_LATER, GOOD

PRICE = 2499
WISH: dict[str, Any] = {"wallet": "credits", "pack": "pro", "threshold": 50, "monthly_cap": 10 * PRICE}
NOT_SET_UP = (404, "not_found")


@pytest.fixture(autouse=True)
def store(caller: Caller) -> Iterator[None]:
    till.open_store()
    shelf.look_again()
    yield
    shelf.look_again()


def put(caller: Caller, **wish: Any) -> TestResponse:
    return caller.client.put("/v1/top-up", json={**WISH, **wish}, headers=caller.headers)


def shown(caller: Caller) -> tuple[str, int]:
    """What a top-up is said to be, and what it has cost."""
    seen = caller.get("/v1/top-up").json or {}
    return seen["status"], seen["spent"]


def spend_all(caller: Caller) -> None:
    till.spend(id_of(caller), caller.balance()["available"])


def bought() -> list[str]:
    """The states of what was bought while nobody was there."""
    with sessions() as session:
        rows = select(Checkout.state).where(Checkout.mode == "off_session").order_by(Checkout.created_at, Checkout.id)
        return [str(state) for state in session.scalars(rows)]


def _run(hands: Hands) -> None:
    """Beat's task twice, and all it leads to."""
    for _ in range(2):
        tasks.top_up.run()
    hands.work()
    for _ in range(2):
        tasks.top_up.run()


def test_it_is_set_up_shown_changed_and_switched_off(caller: Caller) -> None:
    assert code_of(caller.get("/v1/top-up")) == NOT_SET_UP
    made = put(caller)
    assert made.status_code == 200
    assert made.json == {
        "object": "top_up", **WISH, "currency": "EUR", "spent": 0, "status": "on", "paused_until": None
    }  # fmt: skip
    assert (put(caller, threshold=7).json or {})["threshold"] == 7
    assert (caller.get("/v1/top-up").json or {})["threshold"] == 7
    for _ in range(2):
        assert caller.client.delete("/v1/top-up", headers=caller.headers).status_code == 204
    assert code_of(caller.get("/v1/top-up")) == NOT_SET_UP
    assert caller.client.put("/v1/top-up", json=WISH).status_code == 401


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"wallet": "gold"}, "wallet"), ({"pack": "gold"}, "pack"), ({"wallet": "tokens"}, "pack"),
        ({"threshold": 0}, "threshold"), ({"threshold": "50"}, "threshold"), ({"monthly_cap": 0}, "monthly_cap"),
        ({"monthly_cap": PRICE - 1}, "monthly_cap"), ({"cap": 5}, "cap"),
    ],
)  # fmt: skip
def test_a_wrong_wish_is_refused_by_name_and_changes_nothing(caller: Caller, wish: dict[str, Any], field: str) -> None:
    answer = put(caller, **wish)
    assert (answer.status_code, [each["field"] for each in (answer.json or {})["errors"]]) == (422, [field])
    assert code_of(caller.get("/v1/top-up")) == NOT_SET_UP


def test_a_low_balance_is_filled_from_the_saved_card_once(caller: Caller, hands: Hands) -> None:
    buy(caller, hands, pack="pro")
    put(caller)
    _run(hands)
    assert (bought(), shown(caller)) == ([], ("on", 0)), "the balance is fine"
    spend_all(caller)
    tasks.top_up.run()
    assert shown(caller) == ("buying", PRICE)
    _run(hands)
    assert (bought(), shown(caller), caller.balance()["available"]) == (["paid"], ("on", PRICE), 160)
    [*_, charge] = at_the_gateway("charge")
    assert (charge["status"], charge["amount"], len(at_the_gateway("charge"))) == ("succeeded", PRICE, 2)
    [newest, _] = (caller.get("/v1/payments").json or {})["payments"]
    assert (newest["status"], newest["price"]["amount"], newest["title"]) == ("succeeded", PRICE, "Pro")
    till.books_are_clean()


def test_two_tasks_at_once_buy_once(caller: Caller, hands: Hands) -> None:
    """The second begins while the first has decided to buy and not committed yet."""
    buy(caller, hands, pack="pro")
    put(caller)
    spend_all(caller)
    inside, go = Event(), Event()
    real = checkouts.begin

    def slowly(*given: Any, **how: Any) -> Begun:
        begun = real(*given, **how)
        inside.set()
        assert go.wait(30)
        return begun

    with mock.patch.object(checkouts, "begin", slowly), ThreadPoolExecutor(2) as threads:
        first = threads.submit(tasks.top_up.run)
        assert inside.wait(30)
        second = threads.submit(tasks.top_up.run)
        _until_it_waits()
        go.set()
        first.result(60)
        second.result(60)
    assert len(bought()) == 1
    _run(hands)
    assert (bought(), caller.balance()["available"], len(at_the_gateway("charge"))) == (["paid"], 160, 2)


def _until_it_waits() -> None:
    with sessions() as session:
        if session.get_bind().dialect.name == "postgresql":
            wait_until_somebody_waits(session)
    # SQLite lets one write at a time; the second waits before its first statement.


def test_the_cap_is_on_any_thirty_days(caller: Caller, hands: Hands, clock: Clock) -> None:
    buy(caller, hands, pack="pro")
    put(caller, monthly_cap=2 * PRICE - 1)
    for _ in range(2):
        spend_all(caller)
        _run(hands)
    assert (bought(), shown(caller), caller.balance()["available"]) == (["paid"], ("on", PRICE), 0)
    clock.move(days=30, minutes=1)
    _run(hands)
    assert (bought(), caller.balance()["available"]) == (["paid", "paid"], 160)


def test_a_declined_card_rests_stops_and_goes_on_when_it_is_set_up_anew(
    caller: Caller, hands: Hands, clock: Clock
) -> None:
    buy(caller, hands, pack="pro")
    choose_card(caller, hands, FAILS_LATER)
    put(caller)
    spend_all(caller)
    for declines, rest in enumerate((1, 2), 1):
        _run(hands)
        assert (bought(), shown(caller)) == (["failed"] * declines, ("paused", 0))
        clock.move(days=rest, minutes=-5)
        _run(hands)
        assert len(bought()) == declines, "it still rests"
        clock.move(minutes=10)
    _run(hands)
    assert (bought(), shown(caller)) == (["failed"] * 3, ("stopped", 0))
    clock.move(days=100)
    _run(hands)
    assert len(bought()) == 3
    assert till.mail(id_of(caller)).count("payment_failed") == 3
    choose_card(caller, hands, GOOD)
    assert (put(caller).json or {})["status"] == "on"
    _run(hands)
    assert (bought()[3:], shown(caller)[0], caller.balance()["available"]) == (["paid"], "on", 160)
