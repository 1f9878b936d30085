"""Saved replies: suggestions out of chat analyses that a user wants to keep."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, BigId, now


class SavedReply(Base):
    """One suggestion of one job's output, kept word for word."""

    __tablename__ = "saved_replies"
    __table_args__ = (
        UniqueConstraint("job_id", "output", "suggestion"),
        Index("ix_saved_replies_user_id_id", "user_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"))
    output: Mapped[int]
    suggestion: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
