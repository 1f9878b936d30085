"""The announcer: tells whoever waits for a job that it has ended.

Once a transaction that ended jobs is committed, their ids are handed to a thread of this process, which publishes each
on a channel of the job's own. To a channel that nobody listens to that costs the broker next to nothing, and a web
process hears of no job that nobody there waits for. It is a convenience: what is lost, because the broker is away or
is no Redis, is found by looking at the job (`web/waiting.py`), and so nothing here is tried twice.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from config import settings
from models.database import on_commit
from models.jobs import ENDED

log = structlog.get_logger(__name__)

BATCH = 500
MOST_REMEMBERED = 10_000
"""Endings kept while the broker is slow; above that they are not announced."""

PAUSE_SECONDS = 1.0
"""How long a broker that failed is left alone. What ends meanwhile is not announced."""

SOCKET_SECONDS = 2.0
"""How long a frozen broker is waited for."""


def announces(url: str) -> bool:
    """Whether this broker can: Redis or Valkey, not RabbitMQ."""
    return urlsplit(url).scheme in ("redis", "rediss", "unix")


def client(url: str) -> Redis:
    """A client that gives up quickly and leaves trying again to its user."""
    return Redis.from_url(
        url, protocol=2, socket_timeout=SOCKET_SECONDS, socket_connect_timeout=SOCKET_SECONDS, socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )  # fmt: skip


def channel(job_id: UUID) -> str:
    """Where the end of a job is announced."""
    return f"coinop:ended:{job_id.hex}"


class Announcer:
    """The announcing thread of one process; it starts with the first ending."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended: SimpleQueue[UUID] = SimpleQueue()
        self._starting = threading.Lock()
        self._pid = 0
        self._failing = False

    def hand_over(self, job_ids: Sequence[UUID]) -> None:
        """Take jobs whose end is committed. Never blocks, never raises."""
        if self._pid != os.getpid():
            self._start()
        if self._ended.qsize() < MOST_REMEMBERED:
            for job_id in job_ids:
                self._ended.put(job_id)

    def _start(self) -> None:
        with self._starting:
            if self._pid != os.getpid():
                threading.Thread(target=self._run, name="announcer", daemon=True).start()
                self._pid = os.getpid()

    def _run(self) -> None:
        redis = client(self._url)
        while True:
            batch = self._waiting(self._ended.get())
            try:
                self._publish(redis, batch)
                self._failing = False
            except (RedisError, OSError) as error:
                if not self._failing:
                    log.warning("endings_not_announced", error=type(error).__name__)
                self._failing = True
                time.sleep(PAUSE_SECONDS)
            except Exception:
                # What it was must not stop the announcer.
                log.exception("announcer_stumbled", jobs=len(batch))

    def _waiting(self, first: UUID) -> list[UUID]:
        """The first of a batch with what has come meanwhile: under load one trip serves many."""
        batch = [first]
        while len(batch) < BATCH:
            try:
                batch.append(self._ended.get_nowait())
            except Empty:
                break
        return batch

    def _publish(self, redis: Redis, batch: Sequence[UUID]) -> None:
        with redis.pipeline(transaction=False) as pipeline:
            for job_id in batch:
                pipeline.publish(channel(job_id), b"")
            pipeline.execute()


def start() -> None:
    """Announce what the sessions of this process end, from now on, if the broker can."""
    url = settings().broker_url
    if not announces(url):
        return
    announcer = Announcer(url)

    def hand_over(info: dict[Any, Any]) -> None:
        job_ids = info.pop(ENDED, None)
        if job_ids:
            announcer.hand_over(job_ids)

    on_commit(hand_over)
