"""Rates: how often each user may ask, counted in this process.

Accepting a job waits neither for the broker nor for one statement more, so these are counted where they are asked: each
web process has its own count, and a limit is for each of them. It keeps one user from taking all there is; what must be
exact is counted in the database (`web/limits.py`, `models/rates.py`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from math import ceil
from threading import Lock
from uuid import UUID

from flask import request

from config import settings
from models.errors import TooManyRequests
from models.tries import Limit
from web import tokens


class Window:
    """Who came how often since the window began. All windows of a limit begin together, which forgets the last ones."""

    def __init__(self, limit: Limit, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = Lock()
        self._number = -1
        self._came: dict[UUID, int] = {}

    def count(self, user_id: UUID) -> None:
        """Count one more. Raises `TooManyRequests`; who is told so is not counted."""
        now, seconds = self._clock(), self._limit.seconds
        number = int(now // seconds)
        with self._lock:
            if number != self._number:
                self._number, self._came = number, {}
            came = self._came.get(user_id, 0)
            if came < self._limit.tries:
                self._came[user_id] = came + 1
                return
        wait = max(ceil((number + 1) * seconds - now), 1)
        raise TooManyRequests(
            f"At most {self._limit.tries} in {seconds} seconds; try again in {wait} seconds.",
            limit=self._limit.tries, per_seconds=seconds, retry_after=wait,
        )  # fmt: skip


@cache
def _windows(words: str, endpoints: tuple[str, ...]) -> list[Window]:
    return [Window(limit) for limit in Limit.parse(words)]


def _of_submissions() -> str:
    return settings().submit_rate_limit


def counted(*endpoints: str, limit: Callable[[], str] = _of_submissions) -> Callable[[], None]:
    """For `before_request`, once the caller is known: the words of this limit, SUBMIT_RATE_LIMIT unless told, for these
    endpoints together."""

    def count() -> None:
        if request.endpoint in endpoints:
            for window in _windows(limit(), endpoints):
                window.count(tokens.current_user_id())

    return count
