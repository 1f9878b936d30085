"""The load: a process of its own that sends ready-made requests over kept-alive connections and times the answers.

Plain sockets and one `epoll` loop, because it shares the machine with what it measures. With a rate, requests are due
at fixed moments and timed from when they were due, so that a server that stalls is charged for those it kept waiting.
"""

from __future__ import annotations

import json
import pickle
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from bench.watch import Cpu

ROOT = Path(__file__).resolve().parent.parent

UNIQUE = b"{unique}"
"""Where a request is to carry something different each time."""

PATIENCE_SECONDS = 60.0
CONNECTIONS = 16
"""As many as the product's front door has threads: two processes with eight each."""


@dataclass(frozen=True)
class Load:
    """What came back: answers by status, the seconds it took, and each answer's time in milliseconds, sorted.

    `processor` is what the watched processes used meanwhile, in seconds of one core.
    """

    statuses: dict[int, int]
    seconds: float
    times: list[float]
    processor: float

    @property
    def total(self) -> int:
        return sum(self.statuses.values())

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.total / self.seconds

    @property
    def cost(self) -> float:
        """Processor time for one answer, in microseconds: what a rate comes from."""
        return self.processor / max(self.total, 1) * 1e6

    def percentile(self, percent: float) -> float:
        """Milliseconds within which `percent` of the answers came."""
        return self.times[min(len(self.times) - 1, int(len(self.times) * percent / 100))]

    def share(self, status: int) -> float:
        """Which part of the answers had this status."""
        return self.statuses.get(status, 0) / max(self.total, 1)


@dataclass(frozen=True)
class Plan:
    """What to send where. `rate` is requests per second in all; None is as fast as the answers come. `watched` are
    the processes to take the processor time of, with their children."""

    port: int
    requests: Sequence[bytes]
    seconds: float
    warm_up: float = 1.0
    rate: float | None = None
    connections: int = CONNECTIONS
    watched: tuple[int, ...] = ()


def get(path: str, **headers: str) -> bytes:
    """A GET as bytes."""
    return _request("GET", path, headers, b"")


def post(path: str, body: object, **headers: str) -> bytes:
    """A POST of a JSON body as bytes."""
    return _request("POST", path, {**headers, "Content_Type": "application/json"}, json.dumps(body).encode())


def signed_post(path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
    """A POST of exactly this body as bytes, with headers by their own names."""
    return _request("POST", path, headers, body)


def _request(method: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: bench", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


class Fired:
    """A load that is being sent by another process."""

    def __init__(self, plan: Plan) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="coinop-load-")
        file = Path(self._folder.name) / "plan"
        file.write_bytes(pickle.dumps(plan))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load", str(file)], cwd=ROOT, stdout=subprocess.PIPE
        )
        self._patience = plan.warm_up + plan.seconds + PATIENCE_SECONDS

    def result(self) -> Load:
        """Wait for the end of it."""
        try:
            out, _ = self._process.communicate(timeout=self._patience)
        finally:
            self._process.kill()
            self._folder.cleanup()
        if self._process.returncode:
            raise RuntimeError("the load generator failed")
        load: Load = pickle.loads(out)
        return load


def fire(plan: Plan) -> Load:
    """Send a load from another process and wait for the end of it."""
    return Fired(plan).result()


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""
        self.due = 0.0

    def send(self, request: bytes, due: float) -> None:
        self.due = due
        self.socket.sendall(request)

    def status(self) -> int | None:
        """Read what is there; the status once the answer is whole."""
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("the server closed the connection")
        self.received += part
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        at = head.lower().find(b"\r\ncontent-length:")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return None
        self.received = b""
        return int(head[9:12])


class _Sender:
    """The loop itself."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.unique = uuid4().hex.encode()
        self.sent = 0
        self.connections: dict[int, _Connection] = {}
        self.poll = select.epoll()
        for _ in range(plan.connections):
            connection = _Connection(plan.port)
            self.connections[connection.socket.fileno()] = connection
            self.poll.register(connection.socket.fileno(), select.EPOLLIN)
        self.idle = deque(self.connections.values())

    def run(self) -> Load:
        begin = time.perf_counter()
        measured, end = begin + self.plan.warm_up, begin + self.plan.warm_up + self.plan.seconds
        statuses: Counter[int] = Counter()
        times: list[float] = []
        busy = 0
        used: Cpu | None = None
        while True:
            now = time.perf_counter()
            if used is None and now >= measured:
                used = Cpu(*self.plan.watched)
            if now < end:
                busy += self._send_due(begin, now)
            elif not busy:
                break
            for fileno, _ in self.poll.poll(self._pause(begin, now)):
                connection = self.connections[fileno]
                status = connection.status()
                if status is None:
                    continue
                busy -= 1
                self.idle.append(connection)
                answered = time.perf_counter()
                # Without a rate only what fits into the measured time counts; with one, all that was due in it.
                if connection.due >= measured and (self.plan.rate or answered <= end):
                    statuses[status] += 1
                    times.append((answered - connection.due) * 1000)
        return Load(dict(statuses), self.plan.seconds, sorted(times), used.seconds if used else 0.0)

    def _send_due(self, begin: float, now: float) -> int:
        sent = 0
        while self.idle:
            due = begin + self.sent / self.plan.rate if self.plan.rate else time.perf_counter()
            if due > now and self.plan.rate:
                break
            request = self.plan.requests[self.sent % len(self.plan.requests)]
            self.sent += 1
            sent += 1
            self.idle.popleft().send(request.replace(UNIQUE, b"%s-%d" % (self.unique, self.sent)), due)
        return sent

    def _pause(self, begin: float, now: float) -> float:
        if not self.plan.rate or not self.idle:
            return 0.05
        return min(0.05, max(0.0, begin + self.sent / self.plan.rate - now))


if __name__ == "__main__":
    # The plan was pickled under this module's own name.
    from bench import load as itself

    sys.stdout.buffer.write(pickle.dumps(itself._Sender(pickle.loads(Path(sys.argv[1]).read_bytes())).run()))
