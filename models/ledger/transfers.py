"""The one way credits move: `transfer` for credits of an existing lot, `issue` for a lot's birth."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from models.ledger.tables import MOST_CREDITS, Account, Lot, Reason, Source, Transfer, Wallet


class LedgerError(Exception):
    """The books would not balance: a fault in the calling code, never something a user did. Nothing was changed."""


def transfer(
    session: Session,
    wallet: Wallet,
    lot_id: int,
    amount: int,
    *,
    source: Account,
    target: Account,
    reason: Reason,
    ref: str,
    job_id: UUID | None = None,
    clawback_id: int | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Move `amount` > 0 credits of a lot from `source` to `target` and write it down under `ref`.

    The caller holds the lock of `wallet`. Raises `LedgerError` when `source` has less than `amount`.
    """
    left, added = Lot.__table__.c[source], Lot.__table__.c[target]
    moved = session.execute(
        update(Lot)
        .where(Lot.id == lot_id, Lot.wallet_id == wallet.id, left >= amount)
        .values({left: left - amount, added: added + amount})
        .execution_options(synchronize_session=False)
    )
    if moved.rowcount != 1:  # type: ignore[attr-defined]
        raise LedgerError(f"lot {lot_id} has less than {amount} {source}: cannot {reason} for {ref}")
    _record(session, wallet, lot_id, amount, source, target, reason, ref, job_id, clawback_id, details)


def issue(
    session: Session,
    wallet: Wallet,
    amount: int,
    *,
    source: Source,
    ref: str,
    expires_at: datetime | None,
    details: dict[str, Any] | None,
) -> int:
    """Make a lot of `amount` credits out of nothing, the only place where that happens, and return its id."""
    lot_id: int = session.execute(
        insert(Lot)
        .values(wallet_id=wallet.id, source=source, ref=ref, issued=amount, available=amount, expires_at=expires_at)
        .returning(Lot.id)
    ).scalar_one()
    _record(session, wallet, lot_id, amount, Account.issued, Account.available, Reason.grant, ref, None, None, details)
    return lot_id


def check_amount(amount: int, *, least: int = 1) -> None:
    """Raise `LedgerError` unless `amount` is an integer number of credits in range."""
    if isinstance(amount, bool) or not isinstance(amount, int) or not least <= amount <= MOST_CREDITS:
        raise LedgerError(f"{amount!r} is not an amount of credits between {least} and {MOST_CREDITS}")


def _record(
    session: Session,
    wallet: Wallet,
    lot_id: int,
    amount: int,
    source: Account,
    target: Account,
    reason: Reason,
    ref: str,
    job_id: UUID | None,
    clawback_id: int | None,
    details: dict[str, Any] | None,
) -> None:
    change = dict.fromkeys((Account.available, Account.held), 0)
    if source in change:
        change[source] -= amount
    if target in change:
        change[target] += amount
    row = session.execute(
        update(Wallet)
        .where(
            Wallet.id == wallet.id,
            Wallet.available >= -change[Account.available],
            Wallet.held >= -change[Account.held],
        )
        .values(
            available=Wallet.available + change[Account.available],
            held=Wallet.held + change[Account.held],
        )
        .returning(Wallet.available)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        raise LedgerError(f"wallet {wallet.id} has less than {amount} {source}: cannot {reason} for {ref}")
    session.execute(
        insert(Transfer).values(
            wallet_id=wallet.id,
            lot_id=lot_id,
            amount=amount,
            source=source,
            target=target,
            reason=reason,
            ref=ref,
            balance_after=row.available,
            job_id=job_id,
            clawback_id=clawback_id,
            details=details,
        )
    )
