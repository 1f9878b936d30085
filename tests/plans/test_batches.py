"""Batches: what is granted to many at once leaves the rows that the steps leave, wallet by wallet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import ledger, plans
from models.catalog import Catalog
from models.database import sessions
from models.ledger import Lot, Transfer, Wallet
from models.ledger.audit import findings
from models.plans import Origin
from tests.jobs import work
from tests.jobs.work import once
from tests.ledger import books
from tests.ledger.books import Sums
from tests.plans import shop
from tests.plans.clock import Clock

Rows = dict[str, list[dict[str, Any]]]
BORN = {"id", "created_at"}


@pytest.fixture
def clock(postgresql_clock: Clock) -> Clock:
    """Batches are for PostgreSQL."""
    return postgresql_clock


def batches(session: Session) -> None:
    while plans.grant_batch(session, limit=3):
        pass


def steps(session: Session) -> None:
    for user in plans.users_to_reset(session, limit=1_000):
        plans.grant_due(session, user_id=user)


def both(session: Session) -> None:
    batches(session)
    steps(session)


def rows(run: Callable[[Session], None]) -> Rows:
    """The books after a run that is rolled back: each wallet with its lots and, in their order, its transfers."""

    class Undone(Exception):
        pass

    before = books.everything()
    found: Rows = {}
    try:
        with sessions() as session:
            run(session)
            assert list(findings(session)) == []
            refs = {row.id: row.ref for row in session.execute(select(Lot.id, Lot.ref))}
            for table, order in ((Wallet, Wallet.id), (Lot, Lot.ref), (Transfer, Transfer.id)):
                columns = [column for column in table.__table__.c if column.name not in BORN or table is Wallet]
                sorting = (Transfer.wallet_id, Transfer.id) if table is Transfer else (order,)
                for row in session.execute(select(*columns).order_by(*sorting)).mappings():
                    kept = dict(row)
                    if "lot_id" in kept:
                        kept["lot_id"] = refs[kept["lot_id"]]
                    found.setdefault(table.__tablename__, []).append(kept)
            raise Undone
    except Undone:
        assert books.everything() == before
    return found


def everybody(sold: Catalog) -> dict[str, UUID]:
    """People in every state that a reset can find them in."""
    people = {
        name: shop.sign_up(sold)
        for name in ("idle", "spent", "bought", "several lots", "holding", "all held", "upgraded", "owing", "mixed",
                     "weekly", "saving", "monthly", "for a month")
    }  # fmt: skip
    wallets = {name: shop.wallet(user) for name, user in people.items()}
    shop.spend(people["spent"], quantity=50)
    shop.buy(wallets["bought"], 500)
    for hours in (1, 5, 400):
        books.lot(wallets["several lots"], 7, ref=f"promo:{hours}", hours=hours)
    work.running(people["holding"], price=20)
    work.running(people["all held"], price=50)
    shop.subscribe(people["upgraded"], "top")
    bought = shop.buy(wallets["owing"], 20)
    shop.spend(people["owing"], quantity=70)
    once(ledger.clawback, lot_id=bought, amount=20, ref="refund:1")
    for plan in ("mixed", "weekly", "saving", "monthly"):
        shop.subscribe(people[plan], plan)
    shop.subscribe(people["for a month"], "plus", months=1, origin=Origin.promo)
    return people


@pytest.mark.parametrize("days", [1, 3, 7, 31])
def test_both_ways_leave_the_same_rows(clock: Clock, sold: Catalog, days: int) -> None:
    everybody(sold)
    clock.move(days=days)
    fast, slow = rows(both), rows(steps)
    assert fast == slow
    # What can ride in batches, daily ones or weekly ones, has ridden.
    ridden = rows(batches)
    names = [row["ref"] for row in ridden["transfers"] if row not in slow["transfers"]]
    assert names == []
    granted = len(ridden["transfers"]) - len(rows(lambda _: None)["transfers"])
    assert granted >= 14, "eight grants, and more that expired"


def test_what_is_not_plain_is_left_to_the_steps(clock: Clock, sold: Catalog) -> None:
    people = everybody(sold)
    clock.move(days=31)
    shop.in_batches(people["idle"])
    with sessions() as session:
        left = set(plans.users_to_reset(session, limit=100))
    assert left == {people[name] for name in ("owing", "mixed", "monthly", "for a month")}
    shop.in_steps(people["idle"])
    with sessions() as session:
        assert plans.users_to_reset(session, limit=100) == []


def test_a_batch_that_comes_again_finds_nothing(clock: Clock, sold: Catalog) -> None:
    everybody(sold)
    clock.move(days=1)
    assert once(plans.grant_batch) > 0
    shop.by_beat(UUID(int=0))
    after = books.everything()
    assert once(plans.grant_batch) == 0
    assert plans.grant_all_due(sessions) == 0
    assert books.everything() == after


def test_a_day_that_was_granted_before_is_not_granted_by_a_batch(clock: Clock, sold: Catalog) -> None:
    """Whatever the wallet says about when its next allowance comes."""
    user = shop.sign_up(sold)
    clock.move(hours=1)
    before = books.moves(shop.wallet(user))
    books.by_hand("UPDATE wallets SET reset_at = clock.now(), due_at = clock.now() WHERE reset_at IS NOT NULL")
    clock.move(minutes=1)
    assert once(plans.grant_batch) == 1
    assert once(plans.grant_batch) == 0
    assert books.moves(shop.wallet(user)) == before


def test_a_page_leaves_out_whoever_is_busy(clock: Clock, sold: Catalog) -> None:
    busy, idle = shop.sign_up(sold), shop.sign_up(sold)
    clock.move(days=1)
    with sessions() as other:
        plans.grant_due(other, user_id=busy)
        with sessions() as session:
            assert plans.grant_batch(session) == 1
        assert books.sums(shop.wallet(idle)) == Sums(50, 0, 0)
    assert once(plans.grant_batch) == 0
    assert len(books.lots(shop.wallet(busy))) == len(books.lots(shop.wallet(idle))) == 2


def test_it_stops_when_its_time_is_up_and_goes_on_the_next_time(clock: Clock, sold: Catalog) -> None:
    user = shop.sign_up(sold)
    clock.move(days=1)
    assert plans.grant_all_due(sessions, seconds=0) == 0
    assert plans.grant_all_due(sessions) == 1
    assert books.sums(shop.wallet(user)) == Sums(50, 0, 0)


def test_on_sqlite_there_are_only_steps(sqlite: str) -> None:
    with sessions() as session:
        assert plans.grant_batch(session) == 0
