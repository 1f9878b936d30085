"""Watching: no call outlives its time or its user's interest, whatever the other side does.

A client's own timeouts are for single waits, and a server that sends a byte now and then outlives all of them. So the
connections themselves know for which call they are waited on at the moment: each wait ends by the deadline of the whole
call, and every second somebody looks whether the user still wants the answer. Leaving a wait closes its connection,
and with it the work at the other end.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Protocol

import certifi
import httpcore2
import httpx2

from worker.ai.provider import Call, Refused, Unavailable
from worker.fetching import Deadline

CONNECT_SECONDS = 5.0
LOOK_SECONDS = 1.0
"""How soon a call notices that its user canceled: as soon as workers look for it."""

DRAIN_SECONDS = 0.5
"""How long the end of an answer is waited for that is complete already, as its connection can be used again then."""

MOST_BYTES = 64 * 2**20
"""What one call may bring in altogether. A large picture takes 20 MiB."""

PIECE = 64 * 1024

IDLE_CONNECTIONS, IDLE_SECONDS = 100, 30.0
"""How many connections wait for the next call, and for how long. In use there is no limit but that of the calls."""


class Limits(Protocol):
    """What a connection is asked to keep to."""

    def left(self, most: float) -> float:
        """Seconds that may still be waited, `most` at most. Raises what the wait is to end with, if there are none."""
        ...

    def came(self, size: int) -> None:
        """Count bytes that came in. Raises what is to be made of too many."""
        ...


class Watch:
    """How long a call may still take, and how much it may bring in."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._deadline = Deadline(call.timeout)
        self._room = MOST_BYTES

    def left(self, most: float) -> float:
        """Seconds until the call's time is up, `most` at most. Raises `Canceled`, and `Unavailable` when it is."""
        self._call.pause(0)
        try:
            return self._deadline.left(most)
        except TimeoutError:
            raise Unavailable("provider_timeout", "The provider did not answer in time.") from None

    def came(self, size: int) -> None:
        """Count bytes that came in. Raises `Refused` when they are more than an answer can need."""
        self._room -= size
        if self._room < 0:
            raise Refused("bad_answer", "The provider sends more than any answer needs.")

    @contextmanager
    def only(self, seconds: float) -> Iterator[None]:
        """Within the block, no more time than this."""
        usual, self._deadline = self._deadline, Deadline(self._deadline.left(seconds))
        try:
            yield
        finally:
            self._deadline = usual


_watch: ContextVar[Limits] = ContextVar("watch")
"""Of the call that this thread is at."""


@contextmanager
def watching(call: Call) -> Iterator[Watch]:
    """Within the block, all connections that this thread waits on keep to the limits of `call`."""
    watch = Watch(call)
    with keeping_to(watch):
        yield watch


@contextmanager
def keeping_to(limits: Limits) -> Iterator[None]:
    """Within the block, all connections that this thread waits on keep to these limits."""
    token = _watch.set(limits)
    try:
        yield
    finally:
        _watch.reset(token)


class WatchedStream(httpcore2.NetworkStream):
    """A connection that is waited on as the call at hand says; the timeouts that it is told are longer and ignored."""

    def __init__(self, inner: httpcore2.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        watch = _watch.get()
        while True:
            try:
                data = self._inner.read(max_bytes, watch.left(LOOK_SECONDS))
            except httpcore2.ReadTimeout:
                continue
            watch.came(len(data))
            return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        watch = _watch.get()
        for start in range(0, len(buffer), PIECE):
            try:
                self._inner.write(buffer[start : start + PIECE], watch.left(float("inf")))
            except httpcore2.WriteTimeout:
                raise Unavailable("provider_timeout", "The provider did not take the request in time.") from None

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> WatchedStream:
        seconds = _watch.get().left(CONNECT_SECONDS)
        return WatchedStream(self._inner.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class WatchedBackend(httpcore2.SyncBackend):
    """Makes connections that are watched."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> WatchedStream:
        seconds = _watch.get().left(CONNECT_SECONDS)
        return WatchedStream(super().connect_tcp(host, port, seconds, local_address, socket_options))


@cache
def _trusted() -> ssl.SSLContext:
    """Whose certificates are believed. Reading them takes longer than all else that a client is made of."""
    # What the machine trusts, or SSL_CERT_FILE says, is not enough: some containers trust nobody.
    trusted = httpx2.create_ssl_context()
    trusted.load_verify_locations(certifi.where())
    return trusted


class WatchedTransport(httpx2.HTTPTransport):
    """One pool of watched connections, for all threads."""

    def __init__(self) -> None:
        super().__init__(verify=_trusted())
        self._pool = httpcore2.ConnectionPool(
            ssl_context=_trusted(),
            max_connections=None,
            max_keepalive_connections=IDLE_CONNECTIONS,
            keepalive_expiry=IDLE_SECONDS,
            network_backend=WatchedBackend(),
        )


def watched_client() -> httpx2.Client:
    """A client whose every request belongs within `watching`. It follows no redirects, which would take the key to
    where it does not belong, and heeds no proxies of the environment."""
    return httpx2.Client(transport=WatchedTransport(), timeout=None, trust_env=False, follow_redirects=False)
