"""Clawbacks: taking credits back when the money for them went back, debt for what was spent, and restoration."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.database import now
from models.errors import NotFound
from models.ledger.expiry import expire_locked, lot_falls_due
from models.ledger.tables import Account, Clawback, Lot, Reason, Transfer, Wallet
from models.ledger.transfers import LedgerError, check_amount, transfer
from models.ledger.wallets import locked


def clawback(
    session: Session, *, lot_id: int, amount: int, ref: str, details: dict[str, Any] | None = None
) -> Clawback:
    """Take `amount` credits back from a lot.

    What is available leaves the lot at once; what was spent, is held or paid the debt of another lot becomes debt of
    the wallet, which blocks new holds and is paid first by the next grants and by credits released to this lot; what
    had expired is let go.
    `ref` names the refund or dispute; the same one takes back once. Locks the wallet. Raises `LedgerError` when more
    is asked back than the lot was issued less what other clawbacks took, or when `ref` was used for something else.
    """
    check_amount(amount)
    wallet_id = session.scalar(select(Lot.wallet_id).where(Lot.id == lot_id))
    if wallet_id is None:
        raise NotFound("There is no such lot.")
    wallet = locked(session, wallet_id)
    earlier = session.scalar(select(Clawback).where(Clawback.ref == ref))
    if earlier is not None:
        if (earlier.lot_id, earlier.amount) != (lot_id, amount):
            raise LedgerError(f"{ref} took {earlier.amount} credits back from lot {earlier.lot_id} before")
        return earlier
    lot = session.execute(select(Lot.issued, Lot.available, Lot.expired).where(Lot.id == lot_id)).one()
    earlier_ones = select(func.sum(Clawback.amount), func.sum(Clawback.taken + Clawback.debt)).where(
        Clawback.lot_id == lot_id, Clawback.restored_at.is_(None)
    )
    asked, answered = (int(total or 0) for total in session.execute(earlier_ones).one())
    if amount > lot.issued - asked:
        raise LedgerError(f"lot {lot_id} was issued {lot.issued} credits, {asked} are taken back: not {amount} more")
    taken = min(amount, lot.available)
    # Gone is what was spent, is held or paid other debt; what earlier clawbacks answered for is not owed again.
    debt = min(amount - taken, max(lot.issued - lot.available - lot.expired - answered, 0))
    made = Clawback(wallet_id=wallet_id, lot_id=lot_id, ref=ref, amount=amount, taken=taken, debt=debt, paid=0)
    session.add(made)
    session.flush()
    if taken:
        transfer(
            session, wallet, lot_id, taken, source=Account.available, target=Account.clawed_back,
            reason=Reason.clawback, ref=f"{ref}:clawback:{lot_id}", clawback_id=made.id, details=details,
        )  # fmt: skip
    _change_debt(session, wallet, debt)
    return made


def restore(session: Session, *, ref: str) -> Clawback:
    """Undo a clawback exactly: every lot it took credits from gets the same number back, and unpaid debt is dropped.

    Restoring twice changes nothing. Credits whose lot has expired meanwhile expire at once. Locks the wallet. Raises
    `NotFound` when no clawback has this `ref`.
    """
    made = session.scalar(select(Clawback).where(Clawback.ref == ref))
    if made is None:
        raise NotFound("There is no such clawback.")
    wallet = locked(session, made.wallet_id)
    session.refresh(made)
    if made.restored_at is not None:
        return made
    session.execute(update(Clawback).where(Clawback.id == made.id).values(restored_at=now()))
    _change_debt(session, wallet, made.paid - made.debt)
    taken = session.scalars(
        select(Transfer)
        .where(Transfer.clawback_id == made.id, Transfer.reason == Reason.clawback)
        .order_by(Transfer.id)
    ).all()
    for row in taken:
        transfer(
            session, wallet, row.lot_id, row.amount, source=Account.clawed_back, target=Account.available,
            reason=Reason.restore, ref=f"{row.ref}:restore", clawback_id=made.id,
        )  # fmt: skip
        lot_falls_due(session, wallet, row.lot_id)
    expire_locked(session, locked(session, wallet.id))
    session.refresh(made)
    return made


def pay_debt(session: Session, wallet: Wallet, lot_id: int, *, because: str, only_of_this_lot: bool = False) -> None:
    """Pay open debt, oldest first, out of what a lot has just got.

    A grant pays any debt of the wallet; a release pays only what is owed on its own lot, whose credits were being
    taken back when the job held them. The caller holds the lock of `wallet`.
    """
    open_debts = select(Clawback).where(
        Clawback.wallet_id == wallet.id, Clawback.paid < Clawback.debt, Clawback.restored_at.is_(None)
    )
    if only_of_this_lot:
        open_debts = open_debts.where(Clawback.lot_id == lot_id)
    if locked(session, wallet.id).debt == 0:
        return
    for owed in session.scalars(open_debts.order_by(Clawback.id).execution_options(populate_existing=True)).all():
        left = session.execute(select(Lot.available).where(Lot.id == lot_id)).scalar_one()
        paid = min(left, owed.debt - owed.paid)
        if paid == 0:
            continue
        transfer(
            session, wallet, lot_id, paid, source=Account.available, target=Account.clawed_back,
            # Debt is paid in parts: each begins where the last one ended.
            reason=Reason.clawback, ref=f"{owed.ref}:debt:{owed.paid}", clawback_id=owed.id,
            details={"because": because},
        )  # fmt: skip
        session.execute(update(Clawback).where(Clawback.id == owed.id).values(paid=Clawback.paid + paid))
        _change_debt(session, wallet, -paid)


def _change_debt(session: Session, wallet: Wallet, change: int) -> None:
    if change:
        session.execute(update(Wallet).where(Wallet.id == wallet.id).values(debt=Wallet.debt + change))
