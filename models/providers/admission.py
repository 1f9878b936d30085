"""Admission: whether an attempt may ask its provider now, and whose turn it is when one may.

Everything is decided behind the lock of the provider's row, which comes before any job's.
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy.orm import Session

from models.database import moment
from models.jobs import places
from models.jobs.attempts import Ending
from models.jobs.runs import Claim
from models.providers.circuits import Patience, may_probe
from models.providers.tables import ProviderState, locked

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


def enter(session: Session, claim: Claim, provider: str, *, patience: Patience) -> Entry:
    """Let an attempt in to ask its provider, or put its job back in line. Locks the provider, then the job."""
    state = locked(session, provider)
    if state.open_until is None or may_probe(session, provider, token=claim.token, seconds=patience.probe):
        return Entry.admitted
    if places.too_late(session, claim, seconds=_seconds_left(session, state), longest=patience.wait):
        return Entry.hopeless
    return _put_back(session, claim, provider, error=DOWN)


def call(session: Session, provider: str, *, patience: Patience) -> int:
    """Call as many jobs that wait for a provider as may be let in, and those whose time is up; how many that was.

    While the circuit is open nobody is called, and one job when it is time for a probe. Locks the provider.
    """
    state = locked(session, provider)
    called = places.call_for(session, provider, number=_room(session, state))
    if state.open_until is not None:
        called += places.call_hopeless(session, provider, longest=patience.wait, number=PAGE)
    return called


def call_all(session: Session, *, patience: Patience) -> int:
    """`call` for every provider that jobs wait for: the net under all that is called as soon as there is room."""
    return sum(call(session, provider, patience=patience) for provider in places.awaited(session))


def _room(session: Session, state: ProviderState) -> int:
    if state.open_until is not None:
        return 1 if _seconds_left(session, state) <= 0 else 0
    return PAGE


def _put_back(session: Session, claim: Claim, provider: str, *, error: tuple[str, str] | None = None) -> Entry:
    ending = places.put_back(session, claim, waits_for=provider, error=error)
    return Entry.waits if ending is Ending.requeued else Entry.over


def _seconds_left(session: Session, state: ProviderState) -> float:
    return (state.open_until - moment(session)).total_seconds() if state.open_until else 0.0
