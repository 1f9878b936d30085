"""Expiry: what is available in a lot whose time has passed is let go, visibly, and what is held stays good."""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import select

from models import ledger
from models.database import sessions
from models.ledger import Account, Balance, Outcome, Reason, Wallet
from tests.ledger import books
from tests.ledger.books import Move, Parts, Sums, once, twice


def expire(wallet: int) -> int:
    """Expire, twice: the second time there is nothing left to expire."""
    expired = once(ledger.expire, wallet_id=wallet)
    before = books.everything()
    assert once(ledger.expire, wallet_id=wallet) == 0
    assert books.everything() == before
    return expired


def due(wallet: int) -> bool:
    """Whether a sweep would look at this wallet now."""
    with sessions() as session:
        return wallet in ledger.wallets_due(session, limit=100)


def test_what_is_overdue_expires(wallet: int) -> None:
    kept, late = books.lot(wallet, 10, ref="a", hours=2), books.lot(wallet, 20, ref="b", hours=1)
    assert not due(wallet)
    books.time_is_up(late)
    assert due(wallet)
    assert expire(wallet) == 20
    assert not due(wallet)
    assert books.moves(wallet, but=2) == [Move(Reason.expire, Account.available, Account.expired, 20, late, 10)]
    assert (books.parts(kept), books.parts(late)) == (Parts(available=10), Parts(expired=20))
    assert books.sums(wallet) == Sums(10, 0, 0)


def test_the_wallet_knows_when_it_is_due_next(wallet: int) -> None:
    def due_at() -> object:
        with sessions() as session:
            return session.scalar(select(Wallet.due_at).where(Wallet.id == wallet))

    def expires_at(lot: int) -> object:
        with sessions() as session:
            return session.scalar(select(ledger.Lot.expires_at).where(ledger.Lot.id == lot))

    books.lot(wallet, 10, ref="never")
    assert due_at() is None
    late, soon = books.lot(wallet, 10, ref="late", hours=9), books.lot(wallet, 10, ref="soon", hours=1)
    assert due_at() == expires_at(soon)
    books.time_is_up(soon)
    expire(wallet)
    assert due_at() == expires_at(late)
    books.time_is_up(late)
    expire(wallet)
    assert due_at() is None


def test_a_verb_does_first_what_is_due(wallet: int) -> None:
    late, kept = books.lot(wallet, 20, ref="a", hours=1), books.lot(wallet, 10, ref="b")
    books.time_is_up(late)
    twice(ledger.hold, wallet_id=wallet, amount=10, job_id=uuid4())
    assert books.moves(wallet, but=2) == [
        Move(Reason.expire, Account.available, Account.expired, 20, late, 10),
        Move(Reason.hold, Account.available, Account.held, 10, kept, 0),
    ]


def test_overdue_credits_no_longer_count(wallet: int) -> None:
    with sessions() as session:
        user = session.scalars(select(Wallet.user_id).where(Wallet.id == wallet)).one()
    books.lot(wallet, 10, ref="a")
    books.lot(wallet, 20, ref="b", hours=-1)
    with sessions() as session:
        assert ledger.balances(session, user_id=user) == {"credits": Balance(available=10, held=0, debt=0)}


def test_held_credits_are_good_for_their_job(wallet: int) -> None:
    lot, job = books.lot(wallet, 20, ref="a", hours=1), uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=20, job_id=job)
    books.time_is_up(lot)
    assert expire(wallet) == 0
    assert twice(ledger.settle, job_id=job, amount=20) == Outcome(20, 0)
    assert books.parts(lot) == Parts(spent=20)


def test_released_too_late_goes_on_to_expired(wallet: int) -> None:
    lot, first, second = books.lot(wallet, 20, ref="a", hours=1), uuid4(), uuid4()
    twice(ledger.hold, wallet_id=wallet, amount=8, job_id=first)
    twice(ledger.hold, wallet_id=wallet, amount=7, job_id=second)
    books.time_is_up(lot)
    assert expire(wallet) == 5
    assert twice(ledger.settle, job_id=first, amount=3) == Outcome(charged=3, released=5)
    assert twice(ledger.release, job_id=second) == Outcome(charged=0, released=7)
    assert books.moves(wallet, but=3) == [
        Move(Reason.expire, Account.available, Account.expired, 5, lot, 0),
        Move(Reason.settle, Account.held, Account.spent, 3, lot, 0),
        Move(Reason.release, Account.held, Account.available, 5, lot, 5),
        Move(Reason.expire, Account.available, Account.expired, 5, lot, 0),
        Move(Reason.release, Account.held, Account.available, 7, lot, 7),
        Move(Reason.expire, Account.available, Account.expired, 7, lot, 0),
    ]
    assert books.refs(wallet)[3] == f"lot:{lot}:expire:0"
    assert books.refs(wallet)[8] == f"lot:{lot}:expire:10"
    assert books.parts(lot) == Parts(spent=3, expired=17)
    assert books.sums(wallet) == Sums(0, 0, 0)


def test_the_due_come_in_pages(wallet: int, other: int) -> None:
    for each in (wallet, other):
        books.lot(each, 10, ref=f"late {each}", hours=-1)
    with sessions() as session:
        assert ledger.wallets_due(session, limit=1) == [min(wallet, other)]
        assert ledger.wallets_due(session, limit=1, after=min(wallet, other)) == [max(wallet, other)]
        assert ledger.wallets_due(session, limit=1, after=max(wallet, other)) == []
