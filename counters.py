"""Counters: what the processes of Coinop count and time of their own work, for Prometheus (docs/visibility.md).

Each process that serves, the web's and the workers', writes them to files in `COINOP_HOME/metrics`, in a folder named
for its service, so that whoever is asked on this machine can tell for all of them. A process that told no folder, such
as a command, counts for itself alone. Labels have few values: routes, statuses, kinds, providers, codes.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Histogram, values
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from config import settings

FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which the library, in this process and those it forks, knows where its files are."""

HTTP_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
WORK_BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
"""Upper bounds in seconds."""

FINAL = frozenset(("completed", "failed", "canceled"))
"""Endings of attempts that end their job as well."""

UNKNOWN = "none"

HERE = CollectorRegistry()
"""What this process counts. Each of these has labels: such a counter takes its place at its first use and not before,
when it is settled whether that is in a file."""

HTTP_REQUESTS = Counter(
    "coinop_http_requests", "Requests answered.", ("method", "route", "status"), registry=HERE
)  # fmt: skip
HTTP_SECONDS = Histogram(
    "coinop_http_request_seconds", "How long requests took that did not wait by wish.", ("method", "route"),
    buckets=HTTP_BUCKETS, registry=HERE,
)  # fmt: skip
JOBS = Counter("coinop_jobs", "Jobs that an attempt ended.", ("kind", "outcome"), registry=HERE)
ATTEMPTS = Counter("coinop_attempts", "Attempts at jobs.", ("provider", "outcome"), registry=HERE)
PROVIDER_SECONDS = Histogram(
    "coinop_provider_seconds", "How long providers took, answer or not.", ("provider", "kind"), buckets=WORK_BUCKETS,
    registry=HERE,
)  # fmt: skip
PROVIDER_ERRORS = Counter("coinop_provider_errors", "What providers did not do.", ("provider", "code"), registry=HERE)
RESCUES = Counter("coinop_rescues", "Jobs that a sweep found and put right.", ("found",), registry=HERE)
EMAILS = Counter("coinop_emails", "Attempts at e-mails.", ("outcome",), registry=HERE)
TASKS = Counter("coinop_tasks", "Tasks that workers ended.", ("task", "outcome"), registry=HERE)
TASK_SECONDS = Histogram(
    "coinop_task_seconds", "How long tasks took.", ("task",), buckets=WORK_BUCKETS, registry=HERE
)  # fmt: skip


_service = "command"


def known_as(service: str) -> None:
    """Say what this process, and those it forks, is for: `web`, `beat`, or the name of a worker."""
    global _service
    _service = service


def service() -> str:
    """What this process is for; `command` if it is none that serves."""
    return _service


def record_for(service: str) -> None:
    """Write what this process and those it forks count to the folder of `service`, from nothing on.

    To be called once, before anything is counted.
    """
    known_as(service)
    folder = settings().coinop_home / "metrics" / service
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ[FOLDER] = str(folder)
    # The library chose when it was imported, maybe before this.
    values.ValueClass = values.MultiProcessValue()  # type: ignore[no-untyped-call]


def counted(*, everybody: bool) -> Collector:
    """What this process counts; where it writes files, what all of its service do, or `everybody` on this machine."""
    if folder := os.environ.get(FOLDER):
        return _Files(Path(folder).parent if everybody else Path(folder), "*/*.db" if everybody else "*.db")
    return HERE


class _Files(Collector):
    def __init__(self, folder: Path, pattern: str) -> None:
        self._folder, self._pattern = folder, pattern

    def collect(self) -> Iterator[Metric]:
        yield from self._merged()

    def _merged(self) -> list[Metric]:
        for _ in range(3):
            try:
                files = sorted(str(path) for path in self._folder.glob(self._pattern))
                return list(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]
            except FileNotFoundError:  # a service began anew just now
                continue
        return []


@lru_cache(maxsize=2_000)
def _of_route(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return HTTP_REQUESTS.labels(method, route, str(status)), HTTP_SECONDS.labels(method, route)


def answered(method: str, route: str, status: int, seconds: float | None) -> None:
    """Count a request; one that waited because its caller wished so is not timed (None)."""
    count, time = _of_route(method, route, status)
    count.inc()
    if seconds is not None:
        time.observe(seconds)


def attempt_ended(kind: str, provider: str | None, ending: str) -> None:
    """Count an attempt, and its job if that ended with it."""
    ATTEMPTS.labels(provider or UNKNOWN, ending).inc()
    if ending in FINAL:
        JOBS.labels(kind, ending).inc()


@contextmanager
def asking(provider: str, kind: str) -> Iterator[None]:
    """Time a call to a provider, however it ends."""
    began = perf_counter()
    try:
        yield
    finally:
        PROVIDER_SECONDS.labels(provider, kind).observe(perf_counter() - began)
