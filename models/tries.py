"""Tries: how often something was tried from one network address, for one mailbox or by one account.

Counted in the database, so it holds across all processes and restarts, with or without a broker. Who tries is kept as a
keyed hash.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Self

from limits import parse_many
from sqlalchemy import CheckConstraint, Index, String, delete, select, tuple_, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from config import settings
from models import windows
from models.database import AwareDateTime, Base, now
from models.errors import TooManyRequests


class TryWindow(Base):
    """How often `subject_hash` tried `name` since `started_at` (see `models/windows.py`)."""

    __tablename__ = "try_windows"
    __table_args__ = (
        CheckConstraint("tried >= 0", name="tried_not_negative"),
        Index("ix_try_windows_ends_at", "ends_at"),
    )

    subject_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(AwareDateTime)
    ends_at: Mapped[datetime] = mapped_column(AwareDateTime)
    tried: Mapped[int]


@dataclass(frozen=True, slots=True)
class Limit:
    """So many tries in so many seconds."""

    tries: int
    seconds: int

    @classmethod
    @cache
    def parse(cls, words: str) -> tuple[Self, ...]:
        """The limits that a setting such as `10 per 15 minutes` or `5/minute; 50/day` names. All of them hold."""
        return tuple(cls(each.amount, each.get_expiry()) for each in parse_many(words))

    def times(self, factor: int) -> Limit:
        return Limit(self.tries * factor, self.seconds)


def count(session: Session, *, subject: str, name: str, limit: Limit) -> None:
    """Count one try of `name` by `subject`, such as an address.

    In a transaction of its own, so that it counts when what is tried is refused and rolled back. Of many at once no
    more than the limit get through. Locks the window until the transaction ends. Raises `TooManyRequests`; a try
    that was refused is not counted.
    """
    who = _window(subject, name, limit)
    wait = windows.count(
        session, TryWindow.tried, who=who, most=limit.tries, seconds=limit.seconds, ends_at=now(limit.seconds)
    )
    if wait is not None:
        raise TooManyRequests(
            f"Too many tries. Try again in {wait} seconds.",
            limit=limit.tries, per_seconds=limit.seconds, retry_after=wait,
        )  # fmt: skip


def take_back(session: Session, *, subject: str, name: str, limit: Limit) -> None:
    """Let a try that was counted be none: it was no failure. Locks the window."""
    mine = update(TryWindow).filter_by(**_window(subject, name, limit)).where(TryWindow.tried > 0)
    session.execute(
        mine.values(tried=TryWindow.tried - 1).execution_options(synchronize_session=False),
    )


def forget_old(session: Session, *, limit: int) -> int:
    """Delete up to `limit` windows that are over and return how many. Others skip the rows meanwhile."""
    over = (
        select(TryWindow.subject_hash, TryWindow.name)
        .where(TryWindow.ends_at < now())
        .order_by(TryWindow.ends_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("over")
    )
    key = tuple_(TryWindow.subject_hash, TryWindow.name)
    gone = delete(TryWindow).where(key.in_(select(over.c.subject_hash, over.c.name))).returning(TryWindow.name)
    return len(session.scalars(gone.execution_options(synchronize_session=False)).all())


def _window(subject: str, name: str, limit: Limit) -> dict[str, str]:
    key = settings().secret_key.get_secret_value().encode()
    return {
        "subject_hash": hmac.digest(key, f"try:{subject}".encode(), "sha256").hex(),
        # Two limits on one thing are two windows.
        "name": f"{name} in {limit.seconds} s",
    }
