"""Grants: credits come into being once for each business fact."""

from __future__ import annotations

from typing import Any

import pytest

from models import ledger
from models.errors import NotFound
from models.ledger import MOST_CREDITS, Account, Reason, Source
from models.ledger.transfers import LedgerError
from tests.ledger import books
from tests.ledger.books import Move, Parts, Sums, refused, twice


def test_a_grant_makes_a_lot(wallet: int) -> None:
    lot = twice(ledger.grant, wallet_id=wallet, amount=70, source=Source.signup, ref="signup:ann")
    assert books.moves(wallet) == [Move(Reason.grant, Account.issued, Account.available, 70, lot, 70)]
    assert books.refs(wallet) == ["signup:ann"]
    assert books.sums(wallet) == Sums(available=70, held=0, debt=0)
    assert books.parts(lot) == Parts(available=70)


def test_each_fact_has_its_own_lot(wallet: int) -> None:
    first = twice(ledger.grant, wallet_id=wallet, amount=70, source=Source.signup, ref="signup:ann")
    second = twice(ledger.grant, wallet_id=wallet, amount=MOST_CREDITS - 70, source=Source.promo, ref="promo:ann")
    assert first != second
    assert [move.balance_after for move in books.moves(wallet)] == [70, MOST_CREDITS]


@pytest.mark.parametrize("wrong", [0, -1, MOST_CREDITS + 1, 1.0, True, "1", None])
def test_only_whole_credits_are_granted(wallet: int, wrong: Any) -> None:
    refused(LedgerError, ledger.grant, wallet_id=wallet, amount=wrong, source=Source.admin, ref="x")


def test_a_ref_names_one_amount_and_one_wallet(wallet: int, other: int) -> None:
    twice(ledger.grant, wallet_id=wallet, amount=70, source=Source.purchase, ref="checkout:cs_1")
    refused(LedgerError, ledger.grant, wallet_id=wallet, amount=71, source=Source.purchase, ref="checkout:cs_1")
    refused(LedgerError, ledger.grant, wallet_id=other, amount=70, source=Source.purchase, ref="checkout:cs_1")


def test_there_must_be_a_wallet(wallet: int) -> None:
    refused(NotFound, ledger.grant, wallet_id=wallet + 1_000, amount=1, source=Source.admin, ref="x")
