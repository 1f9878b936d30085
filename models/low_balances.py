"""Low balances: telling a user, once, that a wallet has fallen below what the catalog calls low.

Nobody who spends waits for this: now and then somebody walks the transfers made since the last time and looks at the
wallets they touched. Credits that running jobs hold still count, as they may come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, delete, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import emails, notices
from models.catalog import Catalog
from models.database import AwareDateTime, Base, BigId, insert_into, now
from models.ledger import Transfer, Wallet
from models.notices import Topic
from models.users import User

GRACE_SECONDS = 60
"""How old transfers must be to be walked over: one with a smaller id may be committed later, but not by so much, as no
transaction takes half as long."""

THE_WALK = 1


class LowBalance(Base):
    """A wallet that was seen to be low. It is forgotten as soon as the wallet is seen not to be."""

    __tablename__ = "low_balances"

    wallet_id: Mapped[int] = mapped_column(BigId, ForeignKey("wallets.id"), primary_key=True, autoincrement=False)
    seen_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


class LowBalanceWalk(Base):
    """How far the one walk through the transfers has come: `transfer_id` is the last that was looked at."""

    __tablename__ = "low_balance_walks"
    __table_args__ = (CheckConstraint("id = 1", name="only_one"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    transfer_id: Mapped[int] = mapped_column(BigId)


def tell(session: Session, catalog: Catalog, *, limit: int) -> tuple[int, bool]:
    """Walk over up to `limit` transfers and tell the owners of the wallets that have become low.

    A wallet that never had as much as the catalog calls low is not told; one that was told is told again only after it
    had as much again. Returns how many were told, and whether there is more to walk. Locks the walk, so that of two
    walkers one waits; no wallet is locked.
    """
    bookmark = _locked_bookmark(session)
    rows = session.execute(
        select(Transfer.id, Transfer.wallet_id, Transfer.balance_after, (Transfer.created_at > now(-GRACE_SECONDS)))
        .where(Transfer.id > bookmark)
        .order_by(Transfer.id)
        .limit(limit)
    ).all()
    walked = _up_to_the_first_that_is_too_young(rows)
    if not walked:
        return 0, False
    session.execute(update(LowBalanceWalk).values(transfer_id=walked[-1].id))
    last: dict[int, int] = {}
    most: dict[int, int] = {}
    for transfer in walked:
        last[transfer.wallet_id] = transfer.id
        most[transfer.wallet_id] = max(transfer.balance_after, most.get(transfer.wallet_id, 0))
    told = sum(
        _look_at(session, wallet, catalog, last_transfer=last[wallet.id], most=most[wallet.id])
        for wallet in _watched(session, catalog, list(last))
    )
    return told, len(walked) == limit


def _locked_bookmark(session: Session) -> int:
    first = insert_into(session, LowBalanceWalk).values(id=THE_WALK, transfer_id=0)
    session.execute(first.on_conflict_do_nothing(index_elements=[LowBalanceWalk.id]))
    return session.execute(select(LowBalanceWalk.transfer_id).with_for_update()).scalar_one()


def _up_to_the_first_that_is_too_young(rows: Sequence[Any]) -> Sequence[Any]:
    for position, (*_, too_young) in enumerate(rows):
        if too_young:
            return rows[:position]
    return rows


def _watched(session: Session, catalog: Catalog, wallet_ids: Sequence[int]) -> Sequence[Any]:
    """Those of the wallets for which low means anything, with what is known of them and of their owners."""
    kinds = [kind for kind, wallet in catalog.wallets.items() if wallet.low_balance]
    return session.execute(
        select(
            Wallet.id, Wallet.user_id, Wallet.kind, Wallet.available, (Wallet.available + Wallet.held).label("owned"),
            LowBalance.wallet_id.is_not(None).label("known"), emails.wants_notices().label("by_mail"),
        )
        .join(User, User.id == Wallet.user_id)
        .join(LowBalance, LowBalance.wallet_id == Wallet.id, isouter=True)
        .where(Wallet.id.in_(wallet_ids), Wallet.kind.in_(kinds), User.closing_at.is_(None), User.closed_at.is_(None))
        .order_by(Wallet.id)
    ).all()  # fmt: skip


def _look_at(session: Session, wallet: Any, catalog: Catalog, *, last_transfer: int, most: int) -> bool:
    """Tell of one wallet if it has become low, and say whether it was told."""
    threshold = catalog.wallets[wallet.kind].low_balance or 0
    if wallet.owned >= threshold:
        if wallet.known:
            session.execute(delete(LowBalance).where(LowBalance.wallet_id == wallet.id))
        return False
    if not wallet.known:
        session.execute(insert_into(session, LowBalance).values(wallet_id=wallet.id))
    # It was high before: in these very transfers, or, if it was not low when last looked at, some time ago.
    if most < threshold and (wallet.known or not _ever_had(session, wallet.id, threshold)):
        return False
    ref = f"low:{wallet.id}:{last_transfer}"
    details = {"wallet": wallet.kind, "amount": wallet.owned, "low_balance": threshold}
    new = notices.notice(session, user_id=wallet.user_id, topic=Topic.low_balance, ref=ref, **details)
    if new and wallet.by_mail:
        emails.stage(session, key=ref, template="low_balance", user_id=wallet.user_id, **details)
    return new


def _ever_had(session: Session, wallet_id: int, amount: int) -> bool:
    had = select(Transfer.id).where(Transfer.wallet_id == wallet_id, Transfer.balance_after >= amount)
    return session.scalar(select(had.exists())) is True
