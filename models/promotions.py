"""Promotional codes: redeemed once by each user, within their window, up to their cap."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import ledger, pages, plans, rates, users
from models.catalog import Catalog, Promotion, Rate
from models.database import AwareDateTime, Base, BigId, Json, days_ahead, insert_into, moment, now
from models.errors import CodeNotGood
from models.ledger import Source
from models.plans import Origin, months_after

GUESSES = Rate(uses=10, per="minute")
"""How often one user may try a code: with a handful of letters, more would find one by trying."""

RATE_NAME = "redemptions"


class PromotionUse(Base):
    """How many users have redeemed a code."""

    __tablename__ = "promotion_uses"
    __table_args__ = (CheckConstraint("redeemed >= 0", name="redeemed_not_negative"),)

    code: Mapped[str] = mapped_column(String(40), primary_key=True)
    redeemed: Mapped[int]


class Redemption(Base):
    """One code, redeemed by one user. `given` is what it gave: credits by wallet and when they expire, a plan and when
    it ends, each in the words of that day."""

    __tablename__ = "redemptions"
    __table_args__ = (UniqueConstraint("user_id", "code"), Index("ix_redemptions_user_id_id", "user_id", "id"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    code: Mapped[str] = mapped_column(String(40))
    given: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


def count_guess(session: Session, *, user_id: UUID) -> None:
    """Count one try at a code; in a transaction of its own, so that a wrong one counts too.

    Locks the user's window of tries. Raises `TooManyRequests`, or `NotFound` when the account is gone.
    """
    users.get(session, user_id)
    rates.count(session, user_id=user_id, name=RATE_NAME, rate=GUESSES)


def redeem(session: Session, catalog: Catalog, *, user_id: UUID, code: str) -> Redemption:
    """Give a user what a code is good for, in capitals or not. All of it, or nothing.

    A plan is only given to who has no better one. Locks the user, then the count of the code's uses, then the user's
    wallets in the order of their ids; so however many come at once, no more than the cap get it. Raises `CodeNotGood`,
    whose member `why` is unknown, already_redeemed, not_yet, over, used_up or has_better_plan.
    """
    code = code.strip().upper()
    promotion = catalog.promotions.get(code)
    if promotion is None:
        raise CodeNotGood("There is no such code.", why="unknown")
    users.lock(session, user_id)
    earlier = select(Redemption.id).where(Redemption.user_id == user_id, Redemption.code == code)
    if session.scalar(earlier) is not None:
        raise CodeNotGood("You have redeemed this code before.", why="already_redeemed")
    today = moment(session)
    _check_window(promotion, today)
    _check_plan(session, catalog, promotion, user_id, today)
    _count_use(session, code, promotion.cap)
    given = _give(session, catalog, promotion, user_id, code)
    return session.execute(
        insert_into(session, Redemption).values(user_id=user_id, code=code, given=given).returning(Redemption)
    ).scalar_one()


def redeemed(
    session: Session, *, user_id: UUID, limit: int, after: int | None = None
) -> tuple[list[Redemption], int | None]:
    """What the user has redeemed, newest first, from just after `after`; with the id to go on from, None at the end."""
    return pages.newest(
        session, select(Redemption), Redemption.id, owner=(Redemption.user_id, user_id), limit=limit, after=after
    )


def uses(session: Session, codes: Collection[str]) -> dict[str, int]:
    """How many users have redeemed each of these codes. Locks nothing."""
    counted = session.execute(select(PromotionUse.code, PromotionUse.redeemed).where(PromotionUse.code.in_(codes)))
    found = {row.code: row.redeemed for row in counted}
    return {code: found.get(code, 0) for code in codes}


def _check_window(promotion: Promotion, today: datetime) -> None:
    if promotion.open_at(today):
        return
    if promotion.starts_at and today < promotion.starts_at:
        raise CodeNotGood("This code cannot be redeemed yet.", why="not_yet")
    raise CodeNotGood("The time of this code is over.", why="over")


def _check_plan(session: Session, catalog: Catalog, promotion: Promotion, user_id: UUID, today: datetime) -> None:
    """Refuse to take away a plan of a higher rank, or the same plan when it lasts as long anyway."""
    held = plans.entitlements(session, user_id=user_id).held
    if held is None or promotion.plan is None or promotion.months is None:
        return
    lasts = held.ends_at is None or held.ends_at >= months_after(today, promotion.months)
    if held.terms.rank > catalog.plans[promotion.plan].rank or (held.plan == promotion.plan and lasts):
        raise CodeNotGood(
            f"Your plan {held.terms.title} is better than what this code gives.", why="has_better_plan", plan=held.plan
        )


def _count_use(session: Session, code: str, cap: int | None) -> None:
    counted = session.scalar(
        insert_into(session, PromotionUse)
        .values(code=code, redeemed=1)
        .on_conflict_do_update(
            index_elements=[PromotionUse.code],
            set_={"redeemed": PromotionUse.redeemed + 1},
            where=None if cap is None else PromotionUse.redeemed < cap,
        )
        .returning(PromotionUse.redeemed)
    )
    if counted is None:
        raise CodeNotGood("This code has been used as often as it could be.", why="used_up")


def _give(session: Session, catalog: Catalog, promotion: Promotion, user_id: UUID, code: str) -> dict[str, Any]:
    """Give what a promotion gives and say what that was."""
    given: dict[str, Any] = {"title": promotion.title, "credits": dict(promotion.credits)}
    wallets = {ledger.open_wallet(session, user_id=user_id, kind=kind): kind for kind in sorted(promotion.credits)}
    if promotion.plan:
        # Before the credits: it locks all wallets of the user in their order, and they only some.
        plans.subscribe(
            session, user_id=user_id, plan=promotion.plan, origin=Origin.promo, ref=f"promo:{code}:{user_id}",
            months=promotion.months,
        )  # fmt: skip
        held = plans.entitlements(session, user_id=user_id).held
        given["plan"] = promotion.plan
        given["plan_title"] = catalog.plans[promotion.plan].title
        given["plan_ends_at"] = _text(held.ends_at) if held else None
    expires_at = days_ahead(session, promotion.expires_days)
    for wallet_id in sorted(wallets):
        kind = wallets[wallet_id]
        ledger.grant(
            session,
            wallet_id=wallet_id,
            amount=promotion.credits[kind],
            source=Source.promo,
            ref=f"promo:{code}:{user_id}:{kind}",
            expires_at=expires_at,
            details={"title": promotion.title, "code": code},
        )
    if promotion.credits:
        given["expires_at"] = _text(expires_at)
    return given


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
