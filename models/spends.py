"""Spends: charges for what the product does itself, with no job: a minute of chat, a tip, a level skipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, cast, func, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import ledger, pages, plans, rates, retention, users
from models.catalog import Catalog
from models.database import AwareDateTime, Base, BigId, Json, insert_into, new_id, now
from models.errors import IdempotencyKeyReused
from models.ledger import Reason, Transfer
from models.quotes import Quote, must_not_run

RATE_NAME = "spends"


class Spend(Base):
    """One charge, with its price as it was sold. `charged` is in credits of `wallet`, whose `available` was
    `balance_after` once it was made."""

    __tablename__ = "spends"
    __table_args__ = (
        UniqueConstraint("user_id", "idempotency_key"),
        CheckConstraint("charged >= 0", name="charged_not_negative"),
        Index("ix_spends_user_id_id", "user_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    action: Mapped[str] = mapped_column(String(50))
    wallet: Mapped[str] = mapped_column(String(50))
    input: Mapped[dict[str, Any]] = mapped_column(Json)
    breakdown: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    charged: Mapped[int] = mapped_column(BigId)
    balance_after: Mapped[int] = mapped_column(BigId)
    idempotency_key: Mapped[str | None] = mapped_column(String(255))
    request_digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


@dataclass(frozen=True, slots=True)
class Receipt:
    """A spend that was made, now or by an earlier request with the same idempotency key (`replayed`)."""

    spend: Spend
    replayed: bool


def spend(
    session: Session, catalog: Catalog, asked: Quote, *, user_id: UUID, idempotency_key: str | None = None
) -> Receipt:
    """Charge a quote. All of it, or nothing.

    The same idempotency key with the same request returns the first spend. Locks the user's rate of spends, then the
    wallet, then its lots. Raises `InvalidInput` when the action runs a job, `IdempotencyKeyReused` when the request
    differs, `TooManyRequests`, `FairUseExceeded`, `InsufficientCredits`, or `NotFound` when the account is gone.
    """
    must_not_run(asked)
    users.lock(session, user_id)
    made = session.scalar(
        insert_into(session, Spend)
        .values(
            id=new_id(),
            user_id=user_id,
            action=asked.action,
            wallet=asked.wallet,
            input=asked.given,
            breakdown=asked.breakdown,
            charged=asked.price,
            balance_after=0,
            idempotency_key=idempotency_key,
            request_digest=asked.digest(),
        )
        .on_conflict_do_nothing(index_elements=[Spend.user_id, Spend.idempotency_key])
        .returning(Spend)
    )
    if made is None:
        return Receipt(_made_before(session, asked, user_id, idempotency_key), replayed=True)
    rates.count(session, user_id=user_id, name=RATE_NAME, rate=catalog.limits.spends)
    if asked.fair_use:
        free = asked.fair_use
        rates.count(session, user_id=user_id, name=free.name, rate=free.rate, fair_use=True)
    plans.grant_due(session, user_id=user_id)
    wallet_id = ledger.open_wallet(session, user_id=user_id, kind=asked.wallet)
    if asked.price:
        ledger.spend(
            session,
            wallet_id=wallet_id,
            amount=asked.price,
            ref=str(made.id),
            details={"title": catalog.action(asked.action).title, "action": asked.action, **_reference(asked)},
        )
    made.balance_after = ledger.balances(session, user_id=user_id)[asked.wallet].available
    session.flush()
    return Receipt(made, replayed=False)


def page(session: Session, *, user_id: UUID, limit: int, after: UUID | None = None) -> tuple[list[Spend], UUID | None]:
    """The user's spends, newest first, from just after `after`; with the id to go on from, None at the end."""
    return pages.newest(session, select(Spend), Spend.id, owner=(Spend.user_id, user_id), limit=limit, after=after)


def erase(session: Session, *, user_id: UUID) -> None:
    """Forget what a user's spends were for, beyond the action; amounts and times stay."""
    session.execute(
        update(Spend)
        .where(Spend.user_id == user_id)
        .values(input={}, idempotency_key=None, request_digest="")
        .execution_options(synchronize_session=False)
    )


def forget_old(session: Session, *, days: int, limit: int) -> int:
    """Forget as `erase` does what up to `limit` spends were for that were made at least so many days ago, the oldest
    first, and return how many were looked at. Locks the walk's mark, then the spends."""
    spend_ids = retention.walk(session, Spend.id, name="spends", days=days, limit=limit)
    session.execute(
        update(Spend)
        .where(Spend.id.in_(spend_ids))
        .values(input={}, idempotency_key=None, request_digest="")
        .execution_options(synchronize_session=False)
    )
    return len(spend_ids)


def findings(session: Session) -> Iterator[str]:
    """Every spend whose transfers do not add up to what it says. Run it in a transaction with one snapshot."""
    # The ref of a transfer has the id as people write it, SQLite keeps it without the dashes.
    named = func.replace(func.substr(Transfer.ref, len("spend:") + 1, 36), "-", "")
    sums = (
        select(named.label("spend"), func.sum(Transfer.amount).label("moved"))
        .where(Transfer.reason == Reason.spend)
        .group_by(named)
        .subquery()
    )
    for row in session.execute(
        select(Spend.id, Spend.charged, sums.c.moved)
        .outerjoin(sums, sums.c.spend == func.replace(cast(Spend.id, String), "-", ""))
        .where(Spend.charged != func.coalesce(sums.c.moved, 0))
    ):
        yield f"spend {row.id} says {row.charged} were charged; its transfers say {row.moved or 0}"


def _reference(asked: Quote) -> dict[str, Any]:
    return {"reference": asked.given["reference"]} if asked.given.get("reference") else {}


def _made_before(session: Session, asked: Quote, user_id: UUID, idempotency_key: str | None) -> Spend:
    earlier = session.execute(
        select(Spend).where(Spend.user_id == user_id, Spend.idempotency_key == idempotency_key)
    ).scalar_one()
    if earlier.request_digest != asked.digest():
        raise IdempotencyKeyReused("Idempotency-Key: this key came with another request before; use a new one.")
    return earlier
