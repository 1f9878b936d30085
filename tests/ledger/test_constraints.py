"""The last line of defence: what the database itself refuses, whoever asks."""

from __future__ import annotations

from uuid import uuid4

import pytest
from sqlalchemy.exc import DatabaseError, IntegrityError

from models import ledger
from tests.ledger import books
from tests.ledger.books import once


@pytest.fixture
def lot(wallet: int) -> int:
    """A lot of 100 with 10 held, 20 spent and 30 clawed back, 5 of it for the debt of another lot."""
    first = books.lot(wallet, 5, ref="first")
    once(ledger.spend, wallet_id=wallet, amount=5, ref="x")
    once(ledger.clawback, lot_id=first, amount=5, ref="refund:1")
    made = books.lot(wallet, 100, ref="a")
    once(ledger.hold, wallet_id=wallet, amount=10, job_id=uuid4())
    once(ledger.spend, wallet_id=wallet, amount=20, ref="y")
    once(ledger.clawback, lot_id=made, amount=25, ref="refund:2")
    return made


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE transfers SET amount = amount + 1",
        "UPDATE transfers SET ref = ref",
        "UPDATE transfers SET details = NULL WHERE reason = 'grant'",
        "DELETE FROM transfers",
        "DELETE FROM transfers WHERE reason = 'spend'",
    ],
)
def test_transfers_are_append_only(lot: int, statement: str) -> None:
    before = books.everything()
    with pytest.raises(DatabaseError, match="transfers are append-only"):
        books.by_hand(statement)
    assert books.everything() == before


@pytest.mark.parametrize("statement", ["TRUNCATE transfers", "TRUNCATE wallets CASCADE"])
def test_transfers_are_never_truncated(postgresql: str, new_user: object, statement: str) -> None:
    wallet = new_user(10)[1]  # type: ignore[operator]
    with pytest.raises(DatabaseError, match="transfers are append-only"):
        books.by_hand(statement)
    assert len(books.moves(wallet)) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE lots SET available = available + 1 WHERE id = :lot",
        "UPDATE lots SET issued = issued - 1 WHERE id = :lot",
        "UPDATE lots SET available = available + held + 1, held = -1 WHERE id = :lot",
        "UPDATE lots SET held = held + available + 1, available = -1 WHERE id = :lot",
        "UPDATE lots SET held = held + spent + 1, spent = -1 WHERE id = :lot",
        "UPDATE lots SET held = held + expired + 1, expired = -1 WHERE id = :lot",
        "UPDATE lots SET held = held + clawed_back + 1, clawed_back = -1 WHERE id = :lot",
        "UPDATE lots SET issued = 0, available = 0, held = 0, spent = 0, expired = 0, clawed_back = 0 WHERE id = :lot",
        "UPDATE lots SET source = 'theft' WHERE id = :lot",
        "UPDATE lots SET ref = 'first' WHERE id = :lot",
        "UPDATE lots SET wallet_id = 0 WHERE id = :lot",
        "UPDATE wallets SET available = -1",
        "UPDATE wallets SET held = -1",
        "UPDATE wallets SET debt = -1",
        "UPDATE clawbacks SET taken = amount + 1",
        "UPDATE clawbacks SET taken = -1",
        "UPDATE clawbacks SET debt = amount + 1",
        "UPDATE clawbacks SET debt = -1",
        "UPDATE clawbacks SET amount = 0, taken = 0, debt = 0, paid = 0",
        "UPDATE clawbacks SET paid = debt + 1",
        "UPDATE clawbacks SET paid = -1",
        "UPDATE clawbacks SET ref = 'refund:1'",
        "DELETE FROM lots WHERE id = :lot",
        "DELETE FROM wallets",
        "DELETE FROM clawbacks",
    ],
)
def test_balances_cannot_be_corrupted(lot: int, statement: str) -> None:
    before = books.everything()
    with pytest.raises(IntegrityError):
        books.by_hand(statement, **({"lot": lot} if ":lot" in statement else {}))
    assert books.everything() == before


TRANSFER = (
    "INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after)"
    " SELECT wallet_id, id, {amount}, '{source}', '{target}', '{reason}', '{ref}', 0 FROM lots WHERE id = :lot"
)
GOOD = {"amount": "1", "source": "available", "target": "spent", "reason": "spend", "ref": "spend:z:1"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": "0"},
        {"amount": "-1"},
        {"target": "available"},
        {"source": "mattress"},
        {"target": "mattress"},
        {"reason": "mood"},
        {"ref": "a"},
    ],
    ids=str,
)
def test_senseless_transfers_are_refused(lot: int, wrong: dict[str, str]) -> None:
    before = books.everything()
    with pytest.raises(IntegrityError):
        books.by_hand(TRANSFER.format(**{**GOOD, **wrong}), lot=lot)
    assert books.everything() == before
    books.by_hand(TRANSFER.format(**GOOD), lot=lot)


def test_one_wallet_of_a_kind_for_each_user(wallet: int) -> None:
    with pytest.raises(IntegrityError):
        books.by_hand("INSERT INTO wallets (user_id, kind) SELECT user_id, kind FROM wallets")
