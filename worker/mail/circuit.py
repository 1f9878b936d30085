"""A circuit breaker: while a mail server is away, nobody waits for it.

Each attempt would otherwise sit out a timeout, and mails to nowhere would hold up all threads. After a few failures in
a row the rest is put off at once for some seconds; then one attempt is let through to see.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.mail.gateway import MailError, Unavailable

FAILURES = 3
OPEN_SECONDS = 15.0


class Circuit:
    """What the threads of this process know of one server."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._failures = 0
        self._asks_again_at = 0.0
        self._trying = False

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Go through to the server. Raises `Unavailable` at once when it is not to be asked now."""
        probe = self._enter()
        away = False
        try:
            yield
        except MailError as error:
            away = isinstance(error, Unavailable) and error.server
            raise
        finally:
            self._leave(probe=probe, away=away)

    def _enter(self) -> bool:
        """Return whether this is the one attempt that finds out how the server is."""
        with self._lock:
            if self._failures < FAILURES:
                return False
            if self._trying or self._clock() < self._asks_again_at:
                raise Unavailable("server_away")
            self._trying = True
            return True

    def _leave(self, *, probe: bool, away: bool) -> None:
        with self._lock:
            if probe:
                self._trying = False
            if not away:
                self._failures = 0
                return
            self._failures += 1
            if self._failures >= FAILURES:
                self._asks_again_at = self._clock() + OPEN_SECONDS
