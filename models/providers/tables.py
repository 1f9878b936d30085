"""The providers' table: one row for each that has ever failed or is limited."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, String, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import AwareDateTime, Base, insert_into

ZERO = text("0")


class ProviderState(Base):
    """How a provider is doing. The row is also the lock behind which attempts are let in and failures counted.

    `failures` are those since the last answer. While `open_until` is set the circuit is open: nobody is asked before
    then, and afterwards one attempt, the probe, whose lease token is `probe`. `openings` counts how often in a row it
    was opened, `last_error` is the code of the last failure. In the window of its rate that began at `window_at`,
    `window_count` attempts were let in.
    """

    __tablename__ = "provider_states"
    __table_args__ = (CheckConstraint("failures >= 0 AND openings >= 0", name="counts_not_negative"),)

    provider: Mapped[str] = mapped_column(String(50), primary_key=True)
    failures: Mapped[int] = mapped_column(server_default=ZERO)
    openings: Mapped[int] = mapped_column(server_default=ZERO)
    open_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    probe: Mapped[UUID | None]
    last_error: Mapped[str | None] = mapped_column(String(64))
    window_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    window_count: Mapped[int] = mapped_column(server_default=ZERO)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a worker needs to know of a provider before it asks it: whether it is well."""

    failures: int = 0
    open: bool = False

    @property
    def well(self) -> bool:
        return not (self.failures or self.open)


@dataclass(frozen=True, slots=True)
class Limits:
    """How many attempts a provider may have at once, and how many may begin in so many seconds; None is any number."""

    at_once: int | None = None
    begun: int | None = None
    seconds: float = 60.0


NO_LIMITS = Limits()


def locked(session: Session, provider: str) -> ProviderState:
    """The provider's row, made if there is none, and locked until the transaction ends."""
    session.execute(insert_into(session, ProviderState).values(provider=provider).on_conflict_do_nothing())
    return session.execute(
        select(ProviderState)
        .where(ProviderState.provider == provider)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).scalar_one()
