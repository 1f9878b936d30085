"""The clock that other tests rely on does move what the product goes by."""

from __future__ import annotations

from datetime import timedelta

import time_machine
from sqlalchemy import select

from models.database import moment, now, readings, sessions
from models.ledger import Lot, Wallet
from tests.ledger import books
from tests.plans import shop
from tests.plans.clock import Clock, utc


def test_every_way_of_asking_for_the_time_moves(clock: Clock) -> None:
    clock.set(utc(2030, 5, 6, 7))
    close = timedelta(seconds=30)
    with sessions() as session:
        assert abs(moment(session) - utc(2030, 5, 6, 7)) < close
        assert abs(moment(session, plus=90) - utc(2030, 5, 6, 7, 1)) < 2 * close
    with readings() as session:
        assert abs(session.execute(select(now(-60))).scalar_one() - utc(2030, 5, 6, 6, 59)) < close
    clock.move(days=-400)
    assert abs(clock.now() - utc(2029, 4, 1, 7)) < close


def test_rows_are_still_born_with_a_time(clock: Clock) -> None:
    clock.set(utc(2030, 5, 6, 7))
    user = shop.sign_up(shop.open_shop())
    shop.lazily(user)
    assert [amount for _, amount in shop.lots_under(user)] == [50]
    with sessions() as session:
        lots = session.scalars(select(Lot)).all()
    assert all(lot.created_at is not None for lot in lots)


def test_the_clock_of_a_process_decides_nothing(clock: Clock) -> None:
    clock.set(utc(2030, 5, 6, 7))
    user = shop.sign_up(shop.open_shop())
    before = books.everything()
    for wrong in (utc(2031, 1, 1), utc(2029, 1, 1)):
        with time_machine.travel(wrong):
            for way in shop.WAYS.values():
                way(user)
        assert books.everything() == before
    with sessions() as session:
        [reset_at] = session.scalars(select(Wallet.reset_at).where(Wallet.reset_at.is_not(None)))
    assert reset_at == utc(2030, 5, 7, 2)
