"""Allowances: what a plan gives comes once each period, however and by whoever it is called for, and ends with it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

import pytest
import time_machine
from sqlalchemy import select, update

from models import catalog, jobs, ledger, plans
from models.catalog import Catalog
from models.database import sessions
from models.ledger import Account, Lot, Reason, Wallet
from tests.jobs import work
from tests.jobs.work import once
from tests.ledger import books
from tests.ledger.books import Move, Parts, Sums
from tests.plans import shop
from tests.plans.clock import MONDAY, Clock, utc
from tests.plans.shop import expired, granted, reset_at

Way = Callable[[UUID], None]


def dates(wallet_id: int) -> list[str]:
    """The days or weeks of a wallet's allowances, oldest first."""
    with sessions() as session:
        refs = session.scalars(select(Lot.ref).where(Lot.wallet_id == wallet_id).order_by(Lot.id))
        return [ref.split(":", 2)[2] for ref in refs]


@pytest.fixture(params=shop.WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    return shop.WAYS[request.param]


def twice(way: Way, user: UUID) -> None:
    """Again, and by every other way, it changes nothing."""
    way(user)
    after = books.everything()
    for each in shop.WAYS.values():
        each(user)
    assert books.everything() == after


def test_the_plan_of_sign_up_gives_at_once(user: UUID, way: Way) -> None:
    wallet = shop.wallet(user)
    [lot] = books.lots(wallet)
    assert books.refs(wallet) == [f"daily:{wallet}:2030-05-06"]
    assert reset_at(wallet) == utc(2030, 5, 7, 2)
    twice(way, user)
    assert books.moves(wallet) == [granted(50, lot, 50)]


def test_a_day_ends_and_the_next_begins(clock: Clock, user: UUID, way: Way) -> None:
    wallet = shop.wallet(user)
    shop.spend(user, quantity=20)
    spent = Move(Reason.spend, Account.available, Account.spent, 20, books.lots(wallet)[0], 30)
    clock.set(utc(2030, 5, 7, 1, 58))
    twice(way, user)
    assert len(books.moves(wallet)) == 2, "not before its time"
    clock.set(utc(2030, 5, 7, 2, 1))
    twice(way, user)
    first, second = books.lots(wallet)
    assert books.moves(wallet) == [granted(50, first, 50), spent, expired(30, first, 0), granted(50, second, 50)]
    assert dates(wallet) == ["2030-05-06", "2030-05-07"]
    assert (books.sums(wallet), books.parts(first)) == (Sums(50, 0, 0), Parts(spent=20, expired=30))
    assert reset_at(wallet) == utc(2030, 5, 8, 2)


def test_the_first_spend_of_a_day_can_use_the_day(clock: Clock, user: UUID) -> None:
    wallet = shop.wallet(user)
    clock.move(days=1)
    assert not shop.spend(user, key="k", quantity=50).replayed
    assert shop.spend(user, key="k", quantity=50).replayed
    assert books.sums(wallet) == Sums(0, 0, 0)
    assert dates(wallet) == ["2030-05-06", "2030-05-07"]


def test_the_first_job_of_a_day_can_use_the_day(clock: Clock, user: UUID) -> None:
    wallet = shop.wallet(user)
    shop.spend(user, quantity=50)
    clock.move(days=1)
    order = work.an_order(user, price=50, key="k")
    assert not work.submit(order).replayed
    assert work.submit(order).replayed
    assert books.sums(wallet) == Sums(0, 50, 0)
    assert dates(wallet) == ["2030-05-06", "2030-05-07"]


def test_days_nobody_came_are_not_made_up_for(clock: Clock, user: UUID, way: Way) -> None:
    wallet = shop.wallet(user)
    clock.move(days=9)
    twice(way, user)
    first, second = books.lots(wallet)
    assert books.moves(wallet) == [granted(50, first, 50), expired(50, first, 0), granted(50, second, 50)]
    assert dates(wallet) == ["2030-05-06", "2030-05-15"]


def test_bought_credits_are_none_of_its_business(clock: Clock, user: UUID, way: Way) -> None:
    wallet = shop.wallet(user)
    bought = shop.buy(wallet, 70)
    clock.move(days=1)
    twice(way, user)
    first, _, second = books.lots(wallet)
    assert books.moves(wallet, but=2) == [expired(50, first, 70), granted(50, second, 120)]
    shop.spend(user, quantity=60)
    assert books.parts(bought) == Parts(available=60, spent=10), "the day's credits went first"


def test_debt_is_paid_first(clock: Clock, user: UUID, way: Way) -> None:
    wallet = shop.wallet(user)
    bought = shop.buy(wallet, 70)
    shop.spend(user, quantity=120)
    once(ledger.clawback, lot_id=bought, amount=70, ref="refund:1")
    assert books.sums(wallet) == Sums(0, 0, 70)
    clock.move(days=1)
    twice(way, user)
    assert books.sums(wallet) == Sums(0, 0, 20)
    clock.move(days=1)
    twice(way, user)
    assert books.sums(wallet) == Sums(30, 0, 0)
    second, third = books.lots(wallet)[2:]
    assert (books.parts(second), books.parts(third)) == (Parts(clawed_back=50), Parts(available=30, clawed_back=20))


@pytest.mark.parametrize("delivered", [0, 40, 100])
def test_credits_held_over_a_reset_stay_good_for_their_job(clock: Clock, user: UUID, way: Way, delivered: int) -> None:
    wallet = shop.wallet(user)
    [first] = books.lots(wallet)
    made = work.running(user, price=30)
    clock.move(days=1)
    way(user)
    second = books.lots(wallet)[1]
    assert books.moves(wallet, but=2) == [expired(20, first, 0), granted(50, second, 50)]
    assert books.sums(wallet) == Sums(50, 30, 0)
    once(jobs.extend, {made.job_id: made.token}, lease_seconds=work.LEASE)
    if delivered:
        work.complete(made, percent=delivered)
    else:
        once(jobs.fail, made, code="x", message="x")
    charged = 30 * delivered // 100
    assert books.parts(first) == Parts(spent=charged, expired=50 - charged), "what came back expired at once"
    assert (books.sums(wallet), books.parts(second)) == (Sums(50, 0, 0), Parts(available=50))
    twice(way, user)


def test_a_job_ends_after_the_reset_time_but_before_anybody_reset(clock: Clock, user: UUID, way: Way) -> None:
    wallet = shop.wallet(user)
    [first] = books.lots(wallet)
    made = work.running(user, price=30)
    clock.move(days=1)
    once(jobs.extend, {made.job_id: made.token}, lease_seconds=work.LEASE)
    once(jobs.fail, made, code="x", message="x")
    assert (books.parts(first), books.sums(wallet)) == (Parts(expired=50), Sums(0, 0, 0))
    twice(way, user)
    assert books.sums(wallet) == Sums(50, 0, 0)
    assert dates(wallet) == ["2030-05-06", "2030-05-07"]


@pytest.mark.parametrize(
    ("before", "after", "hours"),
    [
        # In Berlin the clocks go forward on 31 March 2030 and back on 27 October, between 02:00 and 03:00.
        (utc(2030, 3, 30, 3, 1), utc(2030, 3, 31, 2, 1), 23),
        (utc(2030, 10, 26, 2, 1), utc(2030, 10, 27, 3, 1), 25),
    ],
)
def test_a_day_of_another_length_is_a_day(
    clock: Clock, sold: Catalog, way: Way, before: datetime, after: datetime, hours: int
) -> None:
    clock.set(before)
    user = shop.sign_up(sold)
    wallet = shop.wallet(user)
    clock.move(hours=hours, minutes=-3)
    twice(way, user)
    assert len(books.lots(wallet)) == 1
    clock.set(after)
    twice(way, user)
    assert dates(wallet) == [f"{before:%Y-%m-%d}", f"{after:%Y-%m-%d}"]
    assert books.sums(wallet) == Sums(50, 0, 0)


def test_a_week(clock: Clock, user: UUID, way: Way) -> None:
    shop.subscribe(user, "weekly")
    tokens = shop.wallet(user, "tokens")
    [first] = books.lots(tokens)
    clock.set(utc(2030, 5, 13, 1, 58))
    twice(way, user)
    assert dates(tokens) == ["2030-05-06"]
    clock.set(utc(2030, 5, 13, 2, 1))
    twice(way, user)
    second = books.lots(tokens)[1]
    assert books.moves(tokens) == [granted(500, first, 500), expired(500, first, 0), granted(500, second, 500)]
    assert dates(tokens) == ["2030-05-06", "2030-05-13"]


def test_what_rolls_over_stays(clock: Clock, user: UUID, way: Way) -> None:
    shop.subscribe(user, "saving")
    tokens = shop.wallet(user, "tokens")
    clock.move(days=7)
    twice(way, user)
    clock.move(days=7)
    twice(way, user)
    assert books.moves(tokens) == [
        granted(40, lot, 40 * number) for number, lot in enumerate(books.lots(tokens), start=1)
    ]
    assert dates(tokens) == ["2030-05-06", "2030-05-13", "2030-05-20"]


def test_days_and_weeks_in_one_wallet(clock: Clock, user: UUID, way: Way) -> None:
    clock.set(utc(2030, 5, 18, 7))
    shop.subscribe(user, "mixed")
    wallet, tokens = shop.wallet(user), shop.wallet(user, "tokens")
    clock.move(days=1)
    twice(way, user)
    assert (books.sums(wallet), books.sums(tokens)) == (Sums(80, 0, 0), Sums(30, 0, 0))
    clock.move(days=1)
    twice(way, user)
    assert (books.sums(wallet), books.sums(tokens)) == (Sums(80, 0, 0), Sums(30, 0, 0))
    assert [ref.partition(":")[0] for ref, _ in shop.lots_under(user)].count("weekly") == 4
    assert dates(tokens) == ["2030-05-13", "2030-05-20"]


def test_cycles_from_the_end_of_a_month(clock: Clock, sold: Catalog, way: Way) -> None:
    user = shop.sign_up(sold)
    clock.set(utc(2031, 1, 31, 12))
    made = shop.subscribe(user, "monthly")
    wallet = shop.wallet(user)
    keys = [(28, 2), (31, 3), (30, 4)]
    for number, (day, month) in enumerate(keys, start=1):
        clock.set(utc(2031, month, day, 11, 58))
        twice(way, user)
        assert len(books.lots(wallet)) == number + 1, "the free day is one more"
        clock.set(utc(2031, month, day, 12, 2))
        twice(way, user)
        assert books.refs(wallet)[-1] == f"cycle:{made}:{wallet}:{number}"
        assert books.sums(wallet) == Sums(300, 0, 0)


def test_a_plan_paid_by_the_year_gives_by_the_month(clock: Clock, sold: Catalog, way: Way) -> None:
    user = shop.sign_up(sold)
    made = shop.subscribe(user, "monthly", billing=catalog.Billing.yearly)
    wallet = shop.wallet(user)
    for _ in range(12):
        clock.move(days=31)
        twice(way, user)
    cycles = [ref for ref, _ in shop.lots_under(user) if ref.startswith("cycle:")]
    assert cycles == [f"cycle:{made}:{wallet}:{number}" for number in range(13)]


def test_a_clock_set_back_gives_nothing_twice(clock: Clock, user: UUID, way: Way) -> None:
    wallet = shop.wallet(user)
    clock.move(days=1)
    way(user)
    after = books.everything()
    for back in (60, 86_400, 3 * 86_400):
        clock.move(seconds=-back)
        twice(way, user)
        assert books.everything() == after
    clock.set(MONDAY)
    clock.move(days=1, minutes=1)
    twice(way, user)
    assert books.everything() == after
    clock.move(days=1)
    way(user)
    assert dates(wallet) == ["2030-05-06", "2030-05-07", "2030-05-08"]


def test_a_reset_that_is_noted_too_early_gives_nothing_twice(clock: Clock, user: UUID, way: Way) -> None:
    """As a clock that was ahead for a moment may leave it: what counts is what was granted."""
    wallet = shop.wallet(user)
    before = books.moves(wallet)
    clock.move(hours=1)
    with sessions() as session:
        session.execute(update(Wallet).values(reset_at=utc(2030, 5, 6, 7), due_at=utc(2030, 5, 6, 7)))
    twice(way, user)
    assert books.moves(wallet) == before
    assert reset_at(wallet) == utc(2030, 5, 7, 2)


def test_a_process_whose_clock_is_wrong_resets_when_the_database_says(clock: Clock, user: UUID, way: Way) -> None:
    wallet = shop.wallet(user)
    with time_machine.travel(utc(2029, 1, 1)):
        clock.move(days=1)
        twice(way, user)
    assert dates(wallet) == ["2030-05-06", "2030-05-07"]


def test_beat_sees_who_is_due_page_by_page(clock: Clock, sold: Catalog) -> None:
    people = sorted(shop.sign_up(sold) for _ in range(5))
    clock.move(days=1)
    with sessions() as session:
        page = plans.users_to_reset(session, limit=3)
        rest = plans.users_to_reset(session, limit=3, after=page[-1])
        assert [*page, *rest] == people
        assert ledger.wallets_due(session, limit=10) == [], "the reset sees to what expires"
    shop.lazily(people[1])
    with sessions() as session:
        assert list(plans.users_to_reset(session, limit=9)) == [people[0], *people[2:]]


def test_what_is_due_is_said_before_it_is_granted(clock: Clock, user: UUID) -> None:
    with sessions() as session:
        assert not ledger.balances(session, user_id=user)["credits"].resets
    clock.move(days=1)
    with sessions() as session:
        assert ledger.balances(session, user_id=user)["credits"] == ledger.Balance(0, 0, 0, resets=True)
    shop.lazily(user)
    with sessions() as session:
        assert ledger.balances(session, user_id=user)["credits"] == ledger.Balance(50, 0, 0)
