"""Admission: whether an attempt may ask its provider now, and whose turn it is when one may.

Everything is decided behind the lock of the provider's row, which comes before any job's.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from sqlalchemy.orm import Session

from models.database import moment
from models.jobs import places
from models.jobs.attempts import Ending
from models.jobs.runs import Claim
from models.providers.circuits import Patience, may_probe
from models.providers.tables import NO_LIMITS, Limits, ProviderState, locked

PAGE = 200
"""How many jobs are called at most when a provider is back: the rest a little later, not all at once."""

DOWN = "provider_unavailable", "The provider is out of order. The job goes on as soon as it is back."


class Entry(StrEnum):
    """What became of an attempt that wanted in."""

    admitted = "admitted"
    waits = "waits"
    """Its job is queued again and will be called."""
    hopeless = "hopeless"
    """Its job cannot wait as long as the provider will be down; the attempt still owns it."""
    over = "over"
    """The job was canceled or lost meanwhile."""


def enter(session: Session, claim: Claim, provider: str, *, patience: Patience, limits: Limits = NO_LIMITS) -> Entry:
    """Let an attempt in to ask its provider, or put its job back in line.

    Nobody passes those who wait: a job that comes for the first time while others do goes to the end of their line.
    Locks the provider, then the job.
    """
    state = locked(session, provider)
    if state.open_until is not None:
        if not may_probe(session, provider, token=claim.token, seconds=patience.probe):
            if places.too_late(session, claim, seconds=_seconds_left(session, state), longest=patience.wait):
                return Entry.hopeless
            return _put_back(session, claim, provider, error=DOWN)
    elif limits != NO_LIMITS:
        if places.anybody_waits(session, provider) and not places.was_in_line(session, claim):
            entry = _put_back(session, claim, provider)
            places.call_for(session, provider, number=min(_room(session, state, limits), 1))
            return entry
        if _room(session, state, limits, but=claim) < 1:
            return _put_back(session, claim, provider)
    if limits == NO_LIMITS:
        return Entry.admitted
    _count(session, state, limits)
    return Entry.admitted if places.occupy(session, claim, provider) else Entry.over


def call(session: Session, provider: str, *, patience: Patience, limits: Limits = NO_LIMITS, most: int = PAGE) -> int:
    """Call up to `most` jobs that wait for a provider, as many as may be let in, and those whose time is up besides.

    While the circuit is open nobody is called, and one job when it is time for a probe. Returns how many were called.
    Locks the provider.
    """
    state = locked(session, provider)
    called = places.call_for(session, provider, number=min(_room(session, state, limits), most))
    if state.open_until is not None:
        called += places.call_hopeless(session, provider, longest=patience.wait, number=PAGE)
    return called


def call_all(session: Session, *, patience: Patience, limits: Mapping[str, Limits]) -> int:
    """`call` for every provider that jobs wait for: the net under all that is called as soon as there is room."""
    return sum(
        call(session, provider, patience=patience, limits=limits.get(provider, NO_LIMITS))
        for provider in places.awaited(session)
    )


def _room(session: Session, state: ProviderState, limits: Limits, *, but: Claim | None = None) -> int:
    if state.open_until is not None:
        return 1 if _seconds_left(session, state) <= 0 else 0
    rooms = [PAGE]
    if limits.at_once is not None:
        rooms.append(limits.at_once - places.occupied(session, state.provider, but=but))
    if limits.begun is not None:
        begun = 0 if _window_is_over(session, state, limits) else state.window_count
        rooms.append(limits.begun - begun)
    return max(min(rooms), 0)


def _count(session: Session, state: ProviderState, limits: Limits) -> None:
    if limits.begun is None:
        return
    if _window_is_over(session, state, limits):
        state.window_at, state.window_count = moment(session), 0
    state.window_count += 1
    session.flush()


def _window_is_over(session: Session, state: ProviderState, limits: Limits) -> bool:
    if state.window_at is None:
        return True
    # One that begins in the future is from a clock that was set back.
    return not -limits.seconds < (moment(session) - state.window_at).total_seconds() < limits.seconds


def _put_back(session: Session, claim: Claim, provider: str, *, error: tuple[str, str] | None = None) -> Entry:
    ending = places.put_back(session, claim, waits_for=provider, error=error)
    return Entry.waits if ending is Ending.requeued else Entry.over


def _seconds_left(session: Session, state: ProviderState) -> float:
    return (state.open_until - moment(session)).total_seconds() if state.open_until else 0.0
