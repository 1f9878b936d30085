"""Waiting: a view that has asked a worker for something may wait a little for the row to change.

A bounded number of them at once, so that a slow gateway never takes the threads that everybody else needs; and no
database connection is held while waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import BoundedSemaphore
from typing import TypeVar

from sqlalchemy.orm import Session

from config import settings
from models.database import readings

MOST_SECONDS = 6.0
"""How long a caller is kept waiting: a gateway usually answers within one second, and rarely in more than five."""

FIRST_PAUSE_SECONDS = 0.03
LONGEST_PAUSE_SECONDS = 0.25

SHARE_OF_THREADS = 4
"""One thread in so many may wait."""

_waiters = BoundedSemaphore(max(settings().web_threads // SHARE_OF_THREADS, 1))

Row = TypeVar("Row")


def wait_for(look: Callable[[Session], Row], done: Callable[[Row], bool]) -> Row:
    """Look again and again until it is `done`, for at most `MOST_SECONDS`; return what was seen last.

    When too many wait already it only looks once.
    """
    stop = time.monotonic() + MOST_SECONDS
    pause = FIRST_PAUSE_SECONDS
    with readings() as session:
        seen = look(session)
    if done(seen) or not _waiters.acquire(blocking=False):
        return seen
    try:
        while not done(seen) and time.monotonic() + pause < stop:
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)
            with readings() as session:
                seen = look(session)
        return seen
    finally:
        _waiters.release()
