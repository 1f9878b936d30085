"""The audit finds each way in which the books can be wrong, names it, and repairs nothing."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import uuid4

import pytest

from models import ledger
from models.audit import MOST_FINDINGS, audit
from models.database import sessions
from models.ledger import Clawback
from models.ledger.audit import findings
from tests.ledger import books
from tests.ledger.books import once


@dataclass
class Books:
    """Books that are in order: a lot of 100 with 10 held, 60 spent and 30 taken back, and a debt of 15."""

    wallet: int
    other: int
    lot: int
    clawback: int


@pytest.fixture
def right(wallet: int, other: int) -> Books:
    lot = books.lot(wallet, 100, ref="a")
    once(ledger.hold, wallet_id=wallet, amount=10, job_id=uuid4())
    once(ledger.spend, wallet_id=wallet, amount=20, ref="x")
    once(ledger.clawback, lot_id=lot, amount=30, ref="refund:1")
    once(ledger.spend, wallet_id=wallet, amount=40, ref="y")
    made: Clawback = once(ledger.clawback, lot_id=lot, amount=15, ref="refund:2")
    assert (books.sums(wallet), made.debt) == (books.Sums(0, 10, 15), 15)
    books.lot(other, 50, ref="b")
    return Books(wallet, other, lot, made.id)


WRONG = {
    "a lot that is larger than its grant": (
        ["UPDATE lots SET issued = issued + 5, spent = spent + 5 WHERE id = {lot}"],
        ["lot {lot} disagrees with its transfers: issued is 105, should be 100, spent is 65, should be 60"],
    ),
    "credits that went to another account of the lot": (
        ["UPDATE lots SET expired = 3, spent = spent - 3 WHERE id = {lot}"],
        ["lot {lot} disagrees with its transfers: spent is 57, should be 60, expired is 3, should be 0"],
    ),
    "a wallet with more than its lots": (
        ["UPDATE wallets SET available = available + 1 WHERE id = {wallet}"],
        ["wallet {wallet} disagrees with its lots: available is 1, should be 0, held is 10, should be 10"],
    ),
    "a wallet that holds less than its lots": (
        ["UPDATE wallets SET held = held - 1 WHERE id = {wallet}"],
        ["wallet {wallet} disagrees with its lots: available is 0, should be 0, held is 9, should be 10"],
    ),
    "debt that was forgotten": (
        ["UPDATE wallets SET debt = 0 WHERE id = {wallet}"],
        ["wallet {wallet} disagrees with its clawbacks: debt is 0, should be 15"],
    ),
    "debt out of nowhere": (
        ["UPDATE wallets SET debt = 2 WHERE id = {other}"],
        ["wallet {other} disagrees with its clawbacks: debt is 2, should be 0"],
    ),
    "debt paid with nothing": (
        ["UPDATE clawbacks SET paid = 4 WHERE id = {clawback}", "UPDATE wallets SET debt = 11 WHERE id = {wallet}"],
        ["clawback {clawback} disagrees with its transfers: taken is 4, should be 0"],
    ),
    "a clawback that says it was restored": (
        ["UPDATE clawbacks SET restored_at = created_at WHERE ref = 'refund:1'"],
        ["disagrees with its transfers: taken is 0, should be 30"],
    ),
    "a transfer that was deleted": (
        ["DELETE FROM transfers WHERE ref LIKE 'spend:x:%'"],
        ["lot {lot} disagrees with its transfers: available is 0, should be 20, spent is 60, should be 40"],
    ),
    "a transfer that was changed": (
        ["UPDATE transfers SET amount = 19 WHERE ref LIKE 'spend:x:%'"],
        ["lot {lot} disagrees with its transfers: available is 0, should be 1, spent is 60, should be 59"],
    ),
    "a transfer that was made up": (
        [
            "INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after)"
            " VALUES ({wallet}, {lot}, 7, 'issued', 'available', 'grant', 'made up', 7)"
        ],
        ["lot {lot} disagrees with its transfers: issued is 100, should be 107, available is 0, should be 7"],
    ),
    "every transfer of a lot gone": (
        ["DELETE FROM transfers WHERE wallet_id = {other}"],
        ["disagrees with its transfers: issued is 50, should be 0, available is 50, should be 0"],
    ),
    "a transfer in the name of another wallet": (
        ["UPDATE transfers SET wallet_id = {other} WHERE ref LIKE 'spend:x:%'"],
        ["of wallet {other} moved a lot of wallet {wallet}"],
    ),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_found(right: Books, kind: str) -> None:
    statements, expected = WRONG[kind]
    books.let_transfers_be_rewritten()
    books.by_hand(*(statement.format(**vars(right)) for statement in statements))
    before = books.everything()
    with sessions() as session:
        found = list(findings(session))
    assert len(found) == len(expected), found
    for sentence, words in zip(found, expected, strict=True):
        assert words.format(**vars(right)) in sentence
    assert books.everything() == before


def test_the_audit_of_everything_stops_at_its_most(right: Books) -> None:
    with sessions() as session:
        assert len(audit(session)) == 1, "the hold of the fixture names no job"
    books.let_transfers_be_rewritten()
    rows = ", ".join(f"({{other}}, {{lot}}, 1, 'issued', 'spent', 'spend', 'made up {n}', 0)" for n in range(1_100))
    books.by_hand(
        "INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after) VALUES "
        + rows.format(**vars(right))
    )
    with sessions() as session:
        assert len(audit(session)) == MOST_FINDINGS
