"""Rates: how often one user does one thing, counted in the database so that it holds across all processes."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, String, delete
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import windows
from models.catalog import Rate
from models.database import AwareDateTime, Base
from models.errors import FairUseExceeded, TooManyRequests


class RateWindow(Base):
    """How often a user did something since `started_at` (see `models/windows.py`)."""

    __tablename__ = "rate_windows"
    __table_args__ = (CheckConstraint("used > 0", name="used_positive"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(AwareDateTime)
    used: Mapped[int]


def forget_all(session: Session, *, user_id: UUID) -> None:
    """Delete all counts of a user."""
    session.execute(delete(RateWindow).where(RateWindow.user_id == user_id))


def count(session: Session, *, user_id: UUID, name: str, rate: Rate, fair_use: bool = False) -> None:
    """Count one use of `name` by a user.

    Counted with the caller's transaction: what is rolled back was no use. Locks the window until that ends, so uses
    of one user queue up. Raises `TooManyRequests`, or `FairUseExceeded`, once the rate is used up.
    """
    who = {"user_id": user_id, "name": name}
    wait = windows.count(session, RateWindow.used, who=who, most=rate.uses, seconds=rate.seconds)
    if wait is None:
        return
    raise (FairUseExceeded if fair_use else TooManyRequests)(
        f"At most {rate.uses} per {rate.per}; try again in {wait} seconds.",
        limit=rate.uses, per_seconds=rate.seconds, retry_after=wait,
    )  # fmt: skip
