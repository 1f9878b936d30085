"""Wallets: opening them, locking them, and what is in them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import and_, false, func, or_, select
from sqlalchemy.orm import Session

from models.database import insert_into, now
from models.errors import NotFound
from models.ledger.tables import Lot, Wallet


@dataclass(frozen=True, slots=True)
class Balance:
    """What a wallet can do now, in credits: `available` to use, `held` by running jobs, `debt` to be paid first.

    `resets` says that an allowance is due which nobody has granted yet.
    """

    available: int
    held: int
    debt: int
    resets: bool = False

    @property
    def usable(self) -> int:
        """How many credits could be held now: none while there is debt."""
        return 0 if self.debt else self.available


def open_wallet(session: Session, *, user_id: UUID, kind: str) -> int:
    """Return the id of the user's wallet of this kind, opening it on first use. Does not wait for one that is there."""
    ours = select(Wallet.id).where(Wallet.user_id == user_id, Wallet.kind == kind)
    found = session.scalar(ours)
    if found is not None:
        return found
    statement = insert_into(session, Wallet).values(user_id=user_id, kind=kind, available=0, held=0, debt=0)
    session.execute(statement.on_conflict_do_nothing(index_elements=[Wallet.user_id, Wallet.kind]))
    return session.scalars(ours).one()


def wallet_ids(session: Session, *, user_id: UUID) -> dict[str, int]:
    """The user's wallets by kind. Locks nothing."""
    rows = session.execute(select(Wallet.kind, Wallet.id).where(Wallet.user_id == user_id).order_by(Wallet.id))
    return {row.kind: row.id for row in rows}


def lock_wallets(session: Session, *, user_id: UUID, also: Collection[int] = ()) -> dict[int, str]:
    """Lock all of a user's wallets and these of others, in the order of their ids, and return their kinds by id.

    For whoever will change several of them, or finds out on the way which.
    """
    rows = session.execute(
        select(Wallet.id, Wallet.kind)
        .where(or_(Wallet.user_id == user_id, Wallet.id.in_(also)) if also else Wallet.user_id == user_id)
        .order_by(Wallet.id)
        .with_for_update(key_share=True)
    )
    return {row.id: row.kind for row in rows}


def wallets_to_reset(session: Session, *, user_id: UUID) -> Sequence[int]:
    """The user's wallets into which an allowance is due. Locks nothing."""
    return session.scalars(
        select(Wallet.id).where(Wallet.user_id == user_id, Wallet.reset_at <= now()).order_by(Wallet.id)
    ).all()


def granted_under(session: Session, *, wallet_id: int, ref: str) -> int:
    """How many credits were granted to a wallet under a ref and the refs that begin with it and a colon."""
    lots = select(func.coalesce(func.sum(Lot.issued), 0)).where(
        Lot.wallet_id == wallet_id, or_(Lot.ref == ref, Lot.ref.startswith(f"{ref}:", autoescape=True))
    )
    return int(session.execute(lots).scalar_one())


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
    resets = func.coalesce(Wallet.reset_at <= now(), false())
    rows = session.execute(
        select(Wallet.kind, Wallet.available - late, Wallet.held, Wallet.debt, resets)
        .where(Wallet.user_id == user_id)
        .order_by(Wallet.kind)
    )
    return {kind: Balance(int(available), held, debt, bool(resets)) for kind, available, held, debt, resets in rows}
