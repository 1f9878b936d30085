"""Waiting: a view may wait a little for something that a worker does, so that its caller need not ask again.

It looks again when it is told to (the end of a job is announced, see `worker/listener.py`), and every now and then all
the same; between two looks it holds no database connection. A waiting request does take a thread, so only a share of
them may wait, and only some of these for one user; who finds no place is answered at once with what there is.
"""

from __future__ import annotations

import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from threading import Event, Lock
from types import FrameType
from typing import Any, TypeVar
from uuid import UUID

import structlog
from flask import request
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from config import settings
from models import acting, jobs
from models.acting import Whom
from models.database import readings
from models.jobs import Snapshot
from worker.listener import Listener

log = structlog.get_logger(__name__)

MOST_SECONDS = 6.0
"""How long a caller is kept waiting for a gateway: it usually answers within one second, and rarely in over five."""

FIRST_PAUSE_SECONDS = 0.03
LONGEST_PAUSE_SECONDS = 0.25

LONGEST_DEAF_PAUSE_SECONDS = 1.0
"""Between two looks at a job whose end we would not hear of: the broker is away, or announces nothing."""

HEARING_PAUSE_SECONDS = 2.0
"""Between two looks at a job whose end we would hear of: an announcement can get lost."""

SHARE_OF_THREADS = 4
"""One thread in so many may wait."""

Row = TypeVar("Row")


class Places:
    """The places for waiting requests in this process, and who has them. One user gets half of them at most."""

    def __init__(self, places: int) -> None:
        self._all = max(places, 1)
        self._of_one = max(self._all // 2, 1)
        self._taken: dict[Event, UUID | Whom] = {}
        self._lock = Lock()
        self.closing = False
        """Whether this process is about to end, so that nobody may wait any more."""

    @contextmanager
    def one(self, *, leave: int = 0) -> Iterator[Event | None]:
        """A place while the block runs: an event that ends the next pause. None when there is none, or `leave` or
        fewer of them."""
        alarm = self._take(acting.whom(), leave)
        try:
            yield alarm
        finally:
            with self._lock:
                self._taken.pop(alarm, None)  # type: ignore[arg-type]  # None is never among them

    def _take(self, whom: UUID | Whom, leave: int) -> Event | None:
        with self._lock:
            mine = Counter(self._taken.values())[whom] if isinstance(whom, UUID) else 0
            if self.closing or mine >= self._of_one or len(self._taken) >= self._all - leave:
                return None
            alarm = Event()
            self._taken[alarm] = whom
            return alarm

    def close(self) -> None:
        """Send everybody who waits away with what there is, and let nobody wait any more."""
        with self._lock:
            self.closing = True
            for alarm in self._taken:
                alarm.set()


@cache
def places() -> Places:
    return Places(settings().web_threads // SHARE_OF_THREADS)


@cache
def listener() -> Listener:
    return Listener(settings().broker_url)


def wait_for(look: Callable[[Session], Row], done: Callable[[Row], bool]) -> Row:
    """Look again and again until it is `done`, for at most `MOST_SECONDS`; return what was seen last.

    When too many wait already it only looks once.
    """

    def look_now() -> Row:
        with readings() as session:
            return look(session)

    seen = look_now()
    if done(seen):
        return seen
    with places().one() as alarm:
        if alarm is None:
            return seen
        pauses = _growing(LONGEST_PAUSE_SECONDS)
        return _wait(seen, look_now, done, seconds=MOST_SECONDS, alarm=alarm, pause=lambda: next(pauses))


def wait_for_job(
    job: Snapshot, *, user_id: UUID, seconds: float, done: Callable[[Snapshot], bool]
) -> tuple[Snapshot, bool]:
    """Wait until a job of this user is `done`, which it is at the latest when it has ended, for so many seconds.

    Returns the job as it was seen last, and whether there was a place to wait. The last place is never taken: it is for
    those who are paying. A database that is away meanwhile is no error: the job is known, and how it ends is not.
    """
    if done(job):
        return job, True
    ear = listener()
    pauses = _growing(LONGEST_DEAF_PAUSE_SECONDS)
    last = job

    def look() -> Snapshot:
        nonlocal last
        try:
            last = jobs.read(user_id=user_id, job_id=job.id)
        except SQLAlchemyError as error:
            log.warning("waiter_saw_nothing", error=type(error).__name__)
        return last

    def pause() -> float:
        deaf = next(pauses)
        return HEARING_PAUSE_SECONDS if ear.hears(job.id) else deaf

    with places().one(leave=1) as alarm:
        if alarm is None:
            return job, False
        with ear.listening(job.id, alarm):
            seen = _wait(job, look, done, seconds=seconds, alarm=alarm, pause=pause)
    return seen, done(seen) or not places().closing


def _wait(
    seen: Row,
    look: Callable[[], Row],
    done: Callable[[Row], bool],
    *,
    seconds: float,
    alarm: Event,
    pause: Callable[[], float],
) -> Row:
    """Look whenever the alarm is set or a pause is over, until it is done, time is up, or nobody waits any more."""
    stop = time.monotonic() + seconds
    while not done(seen) and (left := stop - time.monotonic()) > 0:
        woken = alarm.wait(min(pause(), left))
        alarm.clear()  # before looking: what happens after the look sets it again
        if not woken and _hung_up():
            break
        seen = look()
        if places().closing:
            break
    return seen


def _growing(longest: float) -> Iterator[float]:
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(pause * 1.5, longest)


def _hung_up() -> bool:
    """Whether the caller has gone, as far as gunicorn's connection shows: its place is for somebody else then."""
    line: Any = request.environ.get("gunicorn.socket")
    if line is None:
        return False
    poll = select.poll()
    try:
        poll.register(line, select.POLLIN)
        return bool(poll.poll(0)) and line.recv(1, socket.MSG_PEEK) == b""
    except ValueError:  # over TLS nobody can tell
        return False
    except OSError:
        return True


def leave_at_the_end() -> None:
    """When this process is told to end, send away who waits, and then do what was to be done. For the main thread."""
    before = signal.getsignal(signal.SIGTERM)

    def leave(number: int, frame: FrameType | None) -> None:
        # Not here: the main thread may be in the middle of what this needs.
        threading.Thread(target=places().close, name="closing", daemon=True).start()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, leave)
