"""Leaving: from an account that closes nothing more is taken, whatever was begun before and whoever is slow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from sqlalchemy import select, update

from models import closing
from models.database import now, sessions
from models.payments import errands
from models.payments.errands import Errand
from models.payments.inbox import GatewayEvent
from models.users import User
from tasks import mock_payments
from tasks import payments as tasks
from tasks.maintenance import close_accounts
from tests.accounts.people import id_of, user_of
from tests.http.conftest import PASSWORD, Caller
from tests.jobs.work import once
from tests.payments import till
from tests.payments.hands import Hands
from tests.payments.shopping import at_the_gateway, begin, buy, press, press_on
from tests.plans.clock import Clock
from web import tokens
from web.shelf import shelf
from worker.payments.gateway import Unreachable
from worker.payments.mock import MockGateway


@pytest.fixture(autouse=True)
def store(caller: Caller) -> Iterator[None]:
    till.open_store()
    shelf.look_again()
    tokens.look_again()
    yield
    shelf.look_again()


def leave(caller: Caller) -> None:
    assert caller.client.delete("/v1/me", json={"password": PASSWORD}, headers=caller.headers).status_code == 202


def closed(caller: Caller) -> bool:
    """Let the account be closed by the next run, if it can be."""
    with sessions() as session:
        later = update(User).where(User.closing_at.is_not(None), User.closed_at.is_(None))
        session.execute(later.values(closing_at=now(-closing.GRACE_SECONDS)))
    close_accounts.run()
    return user_of(caller).closed_at is not None


def taken() -> int:
    """What the gateway has taken and not given back, in minor units."""
    paid: list[int] = [each["amount"] for each in at_the_gateway("charge") if each["status"] == "succeeded"]
    given_back: list[int] = [each["amount"] for each in at_the_gateway("refund")]
    return sum(paid) - sum(given_back)


def subscriptions() -> list[str]:
    return [each["status"] for each in at_the_gateway("subscription")]


def asked() -> list[tuple[str, str]]:
    with sessions() as session:
        rows = session.execute(select(Errand.kind, Errand.state).order_by(Errand.created_at, Errand.id)).all()
    return [(str(kind), str(state)) for kind, state in rows]


def test_a_subscription_is_ended_at_the_gateway_before_the_account_is_closed(
    caller: Caller, hands: Hands, clock: Clock
) -> None:
    buy(caller, hands, plan="basic", billing="monthly")
    wish = {"wallet": "credits", "pack": "pro", "threshold": 1_000_000, "monthly_cap": 100_000}
    assert caller.client.put("/v1/top-up", json=wish, headers=caller.headers).status_code == 200
    tasks.top_up.run()  # it has decided to buy, and the gateway has not heard of it
    paid = taken()
    leave(caller)
    assert not closed(caller)
    with mock.patch.object(MockGateway, "cancel", side_effect=Unreachable("gateway_unreachable", "Nobody answers.")):
        hands.work()
    assert (closed(caller), asked(), subscriptions()) == (False, [("cancel", "waiting")], ["active"])
    with sessions() as session:
        errands.end(session, session.scalars(select(Errand.id)).one(), problem="gateway_unavailable")
    assert (closed(caller), asked()) == (False, [("cancel", "failed"), ("cancel", "waiting")]), "it is asked again"
    hands.work()
    assert subscriptions() == ["canceled"]
    assert closed(caller)
    clock.move(days=400)
    mock_payments.let_time_pass.run()
    tasks.top_up.run()
    hands.work()
    tasks.reconcile.run()
    assert (taken(), subscriptions()) == (paid, ["canceled"])
    till.books_are_clean()


@pytest.mark.parametrize("when", ["while it is closing", "when it is closed"])
@pytest.mark.parametrize("wish", [{"pack": "pro"}, {"plan": "basic", "billing": "monthly"}], ids=["pack", "plan"])
def test_what_is_paid_on_a_page_that_was_open_goes_back(
    caller: Caller, hands: Hands, wish: dict[str, Any], when: str
) -> None:
    begin(caller, hands, **wish)
    [page] = at_the_gateway("checkout.session")
    user = id_of(caller)
    leave(caller)
    if when == "when it is closed":
        assert closed(caller)
    press(hands, page["id"], "pay")
    assert at_the_gateway("charge")[0]["status"] == "succeeded", "the gateway knew nothing of it"
    for _ in range(2):  # what came too early comes again
        with sessions() as session:
            session.execute(update(GatewayEvent).values(due_at=now(-1)))
        tasks.sweep.run()
        hands.work()
    assert taken() == 0
    assert subscriptions() == (["canceled"] if "plan" in wish else [])
    assert closed(caller)
    assert till.balance(user) == (0, 0)
    tasks.reconcile.run()
    hands.work()
    assert (taken(), till.balance(user)) == (0, (0, 0))
    till.books_are_clean()


def test_an_account_is_not_closed_while_money_is_to_go_back(caller: Caller, hands: Hands) -> None:
    checkout_id = begin(caller, hands, pack="pro")
    leave(caller)
    with mock.patch.object(MockGateway, "give_back", side_effect=Unreachable("gateway_unreachable", "Nobody answers.")):
        press_on(hands, checkout_id, "pay")
    assert (asked(), closed(caller)) == ([("refund", "waiting")], False)
    once(errands.forgotten, limit=10, older_than=0)
    hands.work()
    assert (taken(), closed(caller)) == (0, True)
