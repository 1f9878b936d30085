"""Changing plans: what a new one adds within a period, what an old one leaves, and how a plan ends by itself."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import func, select

from models import ledger, plans
from models.database import sessions
from models.errors import InvalidInput
from models.plans import Origin, Subscription
from tests.jobs import work
from tests.jobs.work import once
from tests.ledger import books
from tests.ledger.books import Sums
from tests.plans import shop
from tests.plans.clock import Clock, utc
from tests.plans.shop import expired, granted, reset_at

pytestmark = pytest.mark.usefixtures("clock")


def everything() -> list[object]:
    """Every row of the ledger and every subscription."""
    with sessions() as session:
        columns = Subscription.__table__.c
        rows = [tuple(row) for row in session.execute(select(*columns).order_by(columns.id))]
    return [*books.everything(), rows]


def test_an_upgrade_adds_the_difference(clock: Clock, user: UUID) -> None:
    wallet = shop.wallet(user)
    shop.spend(user, quantity=20)
    shop.subscribe(user, "plus", ref="fact:1")
    after = everything()
    shop.subscribe(user, "plus", ref="fact:1")
    shop.subscribe(user, "plus", ref="fact:2")
    shop.by_beat(user)
    assert everything() == after
    first, second = books.lots(wallet)
    assert books.moves(wallet, but=2) == [granted(30, second, 60)]
    assert books.refs(wallet)[-1] == f"daily:{wallet}:2030-05-06:to:80"
    clock.move(days=1)
    shop.lazily(user)
    third = books.lots(wallet)[2]
    assert books.moves(wallet, but=3) == [expired(30, first, 30), expired(30, second, 0), granted(80, third, 80)]


def test_a_downgrade_takes_nothing_and_gives_nothing(clock: Clock, user: UUID) -> None:
    wallet = shop.wallet(user)
    shop.subscribe(user, "top")
    before = books.moves(wallet)
    assert books.sums(wallet) == Sums(200, 0, 0)
    shop.subscribe(user, "plus")
    once(plans.unsubscribe, user_id=user)
    assert (books.moves(wallet), shop.plan_of(user)) == (before, "free")
    clock.move(days=1)
    shop.lazily(user)
    assert books.sums(wallet) == Sums(50, 0, 0)


def test_going_up_and_down_gives_nothing_twice(clock: Clock, user: UUID) -> None:
    wallet = shop.wallet(user)
    for plan in ["plus", "free", "top", "plus", "free", "top", "empty", "top"]:
        shop.subscribe(user, plan)
        shop.by_beat(user)
    assert [amount for _, amount in shop.lots_under(user)] == [50, 30, 120]
    assert books.sums(wallet) == Sums(200, 0, 0)
    assert shop.plan_of(user) == "top"


def test_cycles_of_the_plan_of_sign_up_are_not_begun_anew(clock: Clock) -> None:
    sold = shop.open_shop(signup={"plan": "monthly"})
    user = shop.sign_up(sold)
    wallet = shop.wallet(user)
    for plan in ["plus", "empty"]:
        shop.subscribe(user, plan)
        once(plans.unsubscribe, user_id=user)
        shop.by_beat(user)
    assert [amount for ref, amount in shop.lots_under(user) if ref.startswith("cycle:")] == [300]
    clock.move(days=31)
    shop.by_beat(user)
    assert [amount for ref, amount in shop.lots_under(user) if ref.startswith("cycle:")] == [300, 300]
    assert books.sums(wallet) == Sums(300, 0, 0)


def test_to_unsubscribe_again_changes_nothing(clock: Clock, user: UUID) -> None:
    shop.subscribe(user, "plus")
    once(plans.unsubscribe, user_id=user)
    after = everything()
    once(plans.unsubscribe, user_id=user)
    assert everything() == after
    assert shop.plan_of(user) == "free"


def test_without_a_plan_of_sign_up_a_plan_leaves_none(clock: Clock) -> None:
    user = shop.sign_up(shop.open_shop(signup={}))
    assert shop.plan_of(user) is None
    shop.subscribe(user, "plus")
    wallet = shop.wallet(user)
    for _ in range(2):
        once(plans.unsubscribe, user_id=user)
        assert (shop.plan_of(user), reset_at(wallet)) == (None, None)
    assert books.sums(wallet) == Sums(80, 0, 0), "what it gave stays until it expires"
    clock.move(days=1)
    shop.by_beat(user)
    with sessions() as session:
        assert ledger.wallets_due(session, limit=9) == [wallet]
    once(ledger.expire, wallet_id=wallet)
    assert books.sums(wallet) == Sums(0, 0, 0)


def test_who_subscribed_keeps_the_terms(clock: Clock, user: UUID) -> None:
    shop.subscribe(user, "plus")
    wallet = shop.wallet(user)
    lower = {"title": "Plus", "rank": 1, "allowances": [{"wallet": "credits", "amount": 60, "period": "daily"}]}
    changed = shop.open_shop(plans={**shop.PLANS, "plus": lower})
    shop.by_beat(user)
    assert books.sums(wallet) == Sums(80, 0, 0)
    clock.move(days=1)
    shop.by_beat(user)
    assert books.sums(wallet) == Sums(80, 0, 0)
    newcomer = shop.sign_up(changed)
    shop.subscribe(newcomer, "plus")
    assert books.sums(shop.wallet(newcomer)) == Sums(60, 0, 0)
    clock.move(days=1)
    shop.by_beat(user)
    assert books.sums(shop.wallet(newcomer)) == Sums(60, 0, 0)
    assert books.sums(wallet) == Sums(80, 0, 0)


def test_a_plan_for_some_months_ends_by_itself(clock: Clock, user: UUID) -> None:
    wallet = shop.wallet(user)
    clock.set(utc(2031, 1, 31, 7))
    shop.subscribe(user, "plus", months=1, origin=Origin.promo)
    clock.set(utc(2031, 2, 28, 6, 58))
    with sessions() as session:
        assert plans.overdue(session, limit=9) == []
    once(plans.end_overdue, user_id=user)
    shop.by_beat(user)
    assert (shop.plan_of(user), books.sums(wallet)) == ("plus", Sums(80, 0, 0))
    clock.set(utc(2031, 2, 28, 7, 1))
    assert shop.plan_of(user) is None, "it is over before anybody swept"
    with sessions() as session:
        assert plans.overdue(session, limit=9) == [user]
    once(plans.end_overdue, user_id=user)
    after = everything()
    once(plans.end_overdue, user_id=user)
    with sessions() as session:
        assert plans.overdue(session, limit=9) == []
    shop.by_beat(user)
    assert everything() == after
    assert (shop.plan_of(user), books.sums(wallet)) == ("free", Sums(80, 0, 0)), "today's 80 are more than 50"
    clock.move(days=1)
    shop.by_beat(user)
    assert books.sums(wallet) == Sums(50, 0, 0)


@pytest.mark.parametrize("way", shop.WAYS)
def test_what_nobody_ended_gives_nothing_more(clock: Clock, user: UUID, way: str) -> None:
    """Past its end, and the sweep has not come yet."""
    shop.subscribe(user, "weekly", months=1)
    tokens = shop.wallet(user, "tokens")
    clock.move(days=32)
    shop.WAYS[way](user)
    assert (books.sums(tokens), reset_at(tokens)) == (Sums(0, 0, 0), None)
    once(plans.end_overdue, user_id=user)
    assert books.sums(shop.wallet(user)) == Sums(50, 0, 0)
    assert len(books.lots(tokens)) == 1


def test_a_clock_set_back_lets_people_change_their_plan(clock: Clock, user: UUID) -> None:
    wallet = shop.wallet(user)
    shop.subscribe(user, "plus")
    clock.move(hours=-2)
    shop.subscribe(user, "top")
    clock.move(days=-1)
    once(plans.unsubscribe, user_id=user)
    assert shop.plan_of(user) == "free"
    with sessions() as session:
        assert session.scalar(select(func.count()).where(Subscription.ended_at < Subscription.started_at)) == 0
    clock.set(utc(2030, 5, 7, 7))
    shop.by_beat(user)
    assert books.sums(wallet) == Sums(50, 0, 0)


def test_a_plan_that_is_not_sold(user: UUID) -> None:
    error = work.refused(InvalidInput, plans.subscribe, user_id=user, plan="gold", origin=Origin.admin, ref="x")
    assert [fault.field for fault in error.faults] == ["plan"]
