"""Gates: before a provider is asked, and what its answer says about its health.

How providers are doing is read from the database once a second for the whole process, so a provider that is well
costs an attempt nothing here: only changes are written.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

import counters
import tracing
from config import Settings
from models import providers
from models.database import readings, sessions
from models.jobs import Claim
from models.providers import NO_LIMITS, Entry, Limits, Patience, Standing
from worker.ai.provider import Refused, Unavailable, Unfinished
from worker.backends import BACKENDS

log = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0
"""How old what a process knows of the providers may be."""

FAILURES = frozenset({"provider_error", "provider_timeout", "provider_unreachable"})
"""Errors that say the provider is not well."""

ANSWERS = frozenset({"provider_refused", "content_filtered", "bad_answer", "provider_rate_limited"})
"""Errors that only a provider that is well can give."""


def patience(settings: Settings) -> Patience:
    """How much a provider is put up with under these settings."""
    return Patience(
        failures=settings.provider_failures,
        pause=settings.provider_pause_seconds,
        longest=settings.provider_longest_pause_seconds,
        probe=settings.run_limit_seconds,
        wait=settings.provider_patience_seconds,
    )


def limits(settings: Settings) -> dict[str, Limits]:
    """The limits of each provider that has any under these settings."""
    at_once, rates = settings.places_at, settings.rates_of
    return {
        provider: Limits(at_once.get(provider), *rates.get(provider, (None, 60.0))) for provider in {*at_once, *rates}
    }


class Gates:
    """What this process knows of the providers, and how it tells the others."""

    def __init__(self, settings: Settings) -> None:
        self._patience = patience(settings)
        self._limits = limits(settings)
        self._standings: dict[str, Standing] = {}
        self._look_again = 0.0
        self._looking = threading.Lock()

    def enter(self, claim: Claim, provider: str) -> Entry:
        """Whether this attempt may ask its provider now; if not, its job waits in line, but for a hopeless one."""
        limited = self._limits.get(provider, NO_LIMITS)
        if limited == NO_LIMITS and not self._standing(provider).open:
            return Entry.admitted
        with sessions() as session:
            entry = providers.enter(session, claim, provider, patience=self._patience, limits=limited)
        if entry is not Entry.admitted:
            log.info("attempt_put_back", job_id=str(claim.job_id), provider=provider, entry=str(entry))
        return entry

    @contextmanager
    def watching(self, claim: Claim, provider: str) -> Iterator[None]:
        """Learn from how a call to the provider ends, whatever that is."""
        try:
            with (
                tracing.step(f"ask {provider}", provider=provider, kind=claim.kind, attempt=claim.attempt),
                counters.asking(provider, claim.kind),
            ):
                yield
        except (Unavailable, Refused) as error:
            counters.PROVIDER_ERRORS.labels(provider, error.code).inc()
            if error.code in ANSWERS or isinstance(error, Unfinished):
                self._answered(claim, provider)
            elif error.code in FAILURES:
                self._failed(claim, provider, error.code)
            raise
        self._answered(claim, provider)

    def leave(self, claim: Claim, provider: str) -> None:
        """Say that an attempt is over, and its place free for the next in line.

        If it was to find out whether the provider is back and did not, another may.
        """
        if self._knows_trouble(provider):
            _tell(lambda session: providers.let_go(session, provider, token=claim.token))
        if provider in self._limits:
            _tell(lambda session: self._call(session, provider, most=1))

    def _call(self, session: Session, provider: str, *, most: int) -> None:
        limited = self._limits.get(provider, NO_LIMITS)
        providers.call(session, provider, patience=self._patience, limits=limited, most=most)

    def _failed(self, claim: Claim, provider: str, code: str) -> None:
        if not BACKENDS[provider].remote:
            return

        def write(session: Session) -> None:
            seconds = providers.failed(session, provider, token=claim.token, code=code, patience=self._patience)
            # At once, so that this process's next answer is seen to end the failures in a row.
            self._standings = providers.standings(session)
            if seconds is not None:
                log.error("breaker_opened", provider=provider, code=code, seconds=seconds)

        _tell(write)

    def _answered(self, claim: Claim, provider: str) -> None:
        if not self._knows_trouble(provider):
            return

        def write(session: Session) -> None:
            if providers.answered(session, provider, token=claim.token):
                log.info("breaker_closed", provider=provider)
                self._call(session, provider, most=providers.PAGE)
            self._standings = providers.standings(session)

        _tell(write)

    def _knows_trouble(self, provider: str) -> bool:
        return not self._standings.get(provider, Standing()).well

    def _standing(self, provider: str) -> Standing:
        if not BACKENDS[provider].remote:
            return Standing()
        if time.monotonic() >= self._look_again and self._looking.acquire(blocking=False):
            try:
                with readings() as session:
                    self._standings = providers.standings(session)
            except SQLAlchemyError as error:
                log.warning("providers_not_seen", error=type(error).__name__)
            finally:
                self._look_again = time.monotonic() + LOOK_SECONDS
                self._looking.release()
        return self._standings.get(provider, Standing())


def _tell(write: Callable[[Session], None]) -> None:
    """Write down what was learnt; what the attempt came to does not hang on it."""
    try:
        with sessions() as session:
            write(session)
    except SQLAlchemyError as error:
        log.warning("provider_state_not_written", error=type(error).__name__)
