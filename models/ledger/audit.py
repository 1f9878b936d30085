"""The ledger's audit: transfers = lots = wallets, and debt is what the clawbacks say.

Each check is one set-based query that returns what does not fit; an empty answer is the proof. Nothing is repaired.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import case, cast, func, or_, select
from sqlalchemy.orm import Session

from models.database import BigId
from models.ledger.tables import Account, Clawback, Lot, Reason, Transfer, Wallet

CACHED = (Account.available, Account.held, Account.spent, Account.expired, Account.clawed_back)


def findings(session: Session) -> Iterator[str]:
    """Every disagreement in the books, one sentence each. Run it in a transaction with one snapshot."""
    yield from _lots_against_transfers(session)
    yield from _wallets_against_lots(session)
    yield from _debt_against_clawbacks(session)
    yield from _clawbacks_against_transfers(session)
    yield from _transfers_in_foreign_wallets(session)


def _lots_against_transfers(session: Session) -> Iterator[str]:
    def net(account: Account) -> object:
        moved = case((Transfer.target == account, Transfer.amount), (Transfer.source == account, -Transfer.amount))
        return cast(func.coalesce(func.sum(moved), 0), BigId)

    sums = (
        select(
            Transfer.lot_id,
            (-net(Account.issued)).label("issued"),  # type: ignore[operator]
            *(net(account).label(account.value) for account in CACHED),  # type: ignore[attr-defined]
        )
        .group_by(Transfer.lot_id)
        .subquery()
    )
    names = ("issued", *(account.value for account in CACHED))
    differs = or_(*(getattr(Lot, name) != func.coalesce(sums.c[name], 0) for name in names))
    for row in session.execute(
        select(Lot.id, *(getattr(Lot, name) for name in names), *(sums.c[name].label(f"t_{name}") for name in names))
        .outerjoin(sums, sums.c.lot_id == Lot.id)
        .where(differs)
    ).mappings():
        wrong = {name: (row[name], row[f"t_{name}"]) for name in names if row[name] != (row[f"t_{name}"] or 0)}
        yield f"lot {row['id']} disagrees with its transfers: " + _pairs(wrong)


def _wallets_against_lots(session: Session) -> Iterator[str]:
    sums = (
        select(Lot.wallet_id, func.sum(Lot.available).label("available"), func.sum(Lot.held).label("held"))
        .group_by(Lot.wallet_id)
        .subquery()
    )
    names = ("available", "held")
    for row in session.execute(
        select(Wallet.id, Wallet.available, Wallet.held, sums.c.available.label("l_a"), sums.c.held.label("l_h"))
        .outerjoin(sums, sums.c.wallet_id == Wallet.id)
        .where(or_(*(getattr(Wallet, name) != func.coalesce(sums.c[name], 0) for name in names)))
    ):
        wrong = {"available": (row.available, row.l_a), "held": (row.held, row.l_h)}
        yield f"wallet {row.id} disagrees with its lots: " + _pairs(wrong)


def _debt_against_clawbacks(session: Session) -> Iterator[str]:
    sums = (
        select(Clawback.wallet_id, func.sum(Clawback.debt - Clawback.paid).label("debt"))
        .where(Clawback.restored_at.is_(None))
        .group_by(Clawback.wallet_id)
        .subquery()
    )
    for row in session.execute(
        select(Wallet.id, Wallet.debt, sums.c.debt.label("owed"))
        .outerjoin(sums, sums.c.wallet_id == Wallet.id)
        .where(Wallet.debt != func.coalesce(sums.c.debt, 0))
    ):
        yield f"wallet {row.id} disagrees with its clawbacks: " + _pairs({"debt": (row.debt, row.owed)})


def _clawbacks_against_transfers(session: Session) -> Iterator[str]:
    signed = case((Transfer.reason == Reason.restore, -Transfer.amount), else_=Transfer.amount)
    sums = (
        select(Transfer.clawback_id, func.sum(signed).label("net"))
        .where(Transfer.clawback_id.is_not(None))
        .group_by(Transfer.clawback_id)
        .subquery()
    )
    expected = case((Clawback.restored_at.is_(None), Clawback.taken + Clawback.paid), else_=0)
    for row in session.execute(
        select(Clawback.id, expected.label("expected"), sums.c.net)
        .outerjoin(sums, sums.c.clawback_id == Clawback.id)
        .where(expected != func.coalesce(sums.c.net, 0))
    ):
        yield f"clawback {row.id} disagrees with its transfers: " + _pairs({"taken": (row.expected, row.net)})


def _transfers_in_foreign_wallets(session: Session) -> Iterator[str]:
    for row in session.execute(
        select(Transfer.id, Transfer.wallet_id, Lot.wallet_id.label("owner"))
        .join(Lot, Lot.id == Transfer.lot_id)
        .where(Lot.wallet_id != Transfer.wallet_id)
    ):
        yield f"transfer {row.id} of wallet {row.wallet_id} moved a lot of wallet {row.owner}"


def _pairs(wrong: dict[str, tuple[int, int | None]]) -> str:
    return ", ".join(f"{name} is {is_}, should be {should or 0}" for name, (is_, should) in wrong.items())
