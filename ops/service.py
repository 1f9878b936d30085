"""What a service is: how to start it, how to know it is ready, how to stop it."""

from __future__ import annotations

import http.client
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from signal import Signals
from typing import Any

PROBE_SECONDS = 0.5
"""How long one readiness probe may take; a local service that is slower is not ready."""

Probe = Callable[[], bool]
"""Says whether a service is ready; never raises, and takes about `PROBE_SECONDS` at most."""


@dataclass(frozen=True, slots=True)
class StopStep:
    """Send `signal`, then wait `grace` seconds before the next step. After the last one comes SIGKILL."""

    signal: Signals
    grace: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One long-running child process.

    `env` is added to the environment it inherits. `orphan_signal` is what the kernel sends it when the supervisor
    itself is killed (Linux only).
    """

    name: str
    argv: tuple[str, ...]
    ready: Probe
    env: Mapping[str, str] = field(default_factory=dict)
    stop: tuple[StopStep, ...] = (StopStep(signal.SIGTERM, 10),)
    orphan_signal: Signals = signal.SIGTERM


def local(host: str) -> str:
    """The address at which this machine reaches a server that listens on `host`."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # looked up, not bound


def in_url(host: str) -> str:
    """`host` as a URL writes it: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def answers_http(host: str, port: int, path: str) -> Probe:
    """A probe: GET `path` answers 200."""

    def probe() -> bool:
        # http.client and not urllib: a proxy named in the environment must not get between us and our own machine.
        connection = http.client.HTTPConnection(local(host), port, timeout=PROBE_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


def answers_ping(host: str, port: int) -> Probe:
    """A probe: the Redis protocol's PING answers PONG, which it does not while the append-only file is being read."""

    def probe() -> bool:
        try:
            with socket.create_connection((host, port), timeout=PROBE_SECONDS) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    return probe


def answers_celery(broker_url: str, worker: str) -> Probe:
    """A probe: the Celery worker `worker`, such as `generation@host`, answers a ping through the broker.

    It does so once it consumes its queues. Its log would say so too, but not at every log level.
    """

    def probe() -> bool:
        try:
            return bool(_celery(broker_url).control.ping(destination=[worker], timeout=PROBE_SECONDS))
        except Exception:  # each transport has its own errors for a broker that is away
            return False

    return probe


@cache
def _celery(broker_url: str) -> Any:
    from celery import Celery  # half a second that only those who wait for a worker spend

    app = Celery(broker=broker_url, set_as_current=False)
    # Redis and RabbitMQ each know their own two of these, and leave the others alone.
    options = {
        "socket_timeout": 2 * PROBE_SECONDS, "socket_connect_timeout": PROBE_SECONDS,
        "read_timeout": 2 * PROBE_SECONDS, "write_timeout": 2 * PROBE_SECONDS,
    }  # fmt: skip
    app.conf.update(broker_connection_timeout=PROBE_SECONDS, broker_transport_options=options)
    return app


def writes_file(path: Path) -> Probe:
    """A probe: a file whose name starts as `path` does was written since the probe was made, or last said yes.

    Starts, as the libraries that keep such files append what they like.
    """

    def newest() -> int:
        return max((file.stat().st_mtime_ns for file in path.parent.glob(f"{path.name}*")), default=0)

    before = newest()

    def probe() -> bool:
        nonlocal before
        now = newest()
        if now == before:
            return False
        before = now
        return True

    return probe
