"""Rates: how often one user does one thing, counted in the database so that it holds across all processes."""

from __future__ import annotations

from datetime import datetime
from math import ceil
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, String, and_, case, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.catalog import Rate
from models.database import AwareDateTime, Base, insert_into, moment, now
from models.errors import FairUseExceeded, TooManyRequests


class RateWindow(Base):
    """How often a user did something since `started_at`; the first use after a window has ended starts a new one."""

    __tablename__ = "rate_windows"
    __table_args__ = (CheckConstraint("used > 0", name="used_positive"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(AwareDateTime)
    used: Mapped[int]


def count(session: Session, *, user_id: UUID, name: str, rate: Rate, fair_use: bool = False) -> None:
    """Count one use of `name` by a user.

    Counted with the caller's transaction: what is rolled back was no use. Locks the window until that ends, so uses
    of one user queue up. Raises `TooManyRequests`, or `FairUseExceeded`, once the rate is used up.
    """
    # A window that is to begin after another one would be over is from a clock that was set back. One that begins a
    # little later than now is not: who waited here for another use began before it.
    over = or_(RateWindow.started_at <= now(-rate.seconds), RateWindow.started_at > now(rate.seconds))
    statement = insert_into(session, RateWindow).values(user_id=user_id, name=name, started_at=now(), used=1)
    counted = session.scalar(
        statement.on_conflict_do_update(
            index_elements=[RateWindow.user_id, RateWindow.name],
            set_={
                "used": case((over, 1), else_=RateWindow.used + 1),
                "started_at": case((over, now()), else_=RateWindow.started_at),
            },
            where=over | (RateWindow.used < rate.uses),
        ).returning(RateWindow.used)
    )
    if counted is not None:
        return
    began = session.execute(
        select(RateWindow.started_at).where(and_(RateWindow.user_id == user_id, RateWindow.name == name))
    ).scalar_one()
    wait = max(ceil(rate.seconds - (moment(session) - began).total_seconds()), 1)
    raise (FairUseExceeded if fair_use else TooManyRequests)(
        f"At most {rate.uses} per {rate.per}; try again in {wait} seconds.",
        limit=rate.uses, per_seconds=rate.seconds, retry_after=wait,
    )  # fmt: skip
