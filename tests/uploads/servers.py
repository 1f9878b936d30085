"""A real TLS server on this machine with certificates of an authority of our own, and the way that leads there.

Whatever public address is asked for, the connection ends at the server; that is the only thing a test changes. Which
addresses are public, and what a certificate must say, is decided as ever.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

import trustme

from worker.fetching import Address, Way, trusting

NAME = "pictures.example"
PUBLIC = "93.184.215.14"
PUBLIC_6 = "2606:2800:21f:cb07:6820:80da:af6b:8b2c"

Script = Callable[[ssl.SSLSocket, str], None]
"""What the server does once it has read a request for this path."""


def answer(body: bytes = b"", status: str = "200 OK", **headers: str) -> bytes:
    said = {"Content-Length": str(len(body)), **{name.replace("_", "-"): value for name, value in headers.items()}}
    lines = "".join(f"{name}: {value}\r\n" for name, value in said.items() if value)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


def saying(data: bytes) -> Script:
    """Send this, whatever is asked for."""
    return lambda connection, path: connection.sendall(data)


@dataclass
class Server:
    """Notes what it was asked: the path, the headers, and the name that the connection was secured for."""

    script: Script
    certificate: trustme.LeafCert
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    connections: int = 0
    port: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[Server]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.certificate.configure_cert(context)
        context.sni_callback = lambda _, name, __: self.names.append(name)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            thread = threading.Thread(target=self._serve, args=(listener, context), daemon=True)
            thread.start()
            try:
                yield self
            finally:
                self.stopped.set()
                with suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                thread.join(10)

    def _serve(self, listener: socket.socket, context: ssl.SSLContext) -> None:
        while not self.stopped.is_set():
            try:
                plain, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            with suppress(OSError), context.wrap_socket(plain, server_side=True) as connection:
                connection.settimeout(10)
                self._talk(connection)

    def _talk(self, connection: ssl.SSLSocket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            piece = connection.recv(4096)
            if not piece:
                return
            request += piece
        first, *rest = request.decode().partition("\r\n\r\n")[0].split("\r\n")
        path = first.split(" ")[1]
        self.paths.append(path)
        self.headers.append({name.lower(): value for name, _, value in (line.partition(": ") for line in rest)})
        self.script(connection, path)


@dataclass
class Guide:
    """Leads to a server. `names` says where a name leads, one list for each time it is asked; the last one stays."""

    server: Server
    authorities: str
    names: dict[str, list[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    connected: list[str] = field(default_factory=list)
    unreachable: set[str] = field(default_factory=set)

    def resolve(self, name: str) -> Sequence[Address]:
        self.asked.append(name)
        answers = self.names.get(name, [[PUBLIC]])
        return [ip_address(each) for each in (answers.pop(0) if len(answers) > 1 else answers[0])]

    def connect(self, address: Address, port: int, seconds: float) -> socket.socket:
        assert port == 443
        self.connected.append(str(address))
        if str(address) in self.unreachable:
            raise OSError("unreachable")
        return socket.create_connection(("127.0.0.1", self.server.port), seconds)

    @property
    def way(self) -> Way:
        return Way(self.resolve, self.connect, trusting(self.authorities))


def authority(folder: Path) -> tuple[trustme.CA, str]:
    """An authority, and the file that says to trust it."""
    made = trustme.CA()
    file = folder / "authority.pem"
    made.cert_pem.write_to_path(str(file))
    return made, str(file)
