"""Tries: how often something was tried from one network address, for one mailbox or by one account.

Counted in the database, so it holds across all processes, with or without a broker. Who tries is kept as a keyed hash.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base


class TryWindow(Base):
    """How often `subject_hash` tried `name` since `started_at`; the first try after `ends_at` starts a new window."""

    __tablename__ = "try_windows"
    __table_args__ = (CheckConstraint("tried > 0", name="tried_positive"), Index("ix_try_windows_ends_at", "ends_at"))

    subject_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(100), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(AwareDateTime)
    ends_at: Mapped[datetime] = mapped_column(AwareDateTime)
    tried: Mapped[int]
