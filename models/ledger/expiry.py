"""Expiry: lots whose time has passed give up what is still available.

A wallet knows when it is next due, so verbs pay for expiry only then: lazily on the next touch, and by a sweep for
wallets that nobody touches. Credits held when their lot expires stay good for their job.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, literal, or_, select, true, update
from sqlalchemy.orm import Session

from models.database import AwareDateTime, now
from models.ledger.tables import Account, Lot, Reason, Wallet
from models.ledger.transfers import transfer
from models.ledger.wallets import locked


def expire(session: Session, *, wallet_id: int) -> int:
    """Expire what is due in a wallet and return how many credits that were. Locks the wallet; again changes nothing."""
    return expire_locked(session, locked(session, wallet_id))


def wallets_due(session: Session, *, limit: int, after: int = 0) -> Sequence[int]:
    """Ids above `after` of wallets where something expires, a page of up to `limit`. Where a reset is due as well,
    the reset sees to it."""
    reset = and_(Wallet.reset_at.is_not(None), Wallet.reset_at <= now())
    return session.scalars(
        select(Wallet.id).where(Wallet.due_at <= now(), ~reset, Wallet.id > after).order_by(Wallet.id).limit(limit)
    ).all()


def expire_locked(session: Session, wallet: Wallet) -> int:
    """`expire` for a wallet that the caller has locked."""
    if wallet.due_at is None or not session.scalar(select(Wallet.due_at <= now()).where(Wallet.id == wallet.id)):
        return 0
    return _write_off(session, wallet, Lot.expires_at <= now())


def forfeit(session: Session, *, wallet_id: int) -> int:
    """Expire whatever is available in a wallet, though its time has not come: its owner is gone. Returns how many
    credits that were. Locks the wallet; again changes nothing."""
    return _write_off(session, locked(session, wallet_id), true())


def _write_off(session: Session, wallet: Wallet, which: ColumnElement[bool]) -> int:
    """Expire the usable lots of a locked wallet that fit, and note what falls due next."""
    lots = session.execute(
        select(Lot.id, Lot.available, Lot.expired)
        .where(Lot.wallet_id == wallet.id, Lot.usable, which)
        .order_by(Lot.expires_at, Lot.id)
    ).all()
    for lot in lots:
        transfer(
            session,
            wallet,
            lot.id,
            lot.available,
            source=Account.available,
            target=Account.expired,
            reason=Reason.expire,
            # A lot can expire in parts, as held credits come back later: the part begins where the last one ended.
            ref=f"lot:{lot.id}:expire:{lot.expired}",
        )
    session.execute(update(Wallet).where(Wallet.id == wallet.id).values(due_at=_next_due(Wallet.__table__.c.reset_at)))
    return sum(lot.available for lot in lots)


def reset_next(session: Session, *, wallet_id: int, at: datetime | None) -> None:
    """Note when the next allowance comes into a wallet, or that none does. Locks the wallet."""
    locked(session, wallet_id)
    session.execute(
        update(Wallet)
        .where(Wallet.id == wallet_id)
        .values(reset_at=at, due_at=_next_due(literal(at, AwareDateTime)))
        .execution_options(synchronize_session=False)
    )


def _next_due(reset_at: ColumnElement[Any]) -> ColumnElement[Any]:
    """The earlier of the wallet's next expiry and `reset_at`, where either may be missing."""
    expiry = (
        select(func.min(Lot.expires_at))
        .where(Lot.wallet_id == Wallet.id, Lot.usable, Lot.expires_at.is_not(None))
        .correlate(Wallet)
        .scalar_subquery()
    )
    return case((or_(reset_at.is_(None), expiry < reset_at), expiry), else_=reset_at)


def lot_falls_due(session: Session, wallet: Wallet, lot_id: int) -> None:
    """Note when a lot that has just got credits expires, unless something of its wallet is due earlier."""
    expires_at = session.scalar(select(Lot.expires_at).where(Lot.id == lot_id))
    if expires_at is not None:
        session.execute(
            update(Wallet)
            .where(Wallet.id == wallet.id, or_(Wallet.due_at.is_(None), Wallet.due_at > expires_at))
            .values(due_at=expires_at)
            .execution_options(synchronize_session=False)
        )
