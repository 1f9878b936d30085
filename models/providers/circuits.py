"""Circuits: a provider that fails again and again is left alone for a while, by all workers.

    closed → open, after so many failures in a row → closed again, after one probe got an answer

Each time the probe fails the wait doubles, up to a limit. An attempt that began before the circuit opened and ends
while it is open says nothing new.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import or_, select, update
from sqlalchemy.orm import Session

from models.database import moment, now
from models.providers.tables import ProviderState, Standing, locked


@dataclass(frozen=True, slots=True)
class Patience:
    """When a circuit opens and for how long: after `failures` in a row, for `pause` seconds, doubled each time up to
    `longest`. A probe has `probe` seconds until the next one is let in. A job waits for at most `wait` seconds."""

    failures: int
    pause: float
    longest: float
    probe: float
    wait: float


def standings(session: Session) -> dict[str, Standing]:
    """How every provider is doing that ever failed. Locks nothing."""
    rows = session.execute(select(ProviderState.provider, ProviderState.failures, ProviderState.open_until))
    return {row.provider: Standing(row.failures, row.open_until is not None) for row in rows}


def failed(session: Session, provider: str, *, token: UUID, code: str, patience: Patience) -> float | None:
    """Count a failure of the attempt `token`. For how many seconds that opened the circuit, or None.

    Locks the provider.
    """
    state = locked(session, provider)
    if state.open_until is not None and state.probe != token:
        return None
    state.failures += 1
    state.last_error = code[:64]
    if state.open_until is None and state.failures < patience.failures:
        session.flush()
        return None
    seconds = min(patience.pause * 2.0 ** min(state.openings, 30), patience.longest)
    state.openings += 1
    state.open_until, state.probe = moment(session, plus=seconds), None
    session.flush()
    return seconds


def answered(session: Session, provider: str, *, token: UUID) -> bool:
    """Forget the failures of a provider that has answered the attempt `token`; True when that closed its circuit.

    An open circuit is closed by its probe alone. Locks the provider's row.
    """
    was_open = session.execute(
        update(ProviderState)
        .where(ProviderState.provider == provider, ProviderState.open_until.is_not(None), ProviderState.probe == token)
        .values(failures=0, openings=0, open_until=None, probe=None)
        .returning(ProviderState.provider)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if was_open is not None:
        return True
    session.execute(
        update(ProviderState)
        .where(ProviderState.provider == provider, ProviderState.open_until.is_(None), ProviderState.failures > 0)
        .values(failures=0, openings=0)
        .execution_options(synchronize_session=False)
    )
    return False


def let_go(session: Session, provider: str, *, token: UUID) -> None:
    """Let another probe in: this one ended without having learnt anything. Does nothing for an attempt that is none."""
    session.execute(
        update(ProviderState)
        .where(ProviderState.provider == provider, ProviderState.probe == token)
        .values(probe=None, open_until=now())
        .execution_options(synchronize_session=False)
    )


def may_probe(session: Session, provider: str, *, token: UUID, seconds: float) -> bool:
    """Whether the attempt `token` is the one to find out if a provider is back. One conditional UPDATE."""
    row = session.execute(
        update(ProviderState)
        .where(
            ProviderState.provider == provider,
            or_(ProviderState.open_until <= now(), ProviderState.probe == token),
        )
        .values(probe=token, open_until=now(seconds))
        .returning(ProviderState.provider)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return row is not None
