"""Statistics: what became of the credits of each wallet over its life, and which of them expire soon. Reading only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, false, func, or_, select
from sqlalchemy.orm import Session

from models.database import DAY_SECONDS, now
from models.ledger.express import constant
from models.ledger.tables import Account, Lot, Reason, Source, Transfer, Wallet


@dataclass(frozen=True, slots=True)
class Usage:
    """All credits a wallet ever had, in credits: those that were `bought` or `granted`, and where they went.

    `refunded` is what jobs held and gave back; it was never spent, so it is no part of `spent`. Lots past their expiry
    count as expired, swept or not, as they do for the balance.
    """

    bought: int = 0
    granted: int = 0
    spent: int = 0
    refunded: int = 0
    expired: int = 0
    clawed_back: int = 0


@dataclass(frozen=True, slots=True)
class Expiring:
    """What is left of a lot whose end is near."""

    amount: int
    expires_at: datetime
    source: Source


@dataclass(frozen=True, slots=True)
class Overview:
    """What there is to know about a wallet beside its balance; `resets_at` is when its next allowance comes."""

    usage: Usage = Usage()
    expiring: tuple[Expiring, ...] = ()
    resets_at: datetime | None = None


def overviews(session: Session, *, user_id: UUID, notice_days: Mapping[str, int]) -> dict[str, Overview]:
    """The user's wallets by kind: usage, the next reset, and the lots that expire within `notice_days`, soonest first.

    `notice_days` is by kind; of a kind that it lacks no lots are told. Locks nothing.
    """
    usages = dict(_usages(session, user_id))
    near = expiring(session, user_id=user_id, notice_days=notice_days)
    rows = session.execute(select(Wallet.kind, Wallet.reset_at).where(Wallet.user_id == user_id).order_by(Wallet.kind))
    return {kind: Overview(usages.get(kind, Usage()), tuple(near.get(kind, ())), resets_at) for kind, resets_at in rows}


def expiring(session: Session, *, user_id: UUID, notice_days: Mapping[str, int]) -> dict[str, list[Expiring]]:
    """The user's lots that expire within `notice_days`, by kind of wallet, soonest first. Locks nothing."""
    near: list[Any] = [
        and_(Wallet.kind == kind, Lot.expires_at <= now(days * DAY_SECONDS)) for kind, days in notice_days.items()
    ]
    rows: Iterable[Any] = session.execute(
        select(Wallet.kind, Lot.available, Lot.expires_at, Lot.source)
        .join(Lot, Lot.wallet_id == Wallet.id)
        .where(Wallet.user_id == user_id, Lot.usable, Lot.expires_at > now(), or_(false(), *near))
        .order_by(Lot.expires_at, Lot.id)
    )
    found: dict[str, list[Expiring]] = {}
    for kind, amount, expires_at, source in rows:
        found.setdefault(kind, []).append(Expiring(amount, expires_at, source))
    return found


def totals(session: Session) -> list[tuple[str, Account, int]]:
    """Where all credits of each kind of wallet are, in credits. It adds up every lot there is. Locks nothing."""
    accounts = tuple(Account)
    sums = (func.coalesce(func.sum(getattr(Lot, account)), 0) for account in accounts)
    rows = session.execute(select(Wallet.kind, *sums).join(Lot, Lot.wallet_id == Wallet.id).group_by(Wallet.kind))
    return [(kind, account, int(sum_)) for kind, *found in rows for account, sum_ in zip(accounts, found, strict=True)]


def _usages(session: Session, user_id: UUID) -> Iterator[tuple[str, Usage]]:
    bought, overdue = Lot.source == Source.purchase, and_(Lot.usable, Lot.expires_at <= now())
    # The reason is written into the statement: a parameter would hide from SQLite that the index of releases will do.
    refunded = (
        select(func.coalesce(func.sum(Transfer.amount), 0))
        .where(Transfer.wallet_id == Wallet.id, Transfer.reason == constant(Reason.release))
        .correlate(Wallet)
        .scalar_subquery()
    )
    rows = session.execute(
        select(
            Wallet.kind,
            func.coalesce(func.sum(Lot.issued).filter(bought), 0),
            func.coalesce(func.sum(Lot.issued).filter(~bought), 0),
            func.coalesce(func.sum(Lot.spent), 0),
            refunded,
            func.coalesce(func.sum(Lot.expired), 0) + func.coalesce(func.sum(Lot.available).filter(overdue), 0),
            func.coalesce(func.sum(Lot.clawed_back), 0),
        )
        .join(Lot, Lot.wallet_id == Wallet.id)
        .where(Wallet.user_id == user_id)
        .group_by(Wallet.id, Wallet.kind)
    )
    for kind, *sums in rows:
        yield kind, Usage(*(int(total) for total in sums))
