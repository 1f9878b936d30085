"""A Stripe of our own, for what localstripe lacks: Checkout sessions, subscriptions to prices, schedules, disputes,
idempotency keys, and faults on demand.

It speaks Stripe's HTTP (forms in, JSON out) and is as strict: no key, another version, an unknown parameter or a
change without an idempotency key is an error. Behind it are the mock gateway's objects, so a test can have a customer
pay there. Every request is kept for tests to look at.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.payments.gateways.stripe_routes import ROUTES, Answer, Params
from worker.payments.stripe_client import API_VERSION

KEY = "sk_test_stub"
PATIENCE_SECONDS = 20.0
SLOW_SECONDS = 5.0


@dataclass
class Fault:
    """What goes wrong with one request: it is answered with `status`, or, when it is to be `cut` or `slow`, handled
    first and then cut off, or answered only when the caller has gone."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    cut: bool = False
    slow: bool = False


@dataclass(frozen=True)
class Seen:
    """One request as it came over the wire."""

    method: str
    path: str
    params: Params
    headers: dict[str, str]

    @property
    def key(self) -> str | None:
        return self.headers.get("idempotency-key")


class Stub:
    """The server; `seen` is what it was asked, `faults` what goes wrong with the next changes."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.faults: list[Fault] = []
        self._answers: dict[str, tuple[Params, Answer]] = {}
        self._one = threading.Lock()
        self.gone = threading.Event()
        self.url = ""

    def forget(self) -> None:
        self.seen.clear()
        self.faults.clear()
        self._answers.clear()

    def changes(self, path: str) -> list[Seen]:
        """The changes that were asked for at a path, as often as they came."""
        return [each for each in self.seen if each.method != "GET" and re.fullmatch(path, each.path)]

    def answer(self, asked: Seen) -> Answer:
        self.seen.append(asked)
        if asked.headers.get("authorization") != f"Bearer {KEY}":
            return 401, _error("invalid_request_error", "Invalid API Key provided: sk_test_****stub")
        if asked.headers.get("stripe-version") != API_VERSION:
            return 400, _error("invalid_request_error", "Another version of the API.")
        if asked.method == "GET":
            return self._do(asked)
        if asked.key is None:
            return 400, _error("invalid_request_error", "No idempotency key.", code="no_key")
        with self._one:
            if asked.key in self._answers:
                params, answer = self._answers[asked.key]
                if params != asked.params:
                    return 400, _error("idempotency_error", "The key came with other parameters before.")
                return answer
            answer = self._do(asked)
            self._answers[asked.key] = (asked.params, answer)
            return answer

    def _do(self, asked: Seen) -> Answer:
        for method, pattern, act in ROUTES:
            found = re.fullmatch(pattern, asked.path)
            if method == asked.method and found:
                return act(asked.params, *found.groups())
        return 404, _error("invalid_request_error", f"Unrecognized request URL ({asked.method}: {asked.path}).")


def _error(kind: str, message: str, **more: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message, **more}}


@contextmanager
def running() -> Iterator[Stub]:
    """The server, on a port of loopback."""
    stub = Stub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(stub))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield stub
    finally:
        stub.gone.set()
        server.shutdown()
        server.server_close()
        thread.join(PATIENCE_SECONDS)


def _handler(stub: Stub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            self._serve("GET")

        def do_POST(self) -> None:
            self._serve("POST")

        def do_DELETE(self) -> None:
            self._serve("DELETE")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
            pass

        def _serve(self, method: str) -> None:
            url = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            params = nested(parse_qsl(f"{url.query}&{body}", keep_blank_values=True))
            asked = Seen(method, url.path, params, {name.lower(): value for name, value in self.headers.items()})
            fault = stub.faults.pop(0) if stub.faults and method != "GET" else None
            if fault is not None and fault.status:
                stub.seen.append(asked)
                self._say(fault.status, fault.body or _error("api_error", "On demand."), fault.headers)
                return
            status, answer = stub.answer(asked)
            if fault is not None and fault.slow:
                stub.gone.wait(SLOW_SECONDS)
            if fault is not None:
                self.close_connection = True
                return
            self._say(status, answer, {})

        def _say(self, status: int, answer: dict[str, Any], headers: dict[str, str]) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", "Request-Id": "req_stub", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


def nested(pairs: list[tuple[str, str]]) -> Params:
    """`a[b][0][c]=1` as `{"a": {"b": [{"c": "1"}]}}`."""
    tree: dict[str, Any] = {}
    for name, value in pairs:
        *path, last = re.findall(r"[^\[\]]+", name)
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = value
    return {name: _lists(value) for name, value in tree.items()}


def _lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    inner = {name: _lists(each) for name, each in value.items()}
    if inner and all(name.isdigit() for name in inner):
        return [inner[name] for name in sorted(inner, key=int)]
    return inner


def wait_until(question: Callable[[], bool], *, seconds: float = PATIENCE_SECONDS) -> None:
    stop = time.monotonic() + seconds
    while not question():
        assert time.monotonic() < stop, "it did not happen in time"
        time.sleep(0.01)
