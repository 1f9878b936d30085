"""The listener: hears of the ends of jobs that are waited for in this process.

One thread has the one connection, and subscribes to the channel of each job as long as somebody here waits for it; it
starts with the first who does. A waiter gives an event, which is set whenever there is a reason to look at the job:
the subscription has begun, the end was announced, or the connection was lost and is back. So nothing that happens
between looking and waiting is missed: what ended before the subscription is seen by the look that the subscription
itself brings about.
"""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from worker.announcer import announces, channel, client

log = structlog.get_logger(__name__)

PING_SECONDS = 5.0
"""How long the broker may be silent before it is asked whether it is there, and how long it may then take to answer: a
connection whose other end has vanished looks like one where nothing happens."""

FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 5.0
"""How long to leave a broker alone that is away, longer each time."""


class Listener:
    """The listening thread of one process. With a broker that announces nothing it hears nothing."""

    def __init__(self, url: str) -> None:
        self._url = url if announces(url) else ""
        self._lock = threading.Lock()
        self._pid = 0
        self._waiting: dict[str, list[Event]] = {}
        self._subscribed: set[str] = set()
        """Channels that we have asked for."""
        self._heard: set[str] = set()
        """Channels that the broker has confirmed."""
        self._failing = False

    @contextmanager
    def listening(self, job_id: UUID, alarm: Event) -> Iterator[None]:
        """Set `alarm` whenever there is a reason to look at this job, until the block ends."""
        if not self._url:
            yield
            return
        name = channel(job_id)
        with self._lock:
            if self._pid != os.getpid():
                self._start()
            self._waiting.setdefault(name, []).append(alarm)
            if name in self._heard:
                alarm.set()
        self._poke()
        try:
            yield
        finally:
            with self._lock:
                self._waiting[name].remove(alarm)
                if not self._waiting[name]:
                    del self._waiting[name]
            self._poke()

    def hears(self, job_id: UUID) -> bool:
        """Whether the end of this job would be heard of right now."""
        return channel(job_id) in self._heard

    def _start(self) -> None:
        """After a fork the thread, its connection and its waiters are the parent's."""
        self._waiting, self._subscribed, self._heard = {}, set(), set()
        self._ear, self._mouth = socket.socketpair()
        self._ear.setblocking(False)
        self._mouth.setblocking(False)
        threading.Thread(target=self._run, name="listener", daemon=True).start()
        self._pid = os.getpid()

    def _poke(self) -> None:
        """Have the thread look at who waits."""
        with suppress(BlockingIOError):  # so full that it will
            self._mouth.send(b".")

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            self._until_somebody_waits()
            connection: Any = client(self._url).connection_pool.make_connection()
            try:
                connection.connect()
                pause = FIRST_PAUSE_SECONDS
                self._listen(connection)
            except (RedisError, OSError) as error:
                if not self._failing:
                    log.warning("endings_not_heard", error=type(error).__name__)
                self._failing = True
            except Exception:
                # What it was must not stop the listener.
                log.exception("listener_stumbled")
            finally:
                with self._lock:
                    self._subscribed, self._heard = set(), set()
                connection.disconnect()
            time.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    def _until_somebody_waits(self) -> None:
        while not self._waiting:
            self._poked(None)

    def _poked(self, line: socket.socket | None) -> bool:
        """Wait for a poke, or for something on the line, at most `PING_SECONDS`; say whether there was either."""
        poll = select.poll()
        for each in filter(None, (self._ear, line)):
            poll.register(each, select.POLLIN)
        ready = bool(poll.poll(PING_SECONDS * 1000))
        with suppress(BlockingIOError):
            self._ear.recv(4096)
        return ready

    def _listen(self, connection: Any) -> None:
        asked_at: float | None = None
        while True:
            if self._bring_in_line(connection):
                asked_at = asked_at or time.monotonic()
            ready = self._poked(connection._sock)
            while connection.can_read(0):
                asked_at = None
                self._heed(connection.read_response())
            if asked_at and time.monotonic() >= asked_at + PING_SECONDS:
                raise TimeoutError("the broker is silent")
            if not ready and not asked_at:
                connection.send_command("PING", check_health=False)
                asked_at = time.monotonic()

    def _bring_in_line(self, connection: Any) -> bool:
        """Subscribe to the channels that are waited for, and to no others; say whether anything was asked for."""
        with self._lock:
            wanted = set(self._waiting)
            new, old = wanted - self._subscribed, self._subscribed - wanted
            self._subscribed = wanted
            self._heard -= old
        if new:
            connection.send_command("SUBSCRIBE", *new, check_health=False)
        if old:
            connection.send_command("UNSUBSCRIBE", *old, check_health=False)
        return bool(new or old)

    def _heed(self, said: Any) -> None:
        # Asked while we are subscribed to nothing, the broker answers PONG without a list.
        if not isinstance(said, list) or said[0] not in (b"subscribe", b"message"):
            return
        what, name = said[0], said[1].decode()
        with self._lock:
            if what == b"subscribe" and name in self._subscribed:
                self._heard.add(name)
                self._failing = False
            for alarm in self._waiting.get(name, ()):
                alarm.set()
