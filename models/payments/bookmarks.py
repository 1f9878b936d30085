"""Bookmarks: how far the reconciliation with the gateway has come."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base


class ReconciliationMark(Base):
    """Everything of the gateway called `gateway` that changed before `reached_at` has been looked at."""

    __tablename__ = "reconciliation_marks"

    gateway: Mapped[str] = mapped_column(String(20), primary_key=True)
    reached_at: Mapped[datetime] = mapped_column(AwareDateTime)
