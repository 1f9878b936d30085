"""A server of our own that speaks as much of OpenAI's protocol as a test has it say.

For what the double by third parties does not do: pictures, sound, refusals, and being bad at the level of bytes. Each
request is answered by the next of `answers`, or by the last again; an answer is a function that is handed the
connection. What was asked is in `asked`.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

LONGEST_SECONDS = 10.0
"""After which an answer that never ends does end, should nobody leave it."""

Handler = BaseHTTPRequestHandler
Answer = Callable[[Handler], None]


@dataclass
class Asked:
    """A request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads(self.body))


@dataclass
class Scripted:
    answers: list[Answer] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    connections: int = 0
    """How many were made."""
    left: threading.Event = field(default_factory=threading.Event)
    """Set when a client leaves an answer before its end."""
    base_url: str = ""
    security: ssl.SSLContext | None = None
    """Makes it a server of https."""

    def answer_with(self, *answers: Answer) -> None:
        self.answers[:] = answers

    @contextmanager
    def running(self) -> Iterator[Scripted]:
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                script.connections += 1
                super().setup()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                number = len(script.asked)
                script.asked.append(Asked(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                try:
                    script.answers[min(number, len(script.answers) - 1)](self)
                except (ConnectionError, ssl.SSLError):
                    script.left.set()
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        if self.security is not None:
            server.socket = self.security.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        scheme = "https" if self.security else "http"
        self.base_url = f"{scheme}://127.0.0.1:{server.server_address[1]}/v1"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()


def body(data: bytes, *, status: int = 200, kind: str = "application/json", **headers: str) -> Answer:
    """These bytes, whole."""

    def answer(handler: Handler) -> None:
        _begin(handler, status, kind, headers, length=len(data))
        handler.wfile.write(data)

    return answer


def said(value: object, *, status: int = 200, **headers: str) -> Answer:
    """This value, as JSON."""
    return body(json.dumps(value).encode(), status=status, **headers)


def error(status: int, code: str | None = None, *, message: str = "No.", param: str = "", **headers: str) -> Answer:
    """An error in OpenAI's envelope."""
    what = {"message": message, "type": "invalid_request_error", "param": param or None, "code": code}
    return said({"error": what}, status=status, **headers)


def events(*heard: dict[str, Any], ending: bool = True, then: Answer | None = None, **headers: str) -> Answer:
    """A stream of these events; `then` goes on by hand."""

    def answer(handler: Handler) -> None:
        _begin(handler, 200, "text/event-stream", headers)
        for each in heard:
            _piece(handler, f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode())
        if then is not None:
            then(handler)
        if ending:
            _piece(handler, b"")
        else:
            handler.close_connection = True

    return answer


def response(*parts: dict[str, Any], status: str = "completed", **more: Any) -> dict[str, Any]:
    """The last event of a response, with these parts in its message."""
    usage = {"input_tokens": 40, "output_tokens": 20, "input_tokens_details": {"cached_tokens": 8}}
    message = {"type": "message", "role": "assistant", "content": list(parts)}
    output = [{"type": "reasoning", "summary": []}, message]
    return {
        "type": f"response.{status}",
        "response": {"id": "resp_1", "status": status, "output": output, "usage": usage, **more},
    }


def text(words: str) -> dict[str, Any]:
    return {"type": "output_text", "text": words, "annotations": []}


def delta(words: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "delta": words, "item_id": "m", "output_index": 0, "content_index": 0}


def analysis(replies: int = 3, **other: Any) -> str:
    """A good analysis, but for what is told."""
    good = {
        "summary": "They ask for Friday.", "tone": "warm", "intent": "wants to settle a date", "advice": "Say yes.",
        "suggestions": [f"Reply {number}" for number in range(replies)],
    }  # fmt: skip
    return json.dumps({**good, **other})


def picture_answer(data: bytes, **headers: str) -> Answer:
    usage = {"input_tokens": 12, "output_tokens": 1056, "total_tokens": 1068}
    made = {"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()}], "usage": usage}
    return body(json.dumps(made).encode(), status=200, kind="application/json", **headers)


def wav(seconds: float, *, rate: int = 24_000, size: int | None = None, extra: bytes = b"", bits: int = 16) -> bytes:
    """Sound as a server streams it: the header says `size`, which is anything, or the truth if None."""
    samples = b"\x01\x02" * round(seconds * rate)
    told = len(samples) if size is None else size
    form = struct.pack("<IHHIIHH", 16, 1, 1, rate, rate * bits // 8, bits // 8, bits)
    return b"RIFF\xff\xff\xff\xffWAVEfmt " + form + extra + b"data" + struct.pack("<I", told) + samples


def silence(handler: Handler) -> None:
    """Say nothing more, until the other side leaves."""
    handler.connection.settimeout(LONGEST_SECONDS)
    handler.close_connection = True
    with contextlib.suppress(TimeoutError):
        if handler.connection.recv(1) == b"":
            raise ConnectionResetError


def drip(handler: Handler) -> None:
    """A byte of a header, again and again."""
    handler.close_connection = True
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        handler.wfile.write(b".")
        time.sleep(0.02)


def flood(handler: Handler) -> None:
    """A body without end."""
    _begin(handler, 200, "application/json", {})
    until = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < until:
        _piece(handler, b" " * 2**20)


def reset(handler: Handler) -> None:
    """The connection ends as if the other machine were gone."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.wfile = io.BytesIO()  # there is nothing to flush any more
    handler.connection.close()


def cut(data: bytes) -> Answer:
    """Half of a body, and then the end of the connection."""

    def answer(handler: Handler) -> None:
        _begin(handler, 200, "application/json", {}, length=len(data))
        handler.wfile.write(data[: len(data) // 2])
        handler.close_connection = True

    return answer


def _begin(handler: Handler, status: int, kind: str, headers: dict[str, str], length: int | None = None) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", kind)
    if length is None:
        handler.send_header("Transfer-Encoding", "chunked")
    else:
        handler.send_header("Content-Length", str(length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def _piece(handler: Handler, data: bytes) -> None:
    handler.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
