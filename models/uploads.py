"""Uploads: pictures that users brought along, to be worked on by jobs."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, BigId, now


class Upload(Base):
    """One picture, checked. `size` is in bytes, `width` and `height` in pixels; the file is in storage under `key`."""

    __tablename__ = "uploads"
    __table_args__ = (
        CheckConstraint("size > 0 AND width > 0 AND height > 0", name="has_a_picture"),
        Index("ix_uploads_user_id_id", "user_id", "id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    media_type: Mapped[str] = mapped_column(String(50))
    size: Mapped[int] = mapped_column(BigId)
    width: Mapped[int]
    height: Mapped[int]
    sha256: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(200), unique=True)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    expires_at: Mapped[datetime] = mapped_column(AwareDateTime, index=True)
