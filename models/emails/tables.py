"""The table of e-mails, and what their states mean."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, Json, now, words
from models.users import LONGEST_EMAIL

QUEUED = "state = 'queued'"


class EmailState(StrEnum):
    """`sent`: a server took it. `refused`: none ever will. `dropped`: there is nobody to tell any more."""

    queued = "queued"
    sent = "sent"
    refused = "refused"
    dropped = "dropped"


class Email(Base):
    """One e-mail. Without a `recipient` it goes to the address that `user_id` has when it is written.

    `details` are what its template shows, and never a secret: links are made when the mail is written. `due_at` is
    when it may be tried next; an attempt moves it ahead, so that nobody else tries meanwhile. `trouble` is a code and
    a word or two on why it has not arrived, and never an address. One without `user_id` forgets its `recipient` when
    it ends.
    """

    __tablename__ = "emails"
    __table_args__ = (
        CheckConstraint("user_id IS NOT NULL OR recipient IS NOT NULL OR state <> 'queued'", name="has_somebody"),
        CheckConstraint("(ended_at IS NULL) = (state = 'queued')", name="ended_with_an_end"),
        Index("ix_emails_due_at", "due_at", postgresql_where=text(QUEUED), sqlite_where=text(QUEUED)),
        Index("ix_emails_user_id_id", "user_id", "id"),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(200), unique=True)
    template: Mapped[str] = mapped_column(String(50))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    recipient: Mapped[str | None] = mapped_column(String(LONGEST_EMAIL))
    details: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[EmailState] = mapped_column(words(EmailState, "state"), default=EmailState.queued)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    trouble: Mapped[str | None] = mapped_column(String(200))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
