"""Transfers: the guards under every verb, tried on their own, as no verb lets a wrong amount get that far."""

from __future__ import annotations

import pytest
from sqlalchemy.orm import Session

from models.ledger import Account, Reason
from models.ledger.transfers import LedgerError, transfer
from models.ledger.wallets import locked
from tests.ledger import books
from tests.ledger.books import refused


def move(session: Session, /, wallet: int, lot: int, amount: int, source: Account = Account.available) -> None:
    transfer(
        session, locked(session, wallet), lot, amount, source=source, target=Account.spent, reason=Reason.spend,
        ref="x",
    )  # fmt: skip


def test_no_lot_gives_more_than_it_has(wallet: int) -> None:
    lot = books.lot(wallet, 10, ref="a")
    books.lot(wallet, 10, ref="b")
    refused(LedgerError, move, wallet, lot, 11)
    refused(LedgerError, move, wallet, lot, 1, Account.held)


def test_no_wallet_gives_the_lots_of_another(wallet: int, other: int) -> None:
    lot = books.lot(wallet, 10, ref="a")
    books.lot(other, 10, ref="b")
    refused(LedgerError, move, other, lot, 10)


@pytest.mark.parametrize("account", [Account.available, Account.held])
def test_no_wallet_gives_more_than_it_has(wallet: int, account: Account) -> None:
    lot = books.lot(wallet, 10, ref="a")
    books.by_hand(
        "UPDATE lots SET available = 5, held = 5",
        "UPDATE wallets SET available = 2, held = 2",
    )
    refused(LedgerError, move, wallet, lot, 3, account)
