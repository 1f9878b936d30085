"""Credits: what was granted and what became of it in a span, and what the house owes its users now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from models.database import now
from models.ledger import Lot, Reason, Source, Transfer, Wallet
from models.metrics.spans import Span


@dataclass(frozen=True, slots=True)
class Moved:
    """Transfers of one kind of wallet in a span, in credits.

    `granted` is by source. `spent` is what jobs and spends were charged, `released` what jobs held and gave back.
    `clawed_back` went with the money for it, or by adjustment; `restored` came back.
    """

    granted: Mapping[Source, int] = field(default_factory=dict)
    spent: int = 0
    released: int = 0
    expired: int = 0
    clawed_back: int = 0
    restored: int = 0


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What users have of one kind of wallet now, in credits: what they could still use up, so what the house owes.

    Of `available` and `held` together, `bought` were paid for one by one, bonuses not among them. Lots whose time is
    over count no more, swept or not. `debt` is what users owe the house.
    """

    available: int
    held: int
    bought: int
    debt: int


def moved(span: Span) -> dict[str, Moved]:
    rows = span.session.execute(
        select(Wallet.kind, Transfer.reason, Lot.source, func.sum(Transfer.amount))
        .join(Wallet, Wallet.id == Transfer.wallet_id)
        .join(Lot, Lot.id == Transfer.lot_id)
        .where(*span.moved)
        .group_by(Wallet.kind, Transfer.reason, Lot.source)
        .order_by(Wallet.kind, Lot.source)
    )
    granted: dict[str, dict[Source, int]] = {}
    sums: dict[tuple[str, Reason], int] = {}
    for kind, reason, source, amount in rows:
        sources = granted.setdefault(kind, {})
        if reason is Reason.grant:
            sources[source] = int(amount)
        sums[kind, reason] = sums.get((kind, reason), 0) + int(amount)
    return {
        kind: Moved(
            granted=sources,
            spent=sums.get((kind, Reason.settle), 0) + sums.get((kind, Reason.spend), 0),
            released=sums.get((kind, Reason.release), 0),
            expired=sums.get((kind, Reason.expire), 0),
            clawed_back=sums.get((kind, Reason.clawback), 0),
            restored=sums.get((kind, Reason.restore), 0),
        )
        for kind, sources in granted.items()
    }


def outstanding(session: Session) -> dict[str, Outstanding]:
    """By kind of wallet. Reads all wallets and all lots with credits left. Locks nothing."""
    is_bought = Lot.source == Source.purchase
    bought: dict[str, int] = {}
    available: dict[str, int] = {}
    usable = (
        select(Wallet.kind, func.sum(Lot.available), func.coalesce(func.sum(Lot.available).filter(is_bought), 0))
        .join(Lot, Lot.wallet_id == Wallet.id)
        .where(Lot.usable, or_(Lot.expires_at.is_(None), Lot.expires_at > now()))
        .group_by(Wallet.kind)
    )
    for kind, there, of_these in session.execute(usable):
        available[kind], bought[kind] = int(there), int(of_these)
    # Few wallets hold something at any moment; their lots are found by wallet.
    held = (
        select(Wallet.kind, func.sum(Lot.held))
        .join(Lot, Lot.wallet_id == Wallet.id)
        .where(Wallet.held > 0, is_bought)
        .group_by(Wallet.kind)
    )
    for kind, of_these in session.execute(held):
        bought[kind] = bought.get(kind, 0) + int(of_these)
    wallets = select(Wallet.kind, func.sum(Wallet.held), func.sum(Wallet.debt)).group_by(Wallet.kind)
    return {
        kind: Outstanding(available=available.get(kind, 0), held=int(holds), bought=bought.get(kind, 0), debt=int(debt))
        for kind, holds, debt in session.execute(wallets.order_by(Wallet.kind))
    }
