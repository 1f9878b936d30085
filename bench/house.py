"""The machine under measure: real PostgreSQL and Valkey with durable settings, and the product's own processes.

The command lines are those of `make up`. A baseline runs under the same ones with only the application's name changed,
so that a ratio compares code and not settings.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil
import psycopg
import redis

from config import ROOT, settings
from models import database
from ops import embedded
from ops.service import Service, answers_celery
from ops.up import commands

START_SECONDS = 60.0
BENCH_PRESET = ROOT / "bench" / "preset.toml"
CHOSEN = (
    "DATABASE_URL", "STORAGE_URL", "COINOP_ENV", "AI_MODE", "SMTP_URL", "WEB_WORKERS", "WEB_THREADS",
    "ROW_LEVEL_SECURITY",
)  # fmt: skip
"""Settings of the caller's environment that would measure something else than the product as it comes."""


class DidNotStart(Exception):
    """A process ended or was not ready in time; the message has the end of its log."""


@dataclass(frozen=True)
class House:
    """The servers of one run: where they are, and the folder for logs and state."""

    postgresql: str
    redis: str
    folder: Path
    numbers: count[int]

    def new_database(self, template: str = "template1") -> str:
        """A database of its own, a copy of `template`; gives its URL."""
        name = f"bench_{next(self.numbers)}"
        return embedded.create_database(self.postgresql, name, template=template)

    def servers(self) -> tuple[int, int]:
        """The process ids of the database, whose children are its connections, and of the broker."""
        with psycopg.connect(self.postgresql) as connection:
            database_pid = psutil.Process(connection.info.backend_pid).ppid()
        return database_pid, int(redis.Redis.from_url(self.redis).info()["process_id"])

    def empty_broker(self) -> None:
        """Forget every message of earlier rounds."""
        redis.Redis.from_url(self.redis).flushall()


@contextmanager
def house() -> Iterator[House]:
    """Start the servers, and point the product in this process and its children at them."""
    with (
        tempfile.TemporaryDirectory(prefix="coinop-bench-") as folder,
        embedded.broker() as redis_url,
        embedded.postgresql() as postgresql_url,
    ):
        for name in CHOSEN:
            os.environ.pop(name, None)
        os.environ.update(
            COINOP_HOME=folder,
            SECRET_KEY="a secret of the benchmark, and long enough",
            JWT_SECRET_KEY="another secret of the benchmark, also long",
            FLOWER_PASSWORD="not-started",
            BROKER_URL=redis_url,
            REDIS_URL=redis_url,
            PRESET=str(BENCH_PRESET),
            MOCK_LATENCY_SECONDS="0",
            SUBMIT_RATE_LIMIT="1000000 per minute",
        )
        settings.cache_clear()
        yield House(postgresql_url, redis_url, Path(folder), count())


@contextmanager
def using(url: str) -> Iterator[None]:
    """Point the product in this process at a database."""
    os.environ["DATABASE_URL"] = url
    settings.cache_clear()
    database._engine.cache_clear()
    try:
        yield
    finally:
        database.engine().dispose()
        del os.environ["DATABASE_URL"]
        settings.cache_clear()
        database._engine.cache_clear()


def service(name: str, environment: Mapping[str, str]) -> Service:
    """One of the product's processes as `make up` starts it under these settings."""
    before = dict(os.environ)
    try:
        os.environ.update(environment)
        settings.cache_clear()
        return commands(settings())[name]
    finally:
        os.environ.clear()
        os.environ.update(before)
        settings.cache_clear()


@contextmanager
def running(
    name: str,
    environment: Mapping[str, str],
    folder: Path,
    *,
    bare: bool = False,
    wait: bool = True,
    worker: str = "",
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `service(name)` in a session of its own until the block ends; with `bare`, the baseline in its place.

    `worker` gives a Celery worker another name than its service's, so that two of them can be there.
    """
    started = service(name, environment)
    argv, ready = list(started.argv), started.ready
    if bare:
        swapped = {"wsgi:app": "bench.bare:app", "worker.app": "bench.bare:celery", "INFO": "WARNING"}
        argv = [swapped.get(part, part) for part in argv]
    if worker:
        argv = [part.replace(f"{name}@", f"{worker}@") for part in argv]
        ready = answers_celery(os.environ["BROKER_URL"], f"{worker}@{socket.gethostname()}")
    log = folder / f"{worker or name}.log"
    with log.open("ab") as file:
        process = subprocess.Popen(
            argv, cwd=ROOT, env={**os.environ, **environment, **started.env}, stdin=subprocess.DEVNULL, stdout=file,
            stderr=file, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while wait and not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                raise DidNotStart(f"{name} did not start: …{log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children at once; what they had in hand does not matter any more."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(2.0)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
