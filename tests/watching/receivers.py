"""Receivers of traces and of reports, over HTTP, that keep what they are sent. They can refuse, and they can hang."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Wire

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Span:
    """A span as it came."""

    service: str
    name: str
    kind: str
    trace_id: str
    id: str
    parent: str
    links: tuple[str, ...]
    error: bool
    about: dict[str, Any]


@dataclass
class Receiver:
    """What came over HTTP: paths, headers, and bodies as they were before they were packed."""

    status: int = 200
    hangs: bool = False
    requests: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""
    asked: threading.Event = field(default_factory=threading.Event)
    let_go: threading.Event = field(default_factory=threading.Event)

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        self.asked.set()
        if self.hangs:
            self.let_go.wait(PATIENCE_SECONDS)
        elif self.status == 200:
            self.requests.append((path, headers, body))
        return self.status

    def text(self) -> str:
        """All that came, to be searched for what should not have."""
        return "\n".join(f"{path} {body.decode(errors='replace')}" for path, _, body in self.requests)

    @property
    def spans(self) -> list[Span]:
        found = []
        for path, headers, body in self.requests:
            assert (path, headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _told(resource.resource.attributes)["service.name"]
                found += [_span(service, each) for scope in resource.scope_spans for each in scope.spans]
        return found

    @property
    def events(self) -> list[dict[str, Any]]:
        """What was reported, in envelopes of Sentry's."""
        found = []
        for path, _, body in self.requests:
            assert path == "/api/7/envelope/"
            lines = [json.loads(line) for line in body.splitlines()]
            found += [
                payload for head, payload in zip(lines[1::2], lines[2::2], strict=True) if head["type"] == "event"
            ]
        return found

    def until(self, count: int, what: str = "events") -> list[Any]:
        """Wait until as many have come."""
        for _ in range(round(PATIENCE_SECONDS / 0.05)):
            if len(found := getattr(self, what)) >= count:
                return list(found)
            time.sleep(0.05)
        raise AssertionError(f"{count} {what} were expected, {getattr(self, what)} came")


def _told(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}


def _span(service: str, wire: Wire) -> Span:
    return Span(
        service=service,
        name=wire.name,
        kind=Wire.SpanKind.Name(wire.kind).removeprefix("SPAN_KIND_").lower(),
        trace_id=wire.trace_id.hex(),
        id=wire.span_id.hex(),
        parent=wire.parent_span_id.hex(),
        links=tuple(link.trace_id.hex() for link in wire.links),
        error=wire.status.code == 2,
        about=_told(wire.attributes),
    )


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(self.path, headers, body)
            try:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                """Who asked has gone, as we let them wait."""

        def log_message(self, *_: Any) -> None:
            """What came is looked at in the test."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.let_go.set()
        server.shutdown()
        server.server_close()
