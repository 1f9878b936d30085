"""Notices: what a user should be told, once: credits that are about to expire, a balance that has become low.

Who wants it has an e-mail as well.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint, and_, delete, or_, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import emails, pages
from models.catalog import Catalog
from models.database import DAY_SECONDS, AwareDateTime, Base, BigId, Json, insert_into, new_id, now, words
from models.ledger import LASTING, Lot, Wallet
from models.users import User


class Topic(StrEnum):
    """What a notice is about."""

    credits_expiring = "credits_expiring"
    low_balance = "low_balance"


class Notice(Base):
    """Something to tell a user. `ref` names the fact, so it is told once."""

    __tablename__ = "notices"
    __table_args__ = (UniqueConstraint("ref"), Index("ix_notices_user_id_id", "user_id", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    topic: Mapped[Topic] = mapped_column(words(Topic, "topic"))
    ref: Mapped[str] = mapped_column(String(200))
    details: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


class Bookmark(NamedTuple):
    """How far a walk through the expiring lots has come."""

    expires_at: datetime
    lot_id: int


def notice(session: Session, *, user_id: UUID, topic: Topic, ref: str, **details: Any) -> bool:
    """Tell a user something, and say whether it is new: one `ref` is told once."""
    told = insert_into(session, Notice).values(user_id=user_id, topic=topic, ref=ref, details=details)
    new = told.on_conflict_do_nothing(index_elements=[Notice.ref]).returning(Notice.id)
    return session.scalar(new) is not None


def notice_expiring(
    session: Session, catalog: Catalog, *, limit: int, after: Bookmark | None = None, run: UUID | None = None
) -> tuple[int, Bookmark | None]:
    """Tell the owners of up to `limit` lots that credits expire within the days their kind of wallet says ahead.

    Lots of a day or a week come and go by design and are not told. Again tells nobody twice. Who is told anything gets
    one e-mail in a `run`, however many lots and pages it has; what it lists is looked up when it is written. Returns
    how many notices are new, and where to go on from, None at the end. Locks nothing.
    """
    soon = [
        and_(Wallet.kind == kind, Lot.expires_at <= now(wallet.notice_days * DAY_SECONDS))
        for kind, wallet in catalog.wallets.items()
    ]
    longest = max(wallet.notice_days for wallet in catalog.wallets.values())
    query = (
        select(Lot.id, Lot.available, Lot.expires_at, Wallet.user_id, Wallet.kind)
        .join(Wallet, Wallet.id == Lot.wallet_id)
        .where(text(LASTING), Lot.expires_at > now(), Lot.expires_at <= now(longest * DAY_SECONDS), or_(*soon))
        .order_by(Lot.expires_at, Lot.id)
        .limit(limit)
    )
    if after is not None:
        later_at_once = and_(Lot.expires_at == after.expires_at, Lot.id > after.lot_id)
        query = query.where(Lot.expires_at >= after.expires_at, or_(Lot.expires_at > after.expires_at, later_at_once))
    lots = session.execute(query).all()
    if not lots:
        return 0, None
    told = insert_into(session, Notice).values(
        [
            {
                "user_id": lot.user_id,
                "topic": Topic.credits_expiring,
                "ref": f"expiring:{lot.id}",
                "details": {
                    "wallet": lot.kind, "amount": lot.available, "expires_at": lot.expires_at.isoformat(),
                },
            }
            for lot in lots
        ]
    )  # fmt: skip
    new = session.scalars(told.on_conflict_do_nothing(index_elements=[Notice.ref]).returning(Notice.user_id)).all()
    run = run or new_id()
    for user_id in session.scalars(select(User.id).where(User.id.in_(set(new)), emails.wants_notices())):
        emails.stage(session, key=f"expiring:{user_id}:{run}", template="credits_expiring", user_id=user_id)
    return len(new), Bookmark(lots[-1].expires_at, lots[-1].id) if len(lots) == limit else None


def told(session: Session, *, user_id: UUID, limit: int, after: int | None = None) -> tuple[list[Notice], int | None]:
    """What the user was told, newest first, from just after `after`; with the id to go on from, None at the end."""
    return pages.newest(session, select(Notice), Notice.id, owner=(Notice.user_id, user_id), limit=limit, after=after)


def forget_old(session: Session, *, days: int, limit: int) -> int:
    """Delete those of the `limit` oldest notices that are at least so many days old, and return how many. Others skip
    the rows meanwhile."""
    first = (
        select(Notice.id, Notice.created_at)
        .order_by(Notice.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("first")
    )
    old = select(first.c.id).where(first.c.created_at < now(-days * DAY_SECONDS))
    gone = delete(Notice).where(Notice.id.in_(old)).returning(Notice.id)
    return len(session.scalars(gone.execution_options(synchronize_session=False)).all())


def forget_all(session: Session, *, user_id: UUID) -> None:
    """Delete all that a user was told."""
    session.execute(delete(Notice).where(Notice.user_id == user_id))
