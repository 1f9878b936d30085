"""Log-ins that ended lately, as this process knows them: their access tokens are refused before their time is over.

An access token is good for its fifteen minutes wherever its signature can be checked. What ends it earlier, a log-out,
a new password, a suspension, is in the database, and asking there on every request would cost more than the rest of a
poll. So each process keeps the short list of log-ins whose tokens could still be about, and reads it anew every two
seconds: one request does, the others go on meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Set
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models import logins
from models.acting import everyone
from models.database import readings

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 2.0
"""How long the list is good, and so how long an ended log-in can still be used in a process that did not end it."""

PATIENCE_SECONDS = 1.0
"""How long a request waits for another to read the list, when nobody has for so long that it tells nothing."""

MARGIN_SECONDS = 120
"""Log-ins stay on the list for this much longer than tokens live: the clocks of the database and of this machine may
differ, and a transaction that ends a log-in writes down when it began."""

NEVER = float("-inf")


class Ended:
    """The list of one process. `lifetime` is for how many seconds access tokens are good."""

    def __init__(self, lifetime: float) -> None:
        self._within = lifetime + MARGIN_SECONDS
        self._logins: Set[UUID] = frozenset()
        self._read_at = NEVER
        self._failed_at = NEVER
        self._reading = threading.Lock()

    def has(self, login_id: UUID) -> bool:
        """Whether this log-in has ended, by what was known at most two seconds ago.

        While the database is away it goes by what was known before.
        """
        if time.monotonic() - self._read_at >= REFRESH_SECONDS:
            self._read_if_nobody_does()
        return login_id in self._logins

    def look_again(self) -> None:
        """Read the list anew on next use: this process has just ended a log-in itself."""
        self._read_at = self._failed_at = NEVER

    def _read_if_nobody_does(self) -> None:
        if time.monotonic() - self._failed_at < REFRESH_SECONDS:
            return
        long_ago = time.monotonic() - self._read_at >= 2 * REFRESH_SECONDS
        if not self._reading.acquire(timeout=PATIENCE_SECONDS if long_ago else 0):
            return
        try:
            now = time.monotonic()
            if now - self._read_at >= REFRESH_SECONDS and now - self._failed_at >= REFRESH_SECONDS:
                self._read()
        finally:
            self._reading.release()

    def _read(self) -> None:
        began = time.monotonic()
        try:
            # The list is for all requests, whosever reads it.
            with everyone(), readings() as session:
                self._logins = logins.ended_within(session, seconds=self._within)
        except SQLAlchemyError as error:
            log.warning("ended_logins_unknown", error=type(error).__name__)
            self._failed_at = time.monotonic()
        else:
            self._read_at = began
