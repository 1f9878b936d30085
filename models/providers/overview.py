"""Overview: how the providers are doing, for whoever looks after the house."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.database import moment
from models.jobs import places
from models.providers.tables import ProviderState


@dataclass(frozen=True, slots=True)
class Overview:
    """One provider: seconds until its circuit may be tried (None while it is closed, 0 when a probe is due or under
    way), failures in a row, the code of the last one, places taken, attempts begun in the window that began so many
    seconds ago, and how many jobs wait for it."""

    provider: str
    open_for: float | None
    probing: bool
    failures: int
    last_error: str | None
    at_once: int
    begun: int
    window_age: float | None
    waiting: int


def overview(session: Session, named: Iterable[str]) -> list[Overview]:
    """The providers that are named here and those that jobs wait for or that have failed. Locks nothing."""
    states = {state.provider: state for state in session.scalars(select(ProviderState))}
    clock = moment(session)
    shown = []
    for provider in sorted({*named, *states, *places.awaited(session)}):
        state = states.get(provider) or ProviderState(provider=provider, failures=0, window_count=0)
        left = (state.open_until - clock).total_seconds() if state.open_until else None
        shown.append(
            Overview(
                provider=provider,
                open_for=None if left is None else 0.0 if state.probe else max(left, 0.0),
                probing=state.probe is not None,
                failures=state.failures,
                last_error=state.last_error,
                at_once=places.occupied(session, provider),
                begun=state.window_count,
                window_age=(clock - state.window_at).total_seconds() if state.window_at else None,
                waiting=places.waiting_for(session, provider),
            )
        )
    return shown
