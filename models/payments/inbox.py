"""The inbox: events of the gateway, each stored once before anything is done about it.

An event is only a hint where to look: a task looks at the object itself, brings our rows in line with it and marks the
event done in the same transaction. `payload` is kept for the record.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from models.database import AwareDateTime, Base, Json, now, words
from models.payments.tables import GATEWAY_ID

WAITING = "state = 'received'"


class EventState(StrEnum):
    """`ignored`: of a type that says nothing to us. `failed`: given up; somebody should look, and may replay it."""

    received = "received"
    done = "done"
    ignored = "ignored"
    failed = "failed"


class GatewayEvent(Base):
    """One event, by its id at the gateway. `due_at` is when it may be tried next."""

    __tablename__ = "gateway_events"
    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (state = 'received')", name="ended_with_an_end"),
        Index("ix_gateway_events_due_at", "due_at", postgresql_where=text(WAITING), sqlite_where=text(WAITING)),
        Index("ix_gateway_events_object_id", "object_id"),
    )

    id: Mapped[str] = mapped_column(String(GATEWAY_ID), primary_key=True)
    type: Mapped[str] = mapped_column(String(100))
    object_id: Mapped[str] = mapped_column(String(GATEWAY_ID))
    payload: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[EventState] = mapped_column(words(EventState, "state"), default=EventState.received)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    trouble: Mapped[str | None] = mapped_column(String(200))
    received_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
