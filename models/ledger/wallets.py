"""Wallets: opening them, locking them, and what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, func, select
from sqlalchemy.orm import Session

from models.database import insert_into, now
from models.errors import NotFound
from models.ledger.tables import Lot, Wallet


@dataclass(frozen=True, slots=True)
class Balance:
    """What a wallet can do now, in credits: `available` to use, `held` by running jobs, `debt` to be paid first."""

    available: int
    held: int
    debt: int


def open_wallet(session: Session, *, user_id: UUID, kind: str) -> int:
    """Return the id of the user's wallet of this kind, opening it on first use."""
    statement = insert_into(session, Wallet).values(user_id=user_id, kind=kind, available=0, held=0, debt=0)
    session.execute(statement.on_conflict_do_nothing(index_elements=[Wallet.user_id, Wallet.kind]))
    return session.scalars(select(Wallet.id).where(Wallet.user_id == user_id, Wallet.kind == kind)).one()


def locked(session: Session, wallet_id: int) -> Wallet:
    """The wallet as it is now, locked until the transaction ends. Raises `NotFound`."""
    wallet = session.scalar(
        select(Wallet)
        .where(Wallet.id == wallet_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if wallet is None:
        raise NotFound("There is no such wallet.")
    return wallet


def balances(session: Session, *, user_id: UUID) -> dict[str, Balance]:
    """What the user has, by kind of wallet. Lots past their expiry no longer count, swept or not. Locks nothing."""
    overdue = and_(Lot.wallet_id == Wallet.id, Lot.usable, Lot.expires_at <= now())
    late = select(func.coalesce(func.sum(Lot.available), 0)).where(overdue).correlate(Wallet).scalar_subquery()
    rows = session.execute(
        select(Wallet.kind, Wallet.available - late, Wallet.held, Wallet.debt)
        .where(Wallet.user_id == user_id)
        .order_by(Wallet.kind)
    )
    return {kind: Balance(available=int(available), held=held, debt=debt) for kind, available, held, debt in rows}


def usable(session: Session, *, user_id: UUID, kind: str) -> int:
    """How many credits of one kind the user could hold now: none while there is debt. Locks nothing."""
    balance = balances(session, user_id=user_id).get(kind)
    return 0 if balance is None or balance.debt else balance.available
