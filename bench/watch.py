"""Watching a database while something else works on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString

import psutil
import psycopg

PATIENCE_SECONDS = 180.0
PAUSE_SECONDS = 0.05


class Peak:
    """The most that was seen: jobs running, and MiB of resident memory."""

    def __init__(self) -> None:
        self.running = 0
        self.mib = 0.0


def ask(url: str, question: LiteralString, *given: object) -> Any:
    """The one value that a query gives."""
    with psycopg.connect(url) as connection:
        row = connection.execute(question, given).fetchone()
    return row[0] if row else None


def until(url: str, question: LiteralString, number: int) -> None:
    """Wait until a query counts `number`. Raises `TimeoutError`."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            row = connection.execute(question).fetchone()
            if row and row[0] == number:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(f"{row and row[0]} and not {number}: {question}")
            time.sleep(PAUSE_SECONDS)


def published(url: str) -> tuple[int, float]:
    """How many messages the outbox has now, and how many seconds pass until it has none."""
    left = ask(url, "SELECT count(*) FROM outbox")
    begin = time.monotonic()
    until(url, "SELECT count(*) FROM outbox", 0)
    return left, time.monotonic() - begin if left else 0.0


@contextmanager
def watching(url: str, pid: int) -> Iterator[Peak]:
    """Look at the running jobs and at the memory of a process with its children, several times a second."""
    peak, over = Peak(), threading.Event()

    def look() -> None:
        tree = psutil.Process(pid)
        with psycopg.connect(url, autocommit=True) as connection:
            while not over.wait(2 * PAUSE_SECONDS):
                row = connection.execute("SELECT count(*) FROM jobs WHERE status = 'running'").fetchone()
                peak.running = max(peak.running, row[0] if row else 0)
                memory = sum(each.memory_info().rss for each in (tree, *tree.children(recursive=True)))
                peak.mib = max(peak.mib, memory / 2**20)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield peak
    finally:
        over.set()
        thread.join()


class Cpu:
    """Processor seconds of some processes and their children, from when it is made to when it is asked."""

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._before = self._now()

    @property
    def seconds(self) -> float:
        return self._now() - self._before

    def _now(self) -> float:
        total = 0.0
        for pid in self._pids:
            try:
                tree = psutil.Process(pid)
                for each in (tree, *tree.children(recursive=True)):
                    times = each.cpu_times()
                    total += times.user + times.system
            except psutil.NoSuchProcess:
                continue
        return total
