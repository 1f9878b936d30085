"""Notices: what a user should be told, once: credits that are about to expire."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, BigId, Json, now, words


class Topic(StrEnum):
    """What a notice is about."""

    credits_expiring = "credits_expiring"


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
