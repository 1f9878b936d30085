"""Spends: charges that have no job."""

from __future__ import annotations

from uuid import uuid4

from models import ledger
from models.errors import InsufficientCredits
from models.ledger import Account, Reason
from models.ledger.transfers import LedgerError
from tests.ledger import books
from tests.ledger.books import Move, Parts, Sums, refused, twice


def test_a_spend_is_charged_once(wallet: int) -> None:
    first, second = books.lot(wallet, 20, ref="a", hours=1), books.lot(wallet, 20, ref="b")
    twice(ledger.spend, wallet_id=wallet, amount=25, ref="export:1", details={"pages": 3})
    assert books.moves(wallet, but=2) == [
        Move(Reason.spend, Account.available, Account.spent, 20, first, 20),
        Move(Reason.spend, Account.available, Account.spent, 5, second, 15),
    ]
    assert books.refs(wallet)[2:] == ["spend:export:1:0", "spend:export:1:1"]
    assert books.sums(wallet) == Sums(15, 0, 0)
    assert (books.parts(first), books.parts(second)) == (Parts(spent=20), Parts(available=15, spent=5))


def test_a_ref_names_one_amount_and_one_wallet(wallet: int, other: int) -> None:
    books.lot(wallet, 20, ref="a")
    books.lot(other, 20, ref="b")
    twice(ledger.spend, wallet_id=wallet, amount=5, ref="export:1")
    refused(LedgerError, ledger.spend, wallet_id=wallet, amount=6, ref="export:1")
    refused(LedgerError, ledger.spend, wallet_id=other, amount=5, ref="export:1")


def test_refs_that_look_alike_are_charged_each(wallet: int) -> None:
    books.lot(wallet, 100, ref="a")
    for ref in ("order:1:tip", "order:1", "order", "Order", "order_1", "order%", "orderx1"):
        twice(ledger.spend, wallet_id=wallet, amount=5, ref=ref)
    assert books.sums(wallet) == Sums(65, 0, 0)


def test_too_few_credits(wallet: int) -> None:
    books.lot(wallet, 30, ref="a")
    twice(ledger.hold, wallet_id=wallet, amount=10, job_id=uuid4())
    error = refused(InsufficientCredits, ledger.spend, wallet_id=wallet, amount=21, ref="x")
    assert error.members == {"wallet": "credits", "required": 21, "available": 20, "debt": 0, "shortfall": 1}
    refused(LedgerError, ledger.spend, wallet_id=wallet, amount=0, ref="x")
