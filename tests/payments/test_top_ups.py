"""Auto top-up: bought by itself when a balance is low, never twice at once, never above the cap, and not for ever."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from models.catalog import Catalog
from models.database import now, sessions
from models.errors import InvalidInput, NotFound
from models.payments import checkouts, top_ups
from models.payments.tables import CheckoutState
from models.users import User
from tests.jobs.work import once
from tests.payments import till
from tests.plans import shop
from tests.plans.clock import Clock
from tests.races.starting_line import race

PRICE = 2499


def _ready(store: Catalog, *, cap: int = 3 * PRICE) -> UUID:
    """A user with 100 credits who wants to have 50."""
    user = till.customer(store)
    shop.buy(shop.wallet(user), 100)
    _set_up(store, user, cap=cap)
    return user


def _set_up(store: Catalog, user: UUID, *, cap: int = 3 * PRICE) -> None:
    once(top_ups.set_up, store, user_id=user, wallet="credits", pack="pro", threshold=50, monthly_cap=cap)


def _top_up(store: Catalog, user: UUID) -> UUID | None:
    return once(top_ups.top_up, store, user_id=user)


def _is_buying(user: UUID) -> bool:
    with sessions() as session:
        return top_ups.is_buying(session, top_ups.get(session, user_id=user))


def _due() -> list[UUID]:
    with sessions() as session:
        return list(top_ups.due(session, limit=10))


@pytest.mark.usefixtures("database")
def test_a_low_balance_buys_the_pack_once_and_a_good_one_nothing() -> None:
    store = till.open_store()
    user = _ready(store)
    assert (_due(), _top_up(store, user)) == ([], None)
    till.spend(user, 60)
    assert _due() == [user]
    checkout = _top_up(store, user)
    assert checkout is not None
    assert (_due(), _top_up(store, user)) == ([], None), "one is under way"
    assert _is_buying(user)
    till.tell(till.succeeded(checkout))
    assert _due() == [user], "it is to be noted"
    assert not _is_buying(user)
    assert _top_up(store, user) is None
    assert _due() == []
    assert till.balance(user) == (200, 0)


@pytest.mark.usefixtures("database")
def test_no_more_than_the_cap_in_thirty_days() -> None:
    store = till.open_store()
    user = _ready(store, cap=2 * PRICE + PRICE - 1)
    till.spend(user, 100)
    for number in range(2):
        checkout = _top_up(store, user)
        assert checkout is not None
        till.tell(till.succeeded(checkout, f"pi_{number}"))
        till.spend(user, till.balance(user)[0])
    assert _top_up(store, user) is None
    assert till.balance(user) == (0, 0)


def test_a_declined_card_rests_and_is_left_alone_in_the_end(clock: Clock) -> None:
    store = till.open_store()
    user = _ready(store)
    till.spend(user, 100)
    for decline in range(top_ups.MOST_DECLINES):
        checkout = _top_up(store, user)
        assert checkout is not None
        once(checkouts.end, checkout_id=checkout, state=CheckoutState.failed, problem="card_declined")
        assert _top_up(store, user) is None, "not at once again"
        assert till.mail(user) == ["payment_failed"] * (decline + 1)
        clock.move(days=2**decline, minutes=1)
    clock.move(days=100)
    assert (_due(), _top_up(store, user)) == ([], None)
    _set_up(store, user)
    assert _top_up(store, user) is not None


@pytest.mark.usefixtures("database")
def test_nothing_is_bought_for_an_account_that_is_closing() -> None:
    store = till.open_store()
    user = _ready(store)
    till.spend(user, 100)
    with sessions() as session:
        session.execute(update(User).where(User.id == user).values(closing_at=now()))
    assert _top_up(store, user) is None
    with pytest.raises(NotFound):
        _set_up(store, user)


def test_many_at_once_buy_once(postgresql: str) -> None:
    store = till.open_store()
    user = _ready(store)
    till.spend(user, 100)
    begun = race(*[lambda session: top_ups.top_up(session, store, user_id=user)] * 8)
    assert len([each for each in begun if each is not None]) == 1


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"wallet": "gold"}, "wallet"),
        ({"wallet": "tokens"}, "pack"),
        ({"pack": "gold"}, "pack"),
        ({"monthly_cap": 1}, "monthly_cap"),
    ],
)
def test_a_wrong_wish_is_refused_by_name(sqlite: str, wish: dict[str, Any], field: str) -> None:
    store = till.open_store()
    user = till.customer(store)
    wanted: dict[str, Any] = {"wallet": "credits", "pack": "pro", "threshold": 5, "monthly_cap": PRICE, **wish}
    with pytest.raises(InvalidInput) as refused:
        once(top_ups.set_up, store, user_id=user, **wanted)
    assert [fault.field for fault in refused.value.faults] == [field]
