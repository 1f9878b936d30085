"""Reconciliation: how far the hourly walk through what changed at the gateway has come."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import DAY_SECONDS, AwareDateTime, Base, insert_into, moment

FIRST_LOOK_SECONDS = 30 * DAY_SECONDS
"""How far back the very first walk looks: as long as Stripe keeps its events (docs.stripe.com/api/events)."""


class ReconciliationMark(Base):
    """Everything of the gateway called `gateway` that changed before `reached_at` has been looked at."""

    __tablename__ = "reconciliation_marks"

    gateway: Mapped[str] = mapped_column(String(20), primary_key=True)
    reached_at: Mapped[datetime] = mapped_column(AwareDateTime)


def reached(session: Session, gateway: str) -> datetime:
    """How far the walks have come; before the first one, a month ago."""
    mark = session.scalar(select(ReconciliationMark.reached_at).where(ReconciliationMark.gateway == gateway))
    return mark or moment(session, plus=-FIRST_LOOK_SECONDS)


def reach(session: Session, gateway: str, at: datetime) -> None:
    """Note that a walk is through with all that changed before `at`; a mark never goes back."""
    statement = insert_into(session, ReconciliationMark).values(gateway=gateway, reached_at=at)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=[ReconciliationMark.gateway],
            set_={"reached_at": at},
            where=ReconciliationMark.reached_at < at,
        )
    )
