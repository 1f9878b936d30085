"""Fetching: the one way out to addresses that users name.

A name is resolved once; every address that comes of it must be public, and the connection goes to one of these very
addresses, so a name that leads elsewhere a moment later leads nobody there. Certificates are checked for the name. A
redirect is another address that somebody named: each is taken apart and checked like the first. No proxy, cookie or
credential of ours has a part in it. Time and size have limits however slowly or much the other side sends.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import urljoin

import certifi
from pydantic.networks import HttpUrl

from models.public_urls import HTTPS_PORT, is_public, parse
from worker.ai.provider import Refused, Unavailable

MOST_REDIRECTS = 3
MOST_ADDRESSES = 4
"""How many addresses of one name are tried: a machine without IPv6 must come to those of IPv4."""

CONNECT_SECONDS = 5.0
SILENT_SECONDS = 10.0
"""How long the other side may say nothing. It may not go on saying a little either: there is a limit for the whole."""

PIECE = 64 * 1024
AROUND_A_BODY = 256 * 1024
"""Bytes for headers, and an eighth of the body for its chunks' sizes."""

PASSING = frozenset((408, 425, 429))
"""Answers below 500 that mean: later perhaps."""

NO_SUCH_NAME = frozenset((socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)))

REDIRECTS = frozenset((301, 302, 303, 307, 308))

PICTURES = "image/png, image/jpeg, image/webp, image/gif"

HEADERS = (
    ("User-Agent", "Coinop"),
    ("Accept-Encoding", "identity"),
    ("Connection", "close"),
)

Address = IPv4Address | IPv6Address


class Deadline:
    """A moment by which everything must be over."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, most: float) -> float:
        """Seconds until then, `most` at most. Raises `TimeoutError` when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(left, most)


class TooMuch(Exception):
    """The other side sends more than a picture can need."""


class BoundedSocket(ssl.SSLSocket):
    """A secure connection on which every single wait ends by the deadline of the whole, and only so many bytes come in:
    a body has a limit of its own, but what surrounds it would have none."""

    deadline: Deadline
    room: int

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        self.settimeout(self.deadline.left(SILENT_SECONDS))
        received = super().recv_into(buffer, nbytes, flags)
        self.room -= received
        if self.room < 0:
            raise TooMuch
        return received


def trusting(authorities: str) -> ssl.SSLContext:
    """What makes connections secure: certificates must be by one of the authorities in this file."""
    context = ssl.create_default_context(cafile=authorities)
    context.sslsocket_class = BoundedSocket
    return context


def resolve(name: str) -> Sequence[Address]:
    """The addresses of a name, best first. How long that may take is the system's to say. Raises `OSError`."""
    # As bytes: the name is in its ASCII form already and shall be asked for as it is.
    found = socket.getaddrinfo(name.encode("ascii"), HTTPS_PORT, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(ip_address(each[4][0]) for each in found))


def connect(address: Address, port: int, seconds: float) -> socket.socket:
    """A connection to exactly this address. Raises `OSError`."""
    return socket.create_connection((str(address), port), seconds)


@dataclass(frozen=True, slots=True)
class Way:
    """How to get out. Tests have another one, which ends at servers of their own."""

    resolve: Callable[[str], Sequence[Address]]
    connect: Callable[[Address, int, float], socket.socket]
    context: ssl.SSLContext


@cache
def way_out() -> Way:
    return Way(resolve, connect, trusting(certifi.where()))


def fetch(url: str, *, most_bytes: int, seconds: float, accept: str = PICTURES, way: Way | None = None) -> bytes:
    """What is at an address, `most_bytes` at most, within `seconds`; `accept` says which media types are welcome.

    Raises `Refused` with `image_refused` when nobody should go there or take what is there, and with
    `image_unavailable` when it is not there; `Unavailable` when another time may be better.
    """
    way, deadline = way or way_out(), Deadline(seconds)
    try:
        for _ in range(MOST_REDIRECTS + 1):
            address = _parse(url)
            with _connected(address, way, deadline) as connection:
                connection.room = most_bytes + most_bytes // 8 + AROUND_A_BODY
                with closing(_ask(connection, address, accept)) as response:
                    if response.status not in REDIRECTS:
                        return _body(response, most_bytes)
                    url = urljoin(str(address), response.headers.get("Location", ""))
    except TooMuch:
        raise _too_large(most_bytes) from None
    except TimeoutError:
        raise Unavailable("image_unavailable", "The picture did not come in time.") from None
    except ssl.SSLCertVerificationError:
        raise Refused("image_unavailable", "The server of the picture has no good certificate.") from None
    except (OSError, HTTPException):
        raise Unavailable("image_unavailable", "The picture could not be fetched from its server.") from None
    raise _refused("its server sends us from one address to the next")


def _refused(why: str) -> Refused:
    return Refused("image_refused", f"The picture was not fetched: {why}.")


def _too_large(most_bytes: int) -> Refused:
    return _refused(f"it is larger than {most_bytes} bytes")


def _parse(url: str) -> HttpUrl:
    try:
        return parse(url)
    except ValueError:
        raise _refused("its address, or one that it leads to, is not of the public internet") from None


def _connected(address: HttpUrl, way: Way, deadline: Deadline) -> BoundedSocket:
    """A secure connection to the host of this address. Raises `OSError`, `TimeoutError`, `Refused`."""
    name = _name(address)
    places = _places(name, way)
    for place in places[:MOST_ADDRESSES]:
        try:
            plain = way.connect(place, HTTPS_PORT, deadline.left(CONNECT_SECONDS))
            break
        except OSError as error:
            trouble = error
    else:
        raise trouble
    try:
        plain.settimeout(deadline.left(SILENT_SECONDS))
        secure = way.context.wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise
    assert isinstance(secure, BoundedSocket)  # noqa: S101  # for the types: the context makes no other
    secure.deadline = deadline
    return secure


def _places(name: str, way: Way) -> Sequence[Address]:
    """Where a name leads, asked once. One address that is not public condemns them all: it is no accident."""
    try:
        places: Sequence[Address] = (ip_address(name),)
    except ValueError:
        try:
            places = way.resolve(name)
        except socket.gaierror as error:
            if error.errno not in NO_SUCH_NAME:
                raise
            raise Refused("image_unavailable", "The server of the picture does not exist.") from None
    if not places or not all(is_public(place) for place in places):
        raise _refused("its address is not of the public internet")
    return places


def _name(address: HttpUrl) -> str:
    return (address.host or "").strip("[]").rstrip(".")


def _ask(secure: BoundedSocket, address: HttpUrl, accept: str) -> HTTPResponse:
    """Send the request and read the answer up to its body."""
    connection = HTTPConnection(address.host or "")
    connection.sock = secure
    target = (address.path or "/") + (f"?{address.query}" if address.query else "")
    connection.putrequest("GET", target, skip_host=True, skip_accept_encoding=True)
    connection.putheader("Host", (address.host or "").rstrip("."))
    for name, value in (*HEADERS, ("Accept", accept)):
        connection.putheader(name, value)
    connection.endheaders()
    return connection.getresponse()


def _body(response: HTTPResponse, most_bytes: int) -> bytes:
    status, said = response.status, response.length
    if status >= 500 or status in PASSING:
        raise Unavailable("image_unavailable", f"The server of the picture answers {status}.")
    if status != 200:
        raise Refused("image_unavailable", f"The server of the picture answers {status}.")
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise _refused("it comes packed, which was not asked for")
    data = bytearray()
    if said is None or said <= most_bytes:
        while piece := response.read(min(PIECE, most_bytes + 1 - len(data))):
            data += piece
            if len(data) > most_bytes:
                break
        else:
            if said is not None and len(data) < said:
                raise ConnectionError("it was cut off")
            return bytes(data)
    raise _too_large(most_bytes)
