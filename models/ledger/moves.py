"""The everyday verbs: grant, hold, settle, release, spend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.errors import InsufficientCredits
from models.ledger.clawbacks import pay_debt
from models.ledger.expiry import expire_locked, lot_falls_due
from models.ledger.tables import Account, Lot, Reason, Source, Transfer, Wallet
from models.ledger.transfers import LedgerError, check_amount, issue, transfer
from models.ledger.wallets import locked

BURN_ORDER = (Lot.source == Source.purchase, Lot.expires_at.is_(None), Lot.expires_at, Lot.id)
"""Bought credits last; before that the soonest to expire first, then the oldest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a hold, in credits: `charged` went to the house, `released` went back."""

    charged: int
    released: int


def grant(
    session: Session,
    *,
    wallet_id: int,
    amount: int,
    source: Source,
    ref: str,
    expires_at: datetime | None = None,
    details: dict[str, Any] | None = None,
) -> int:
    """Give `amount` credits as a new lot and return its id.

    `ref` names the business fact (`signup:<user>`, `checkout:cs_…`): the same fact is granted once however often it
    is told. Open debt is paid out of the lot first. Locks the wallet. Raises `LedgerError` when `ref` was used for
    another wallet or amount.
    """
    check_amount(amount)
    wallet = locked(session, wallet_id)
    earlier = session.execute(select(Lot.id, Lot.wallet_id, Lot.issued).where(Lot.ref == ref)).one_or_none()
    if earlier is not None:
        if (earlier.wallet_id, earlier.issued) != (wallet_id, amount):
            raise LedgerError(f"{ref} was granted before, as {earlier.issued} credits to wallet {earlier.wallet_id}")
        return int(earlier.id)
    lot_id = issue(session, wallet, amount, source=source, ref=ref, expires_at=expires_at, details=details)
    lot_falls_due(session, wallet, lot_id)
    pay_debt(session, wallet, lot_id, because=ref)
    return lot_id


def hold(session: Session, *, wallet_id: int, amount: int, job_id: UUID) -> None:
    """Reserve `amount` credits for a job, soonest-expiring lots first, bought ones last.

    A job has one hold; asking again changes nothing. Locks the wallet, then the lots it burns. Raises
    `InsufficientCredits` when the wallet has less, or has debt, and then moves nothing.
    """
    check_amount(amount, least=0)
    wallet = locked(session, wallet_id)
    if amount == 0 or _transfers_of(session, job_id):
        return
    _burn(
        session, wallet, amount, target=Account.held, reason=Reason.hold, ref=lambda lot: f"job:{job_id}:hold:{lot}",
        job_id=job_id,
    )  # fmt: skip


def spend(session: Session, *, wallet_id: int, amount: int, ref: str, details: dict[str, Any] | None = None) -> None:
    """Charge `amount` credits for something that is no job.

    `ref` names the business fact; the same one is charged once. Locks and raises as `hold` does, and raises
    `LedgerError` when `ref` was used for another wallet or amount.
    """
    check_amount(amount)
    wallet = locked(session, wallet_id)
    earlier = _spent_under(session, ref)
    if earlier:
        if {row.wallet_id for row in earlier} != {wallet_id} or sum(row.amount for row in earlier) != amount:
            raise LedgerError(f"{ref} was spent before, for another amount or wallet")
        return
    _burn(
        session, wallet, amount, target=Account.spent, reason=Reason.spend, ref=_numbered(f"spend:{ref}"),
        details=details,
    )  # fmt: skip


def settle(session: Session, *, job_id: UUID, amount: int) -> Outcome:
    """Charge `amount` of what a job holds and release the rest to the lots it came from.

    Never more than was held. A hold has one outcome: settling again with the same amount returns the first, with
    another raises `LedgerError`. Locks the wallet, then the lots. Released credits pay debt of their own lot, and
    expire at once where their lot's time has passed.
    """
    check_amount(amount, least=0)
    holds = [row for row in _transfers_of(session, job_id) if row.reason is Reason.hold]
    if not holds:
        if amount:
            raise LedgerError(f"job {job_id} holds nothing, so {amount} credits cannot be settled")
        return Outcome(charged=0, released=0)
    wallet = locked(session, holds[0].wallet_id)
    held = sum(row.amount for row in holds)
    earlier = _outcome(session, job_id)
    if earlier is not None:
        if earlier.charged != amount:
            raise LedgerError(f"job {job_id} was settled for {earlier.charged} before, not for {amount}")
        return earlier
    if amount > held:
        raise LedgerError(f"job {job_id} holds {held} credits, so {amount} cannot be settled")
    to_charge = amount
    for row in holds:
        charged = min(row.amount, to_charge)
        to_charge -= charged
        _resolve(session, wallet, row, charged, Account.spent, Reason.settle)
        _resolve(session, wallet, row, row.amount - charged, Account.available, Reason.release)
    if amount < held:
        for row in holds:
            pay_debt(session, wallet, row.lot_id, because=f"job:{job_id}", only_of_this_lot=True)
            lot_falls_due(session, wallet, row.lot_id)
        expire_locked(session, locked(session, wallet.id))
    return Outcome(charged=amount, released=held - amount)


def release(session: Session, *, job_id: UUID) -> Outcome:
    """Give back all that a job holds: `settle` for nothing."""
    return settle(session, job_id=job_id, amount=0)


def _burn(
    session: Session,
    wallet: Wallet,
    amount: int,
    *,
    target: Account,
    reason: Reason,
    ref: Callable[[int], str],
    job_id: UUID | None = None,
    details: dict[str, Any] | None = None,
) -> None:
    """Take `amount` available credits out of the wallet's lots in burn order."""
    expire_locked(session, wallet)
    wallet = locked(session, wallet.id)
    if wallet.available < amount or wallet.debt > 0:
        usable = 0 if wallet.debt else wallet.available
        raise InsufficientCredits(
            f"This needs {amount} credits of {wallet.kind}; {usable} can be used.",
            wallet=wallet.kind,
            required=amount,
            available=wallet.available,
            debt=wallet.debt,
            shortfall=max(amount - wallet.available, 0) + wallet.debt,
        )
    lots = session.execute(
        select(Lot.id, Lot.available).where(Lot.wallet_id == wallet.id, Lot.usable).order_by(*BURN_ORDER)
    ).all()
    left = amount
    for lot in lots:
        taken = min(lot.available, left)
        transfer(
            session, wallet, lot.id, taken, source=Account.available, target=target, reason=reason, ref=ref(lot.id),
            job_id=job_id, details=details,
        )  # fmt: skip
        left -= taken
        if not left:
            return
    raise LedgerError(f"the lots of wallet {wallet.id} hold {left} credits less than the wallet says")


def _numbered(ref: str) -> Callable[[int], str]:
    """Refs that count up from `ref:0`, so that those of a spend can be looked up one by one in their index."""
    numbers = count()
    return lambda _lot_id: f"{ref}:{next(numbers)}"


def _spent_under(session: Session, ref: str) -> list[Transfer]:
    found: list[Transfer] = []
    while row := session.scalar(select(Transfer).where(Transfer.ref == f"spend:{ref}:{len(found)}")):
        found.append(row)
    return found


def _transfers_of(session: Session, job_id: UUID) -> list[Transfer]:
    return list(session.scalars(select(Transfer).where(Transfer.job_id == job_id).order_by(Transfer.id)))


def _outcome(session: Session, job_id: UUID) -> Outcome | None:
    rows = [row for row in _transfers_of(session, job_id) if row.reason in (Reason.settle, Reason.release)]
    if not rows:
        return None
    charged = sum(row.amount for row in rows if row.reason is Reason.settle)
    return Outcome(charged=charged, released=sum(row.amount for row in rows) - charged)


def _resolve(session: Session, wallet: Wallet, hold: Transfer, amount: int, target: Account, reason: Reason) -> None:
    if amount:
        transfer(
            session, wallet, hold.lot_id, amount, source=Account.held, target=target, reason=reason,
            ref=f"job:{hold.job_id}:{reason}:{hold.lot_id}", job_id=hold.job_id,
        )  # fmt: skip
