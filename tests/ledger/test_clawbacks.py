"""Clawbacks: the money went back, so do the credits; what is gone becomes debt, and a won dispute undoes it all."""

from __future__ import annotations

from uuid import uuid4

from models import ledger
from models.errors import InsufficientCredits, NotFound
from models.ledger import Account, Outcome, Reason, Source
from models.ledger.transfers import LedgerError
from tests.ledger import books
from tests.ledger.books import Move, Parts, Sums, refused, twice

AVAILABLE, CLAWED = Account.available, Account.clawed_back


def bought(wallet: int, amount: int, ref: str) -> int:
    return books.lot(wallet, amount, ref=ref, source=Source.purchase)


def test_what_is_there_is_taken(wallet: int) -> None:
    lot = bought(wallet, 100, "a")
    made = twice(ledger.clawback, lot_id=lot, amount=60, ref="refund:1")
    assert (made.taken, made.debt) == (60, 0)
    assert books.moves(wallet, but=1) == [Move(Reason.clawback, AVAILABLE, CLAWED, 60, lot, 40)]
    assert books.refs(wallet)[1] == f"refund:1:clawback:{lot}"
    assert (books.sums(wallet), books.parts(lot)) == (Sums(40, 0, 0), Parts(available=40, clawed_back=60))


def test_what_was_spent_becomes_debt_and_blocks(wallet: int) -> None:
    lot, other = bought(wallet, 100, "a"), books.lot(wallet, 50, ref="b")
    twice(ledger.spend, wallet_id=wallet, amount=110, ref="x")
    assert (books.parts(other), books.parts(lot)) == (Parts(spent=50), Parts(available=40, spent=60))
    made = twice(ledger.clawback, lot_id=lot, amount=100, ref="refund:1")
    assert (made.taken, made.debt) == (40, 60)
    assert books.sums(wallet) == Sums(0, 0, 60)
    for error in (
        refused(InsufficientCredits, ledger.hold, wallet_id=wallet, amount=5, job_id=uuid4()),
        refused(InsufficientCredits, ledger.spend, wallet_id=wallet, amount=5, ref="y"),
    ):
        assert error.members == {"wallet": "credits", "required": 5, "available": 0, "debt": 60, "shortfall": 65}


def test_debt_blocks_even_where_credits_are(wallet: int) -> None:
    lot = bought(wallet, 10, "a")
    twice(ledger.spend, wallet_id=wallet, amount=10, ref="x")
    books.lot(wallet, 50, ref="b")
    twice(ledger.clawback, lot_id=lot, amount=10, ref="refund:1")
    error = refused(InsufficientCredits, ledger.hold, wallet_id=wallet, amount=5, job_id=uuid4())
    assert error.members == {"wallet": "credits", "required": 5, "available": 50, "debt": 10, "shortfall": 10}
    assert "0 can be used" in error.detail


def test_the_next_grants_pay_debt_oldest_first(wallet: int) -> None:
    first, second = bought(wallet, 30, "a"), bought(wallet, 30, "b")
    twice(ledger.spend, wallet_id=wallet, amount=60, ref="x")
    twice(ledger.clawback, lot_id=second, amount=30, ref="refund:b")
    twice(ledger.clawback, lot_id=first, amount=20, ref="refund:a")
    assert books.sums(wallet) == Sums(0, 0, 50)
    before = len(books.moves(wallet))
    third = twice(ledger.grant, wallet_id=wallet, amount=35, source=Source.daily, ref="daily:1")
    assert books.sums(wallet) == Sums(0, 0, 15)
    fourth = twice(ledger.grant, wallet_id=wallet, amount=35, source=Source.daily, ref="daily:2")
    assert books.moves(wallet, but=before) == [
        Move(Reason.grant, Account.issued, AVAILABLE, 35, third, 35),
        Move(Reason.clawback, AVAILABLE, CLAWED, 30, third, 5),
        Move(Reason.clawback, AVAILABLE, CLAWED, 5, third, 0),
        Move(Reason.grant, Account.issued, AVAILABLE, 35, fourth, 35),
        Move(Reason.clawback, AVAILABLE, CLAWED, 15, fourth, 20),
    ]
    paid = [ref for ref in books.refs(wallet) if ":debt:" in ref]
    assert paid == ["refund:b:debt:0", "refund:a:debt:0", "refund:a:debt:5"]
    assert books.sums(wallet) == Sums(20, 0, 0)
    twice(ledger.hold, wallet_id=wallet, amount=20, job_id=uuid4())


def test_credits_released_to_the_lot_pay_its_debt(wallet: int) -> None:
    lot, other = bought(wallet, 100, "a"), bought(wallet, 100, "b")
    job, another = uuid4(), uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=90, job_id=job)
    twice(ledger.hold, wallet_id=wallet, amount=50, job_id=another)
    assert (books.parts(lot), books.parts(other)) == (Parts(held=100), Parts(available=60, held=40))
    made = twice(ledger.clawback, lot_id=lot, amount=100, ref="refund:1")
    assert (made.taken, made.debt) == (0, 100)
    before = len(books.moves(wallet))
    assert twice(ledger.release, job_id=another) == Outcome(0, 50)
    assert books.moves(wallet, but=before) == [
        Move(Reason.release, Account.held, AVAILABLE, 10, lot, 70),
        Move(Reason.release, Account.held, AVAILABLE, 40, other, 110),
        Move(Reason.clawback, AVAILABLE, CLAWED, 10, lot, 100),
    ]
    assert books.sums(wallet) == Sums(100, 90, 90), "only the lot that was clawed back pays by its own release"
    assert twice(ledger.settle, job_id=job, amount=90) == Outcome(90, 0)
    assert books.sums(wallet) == Sums(100, 0, 90)
    assert books.parts(lot) == Parts(spent=90, clawed_back=10)


def test_debt_comes_before_expiry_when_a_hold_comes_back(wallet: int) -> None:
    lot, job = books.lot(wallet, 50, ref="a", source=Source.purchase, hours=1), uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=50, job_id=job)
    twice(ledger.clawback, lot_id=lot, amount=20, ref="refund:1")
    books.time_is_up(lot)
    twice(ledger.release, job_id=job)
    assert books.parts(lot) == Parts(expired=30, clawed_back=20)
    assert books.sums(wallet) == Sums(0, 0, 0)


def test_what_had_expired_is_let_go(wallet: int) -> None:
    lot = books.lot(wallet, 50, ref="a", source=Source.purchase, hours=1)
    twice(ledger.spend, wallet_id=wallet, amount=10, ref="x")
    books.time_is_up(lot)
    books.once(ledger.expire, wallet_id=wallet)
    made = twice(ledger.clawback, lot_id=lot, amount=50, ref="refund:1")
    assert (made.amount, made.taken, made.debt) == (50, 0, 10)
    assert books.sums(wallet) == Sums(0, 0, 10)


def test_refunds_in_parts_owe_what_was_used_once_and_no_more(wallet: int) -> None:
    lot = books.lot(wallet, 100, ref="a", hours=1)
    twice(ledger.spend, wallet_id=wallet, amount=50, ref="x")
    books.time_is_up(lot)
    books.once(ledger.expire, wallet_id=wallet)
    first = twice(ledger.clawback, lot_id=lot, amount=50, ref="refund:1")
    second = twice(ledger.clawback, lot_id=lot, amount=50, ref="refund:2")
    assert [(made.taken, made.debt) for made in (first, second)] == [(0, 50), (0, 0)]
    assert books.sums(wallet) == Sums(0, 0, 50)


def test_refunds_in_parts_never_ask_for_more_than_was_issued(wallet: int) -> None:
    lot = bought(wallet, 100, "a")
    twice(ledger.spend, wallet_id=wallet, amount=50, ref="x")
    twice(ledger.clawback, lot_id=lot, amount=70, ref="refund:1")
    assert books.sums(wallet) == Sums(0, 0, 20)
    refused(LedgerError, ledger.clawback, lot_id=lot, amount=31, ref="refund:2")
    made = twice(ledger.clawback, lot_id=lot, amount=30, ref="refund:2")
    assert (made.taken, made.debt) == (0, 30)
    assert books.sums(wallet) == Sums(0, 0, 50)


def test_debt_paid_by_the_lot_itself_does_not_excuse_what_is_spent_later(wallet: int) -> None:
    lot, job = bought(wallet, 100, "a"), uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=60, job_id=job)
    twice(ledger.clawback, lot_id=lot, amount=50, ref="refund:1")
    twice(ledger.release, job_id=job)
    assert (books.sums(wallet), books.parts(lot)) == (Sums(50, 0, 0), Parts(available=50, clawed_back=50))
    twice(ledger.spend, wallet_id=wallet, amount=50, ref="x")
    made = twice(ledger.clawback, lot_id=lot, amount=50, ref="refund:2")
    assert (made.taken, made.debt) == (0, 50), "all of the money is back, and 50 credits were used"


def test_credits_that_paid_a_debt_were_used(wallet: int) -> None:
    first = bought(wallet, 100, "a")
    twice(ledger.spend, wallet_id=wallet, amount=30, ref="x")
    twice(ledger.clawback, lot_id=first, amount=100, ref="refund:1")
    second = bought(wallet, 100, "b")
    assert books.sums(wallet) == Sums(70, 0, 0)
    made = twice(ledger.clawback, lot_id=second, amount=100, ref="refund:2")
    assert (made.taken, made.debt) == (70, 30), "all of the money is back, and 30 credits were used"
    twice(ledger.restore, ref="refund:1")
    assert books.parts(second) == Parts(available=30, clawed_back=70)
    twice(ledger.restore, ref="refund:2")
    assert books.sums(wallet) == Sums(170, 0, 0)


def test_a_ref_names_one_clawback(wallet: int) -> None:
    lot, other = bought(wallet, 100, "a"), bought(wallet, 100, "b")
    twice(ledger.clawback, lot_id=lot, amount=20, ref="refund:1")
    refused(LedgerError, ledger.clawback, lot_id=lot, amount=21, ref="refund:1")
    refused(LedgerError, ledger.clawback, lot_id=other, amount=20, ref="refund:1")
    refused(LedgerError, ledger.clawback, lot_id=lot, amount=0, ref="refund:2")
    refused(NotFound, ledger.clawback, lot_id=lot + 1_000, amount=1, ref="refund:2")
    refused(NotFound, ledger.restore, ref="refund:2")


def test_restoring_gives_back_exactly_what_was_taken(wallet: int) -> None:
    first = bought(wallet, 100, "a")
    twice(ledger.spend, wallet_id=wallet, amount=60, ref="x")
    twice(ledger.clawback, lot_id=first, amount=100, ref="dispute:1")
    second = books.lot(wallet, 25, ref="b")
    assert (books.sums(wallet), books.parts(second)) == (Sums(0, 0, 35), Parts(clawed_back=25))
    before = len(books.moves(wallet))
    made = twice(ledger.restore, ref="dispute:1")
    assert made.restored_at is not None
    assert books.moves(wallet, but=before) == [
        Move(Reason.restore, CLAWED, AVAILABLE, 40, first, 40),
        Move(Reason.restore, CLAWED, AVAILABLE, 25, second, 65),
    ]
    assert (books.parts(first), books.parts(second)) == (Parts(available=40, spent=60), Parts(available=25))
    assert books.sums(wallet) == Sums(65, 0, 0)
    again = twice(ledger.clawback, lot_id=first, amount=100, ref="dispute:2")
    assert (again.taken, again.debt) == (40, 60)


def test_restoring_leaves_other_debt_alone(wallet: int) -> None:
    first, second = bought(wallet, 30, "a"), bought(wallet, 30, "b")
    twice(ledger.spend, wallet_id=wallet, amount=60, ref="x")
    twice(ledger.clawback, lot_id=first, amount=30, ref="dispute:1")
    twice(ledger.clawback, lot_id=second, amount=10, ref="dispute:2")
    twice(ledger.restore, ref="dispute:1")
    assert books.sums(wallet) == Sums(0, 0, 10)


def test_restored_credits_whose_time_has_passed_expire(wallet: int) -> None:
    lot = books.lot(wallet, 40, ref="a", source=Source.purchase, hours=1)
    twice(ledger.clawback, lot_id=lot, amount=40, ref="dispute:1")
    books.time_is_up(lot)
    books.once(ledger.expire, wallet_id=wallet)
    twice(ledger.restore, ref="dispute:1")
    assert books.moves(wallet, but=2) == [
        Move(Reason.restore, CLAWED, AVAILABLE, 40, lot, 40),
        Move(Reason.expire, AVAILABLE, Account.expired, 40, lot, 0),
    ]
    assert books.parts(lot) == Parts(expired=40)
