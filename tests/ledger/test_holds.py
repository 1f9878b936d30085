"""Holds and their one outcome: settled, in whole or in part, or released into the very lots they came from."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from models import ledger
from models.errors import InsufficientCredits, NotFound
from models.ledger import Account, Outcome, Reason, Source
from models.ledger.transfers import LedgerError
from tests.ledger import books
from tests.ledger.books import Move, Parts, Sums, refused, twice

AVAILABLE, HELD, SPENT = Account.available, Account.held, Account.spent


def test_hold_then_settle(wallet: int) -> None:
    lot, job = books.lot(wallet, 100, ref="a"), uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=30, job_id=job)
    assert books.sums(wallet) == Sums(70, 30, 0)
    assert twice(ledger.settle, job_id=job, amount=30) == Outcome(charged=30, released=0)
    assert books.moves(wallet, but=1) == [
        Move(Reason.hold, AVAILABLE, HELD, 30, lot, 70),
        Move(Reason.settle, HELD, SPENT, 30, lot, 70),
    ]
    assert books.refs(wallet)[1:] == [f"job:{job}:hold:{lot}", f"job:{job}:settle:{lot}"]
    assert books.sums(wallet) == Sums(70, 0, 0)
    assert books.parts(lot) == Parts(available=70, spent=30)


def test_release_goes_back_to_the_same_lots(wallet: int) -> None:
    bought = books.lot(wallet, 50, ref="bought", source=Source.purchase)
    daily = books.lot(wallet, 20, ref="daily", source=Source.daily, hours=5)
    job = uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=30, job_id=job)
    assert (books.parts(daily), books.parts(bought)) == (Parts(held=20), Parts(available=40, held=10))
    later = books.lot(wallet, 5, ref="later", hours=1)
    assert twice(ledger.release, job_id=job) == Outcome(charged=0, released=30)
    assert books.moves(wallet, but=2) == [
        Move(Reason.hold, AVAILABLE, HELD, 20, daily, 50),
        Move(Reason.hold, AVAILABLE, HELD, 10, bought, 40),
        Move(Reason.grant, Account.issued, AVAILABLE, 5, later, 45),
        Move(Reason.release, HELD, AVAILABLE, 20, daily, 65),
        Move(Reason.release, HELD, AVAILABLE, 10, bought, 75),
    ]
    assert (books.parts(daily), books.parts(bought)) == (Parts(available=20), Parts(available=50))


def test_settling_in_part_releases_the_rest(wallet: int) -> None:
    first, second = books.lot(wallet, 20, ref="a", hours=1), books.lot(wallet, 20, ref="b", hours=2)
    job = uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=40, job_id=job)
    assert twice(ledger.settle, job_id=job, amount=25) == Outcome(charged=25, released=15)
    assert books.moves(wallet, but=4) == [
        Move(Reason.settle, HELD, SPENT, 20, first, 0),
        Move(Reason.settle, HELD, SPENT, 5, second, 0),
        Move(Reason.release, HELD, AVAILABLE, 15, second, 15),
    ]
    assert (books.parts(first), books.parts(second)) == (Parts(spent=20), Parts(available=15, spent=5))
    assert books.sums(wallet) == Sums(15, 0, 0)


def test_soonest_to_expire_burns_first_and_bought_last(wallet: int) -> None:
    bought_soon = books.lot(wallet, 1, ref="bought soon", source=Source.purchase, hours=1)
    bought = books.lot(wallet, 1, ref="bought", source=Source.purchase)
    forever = books.lot(wallet, 1, ref="forever", source=Source.signup)
    late = books.lot(wallet, 1, ref="late", source=Source.plan, hours=9)
    soon = books.lot(wallet, 1, ref="soon", source=Source.daily, hours=2)
    forever_too = books.lot(wallet, 1, ref="forever too", source=Source.admin)
    twice(ledger.hold, wallet_id=wallet, amount=6, job_id=uuid4())
    burnt = [move.lot_id for move in books.moves(wallet, but=6)]
    assert burnt == [soon, late, forever, forever_too, bought_soon, bought]


def test_a_job_has_one_hold_and_one_outcome(wallet: int) -> None:
    books.lot(wallet, 100, ref="a")
    job = uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=30, job_id=job)
    assert twice(ledger.settle, job_id=job, amount=10) == Outcome(10, 20)
    refused(LedgerError, ledger.settle, job_id=job, amount=11)
    refused(LedgerError, ledger.settle, job_id=job, amount=31)
    refused(LedgerError, ledger.release, job_id=job)
    released = uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=30, job_id=released)
    twice(ledger.release, job_id=released)
    refused(LedgerError, ledger.settle, job_id=released, amount=30)


def test_never_more_than_was_held(wallet: int) -> None:
    books.lot(wallet, 100, ref="a")
    job = uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=30, job_id=job)
    refused(LedgerError, ledger.settle, job_id=job, amount=31)
    assert twice(ledger.settle, job_id=job, amount=30) == Outcome(30, 0)


def test_a_job_that_holds_nothing(wallet: int) -> None:
    job = uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=0, job_id=job)
    refused(LedgerError, ledger.settle, job_id=job, amount=1)
    assert twice(ledger.settle, job_id=job, amount=0) == Outcome(0, 0)
    assert twice(ledger.release, job_id=job) == Outcome(0, 0)
    assert books.transfers() == 0


def test_too_few_credits(wallet: int) -> None:
    books.lot(wallet, 30, ref="a")
    twice(ledger.hold, wallet_id=wallet, amount=10, job_id=uuid4())
    error = refused(InsufficientCredits, ledger.hold, wallet_id=wallet, amount=21, job_id=uuid4())
    assert error.members == {"wallet": "credits", "required": 21, "available": 20, "debt": 0, "shortfall": 1}
    twice(ledger.hold, wallet_id=wallet, amount=20, job_id=uuid4())


def test_too_few_credits_once_the_overdue_are_gone(wallet: int) -> None:
    books.lot(wallet, 30, ref="a")
    books.time_is_up(books.lot(wallet, 30, ref="b", hours=1))
    error = refused(InsufficientCredits, ledger.hold, wallet_id=wallet, amount=31, job_id=uuid4())
    assert error.members == {"wallet": "credits", "required": 31, "available": 30, "debt": 0, "shortfall": 1}


@pytest.mark.parametrize("wrong", [-1, 2**53, 1.0, True, "1"])
def test_only_whole_credits_are_held_and_settled(wallet: int, wrong: Any) -> None:
    books.lot(wallet, 30, ref="a")
    job = uuid4()
    refused(LedgerError, ledger.hold, wallet_id=wallet, amount=wrong, job_id=job)
    twice(ledger.hold, wallet_id=wallet, amount=30, job_id=job)
    refused(LedgerError, ledger.settle, job_id=job, amount=wrong)


def test_there_must_be_a_wallet(wallet: int) -> None:
    refused(NotFound, ledger.hold, wallet_id=wallet + 1_000, amount=1, job_id=uuid4())
