"""Places: what a user occupies of a limit of the plan, such as the companions that are active."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, now


class Place(Base):
    """One thing, by the product's own name for it, that counts towards a limit."""

    __tablename__ = "places"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    limit_name: Mapped[str] = mapped_column(String(50), primary_key=True)
    item: Mapped[str] = mapped_column(String(200), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
