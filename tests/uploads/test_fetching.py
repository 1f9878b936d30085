"""Fetching what users name: from real TLS servers, and never from where only we can reach."""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import pytest
import trustme

from tests.uploads.drawings import picture
from tests.uploads.inside import NOT_PUBLIC, SPELLINGS
from tests.uploads.servers import NAME, PUBLIC, PUBLIC_6, Guide, Script, Server, answer, authority, saying
from worker import fetching
from worker.ai.provider import ProviderError, Refused, Unavailable
from worker.fetching import fetch, way_out

URL = f"https://{NAME}/cat.png"
DATA = picture()
MOST = 50_000

Serve = Callable[..., Guide]


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, str]:
    return authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serve(ca: tuple[trustme.CA, str]) -> Iterator[Serve]:
    """Run a server with this script, good for these names; gives who leads there."""
    with ExitStack() as stack:

        def make(script: Script | bytes, *names: str, by: trustme.CA | None = None) -> Guide:
            certificate = (by or ca[0]).issue_cert(*(names or (NAME,)))
            server = Server(saying(script) if isinstance(script, bytes) else script, certificate)
            return Guide(stack.enter_context(server.running()), ca[1])

        yield make


def got(guide: Guide, url: str = URL, seconds: float = 10) -> bytes:
    return fetch(url, most_bytes=MOST, seconds=seconds, way=guide.way)


def trouble(guide: Guide, url: str = URL, seconds: float = 10) -> ProviderError:
    with pytest.raises(ProviderError) as raised:
        got(guide, url, seconds)
    return raised.value


def refused(guide: Guide, url: str = URL, code: str = "image_refused") -> str:
    error = trouble(guide, url)
    assert type(error) is Refused
    assert error.code == code
    return error.message


# What works


def test_a_picture_is_fetched(serve: Serve) -> None:
    guide = serve(answer(DATA))
    assert got(guide, f"https://{NAME}/a/b.png?size=1&x=%20#part") == DATA
    assert guide.asked == [NAME]
    assert guide.connected == [PUBLIC]
    assert guide.server.names == [NAME]
    assert guide.server.paths == ["/a/b.png?size=1&x=%20"]
    [headers] = guide.server.headers
    assert headers["host"] == NAME
    assert headers["accept-encoding"] == "identity"
    assert set(headers) == {"host", "user-agent", "accept", "accept-encoding", "connection"}, "and nothing of ours"


def test_other_spellings_of_a_name_lead_to_it(serve: Serve) -> None:
    guide = serve(answer(DATA), NAME, "xn--bcher-kva.example")
    for url in (f"HTTPS://{NAME.upper()}:443", f"https://{NAME}./", "https://bücher.example/"):
        assert got(guide, url) == DATA
    assert guide.server.names == [NAME, NAME, "xn--bcher-kva.example"]


def test_a_body_may_come_in_chunks_or_until_the_end(serve: Serve) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (DATA[:100], DATA[100:])) + b"0\r\n\r\n"
    assert got(serve(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)) == DATA
    assert got(serve(b"HTTP/1.0 200 OK\r\n\r\n" + DATA)) == DATA
    assert got(serve(answer(DATA, Content_Encoding="identity"))) == DATA


def test_a_public_address_needs_no_name(serve: Serve) -> None:
    guide = serve(answer(DATA), PUBLIC, PUBLIC_6)
    assert got(guide, f"https://{PUBLIC}/") == DATA
    assert got(guide, f"https://[{PUBLIC_6}]/") == DATA
    assert guide.asked == []
    assert guide.connected == [PUBLIC, PUBLIC_6]


def test_the_next_address_of_a_name_is_tried_when_one_is_out_of_reach(serve: Serve) -> None:
    guide = serve(answer(DATA))
    guide.names[NAME] = [[PUBLIC_6, PUBLIC]]
    guide.unreachable = {PUBLIC_6}
    assert got(guide) == DATA
    assert guide.connected == [PUBLIC_6, PUBLIC]
    guide.unreachable = {PUBLIC_6, PUBLIC}
    assert isinstance(trouble(guide), Unavailable)
    assert len(guide.asked) == 2


def test_redirects_are_followed(serve: Serve) -> None:
    def script(connection: ssl.SSLSocket, path: str) -> None:
        onward = {"/1": "/2", "/2": f"https://other.example/{3}", "/3": "//pictures.example/4"}
        body = DATA if path == "/4" else b""
        status = "200 OK" if body else "302 Found"
        connection.sendall(answer(body, status, Location=onward.get(path, "")))

    guide = serve(script, NAME, "other.example")
    assert got(guide, f"https://{NAME}/1") == DATA
    assert guide.server.paths == ["/1", "/2", "/3", "/4"]
    assert guide.asked == [NAME, NAME, "other.example", NAME], "each is looked up anew"
    assert isinstance(trouble(guide, f"https://{NAME}/0"), Refused), "one more is one too many"


# Where nobody goes


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_name_that_leads_inside_leads_nowhere(serve: Serve, address: str) -> None:
    guide = serve(answer(DATA))
    guide.names[NAME] = [[address]]
    assert "not of the public internet" in refused(guide)
    assert guide.connected == []
    assert guide.server.connections == 0


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_nor_does_the_address_itself(serve: Serve, address: str) -> None:
    guide = serve(answer(DATA))
    refused(guide, f"https://{f'[{address}]' if ':' in address else address}/")
    assert (guide.asked, guide.connected) == ([], [])


@pytest.mark.parametrize("url", SPELLINGS)
def test_no_spelling_of_an_inside_address_gets_through(serve: Serve, url: str) -> None:
    guide = serve(answer(DATA))
    refused(guide, url)
    assert (guide.asked, guide.connected) == ([], [])


@pytest.mark.parametrize("url", [url for url in SPELLINGS if not url.startswith(("//", "pictures")) and url])
def test_no_redirect_leads_there_either(serve: Serve, url: str) -> None:
    guide = serve(answer(status="302 Found", Location=url.encode("utf-8").decode("latin-1")))
    refused(guide)
    assert set(guide.connected) == {PUBLIC}, "some are another path of the same server, again and again"


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1"])
def test_a_redirect_to_a_name_that_leads_inside_is_not_followed(serve: Serve, address: str) -> None:
    guide = serve(answer(status="307 Temporary Redirect", Location="https://inside.example/"))
    guide.names["inside.example"] = [[address]]
    refused(guide)
    assert guide.asked == [NAME, "inside.example"]
    assert guide.connected == [PUBLIC]


def test_one_bad_address_of_a_name_is_enough(serve: Serve) -> None:
    guide = serve(answer(DATA))
    for addresses in ([PUBLIC, "127.0.0.1"], ["10.0.0.1", PUBLIC], [PUBLIC_6, "::1", PUBLIC], []):
        guide.names[NAME] = [addresses]
        refused(guide)
    assert guide.connected == []


def test_a_name_is_asked_for_once_so_that_it_cannot_change_its_answer(serve: Serve) -> None:
    guide = serve(answer(DATA))
    guide.names[NAME] = [[PUBLIC], ["127.0.0.1"]]
    assert got(guide) == DATA
    assert guide.asked == [NAME]
    assert guide.connected == [PUBLIC], "the very address that was looked at"
    refused(guide)


def test_the_environment_names_no_proxy(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert got(serve(answer(DATA))) == DATA


# Redirects without end, and into nothing


def test_redirects_have_an_end(serve: Serve) -> None:
    guide = serve(answer(status="301 Moved Permanently", Location="/again"))
    assert "from one address to the next" in refused(guide)
    assert len(guide.server.paths) == 4
    refused(serve(answer(status="302 Found")))


# Certificates


def test_a_certificate_must_be_for_the_name_and_by_an_authority(serve: Serve, tmp_path: Path) -> None:
    stranger, _ = authority(tmp_path)
    for guide in (serve(answer(DATA), "other.example"), serve(answer(DATA), NAME, by=stranger)):
        assert "no good certificate" in refused(guide, code="image_unavailable")
        assert guide.server.paths == []
    guide = serve(answer(DATA))
    assert "no good certificate" in refused(guide, f"https://{PUBLIC}/", code="image_unavailable")


def test_our_own_authority_is_nobodys_but_the_tests() -> None:
    way = way_out()
    assert way.context.verify_mode is ssl.CERT_REQUIRED
    assert way.context.check_hostname
    assert way.context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(way.context.get_ca_certs()) > 50
    assert (way.resolve, way.connect) == (fetching.resolve, fetching.connect)
    assert way_out() is way


def test_the_real_way_resolves_and_connects() -> None:
    assert {ip_address("127.0.0.1"), ip_address("::1")} & set(fetching.resolve("localhost"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with fetching.connect(ip_address("127.0.0.1"), port, 5) as connection:
            assert connection.getpeername() == ("127.0.0.1", port)


# Too much, too slow, too clever


def test_a_body_has_a_limit_whatever_it_says_of_itself(serve: Serve) -> None:
    exact = bytes(MOST)
    assert got(serve(answer(exact))) == exact
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    more = MOST + 1
    for script in (
        answer(b"", Content_Length=str(10**12)),  # it says so
        b"HTTP/1.0 200 OK\r\n\r\n" + bytes(more),  # it says nothing
        chunked + b"%x\r\n%s\r\n0\r\n\r\n" % (more, bytes(more)),
        answer(bytes(more), Content_Length="", X="1"),
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + bytes(more),
    ):
        assert "larger than 50000 bytes" in refused(serve(script))


def test_an_endless_body_is_left_once_it_is_too_long(serve: Serve) -> None:
    left = threading.Event()

    def script(connection: ssl.SSLSocket, path: str) -> None:
        try:
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                connection.sendall(bytes(65_536))
        except OSError:
            left.set()

    assert "larger than" in refused(serve(script))
    assert left.wait(10)


@pytest.mark.parametrize(
    "endless",
    [b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000, b"x"],
    ids=["interim answers", "one long header", "no line ends"],
)
def test_what_surrounds_a_body_has_a_limit_too(serve: Serve, endless: bytes) -> None:
    def script(connection: ssl.SSLSocket, path: str) -> None:
        while True:
            connection.sendall(endless * (65_536 // len(endless) + 1))

    error = trouble(serve(script))
    assert error.code in ("image_refused", "image_unavailable")


def test_trailers_without_end_are_not_read(serve: Serve) -> None:
    def script(connection: ssl.SSLSocket, path: str) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n")
        while True:
            connection.sendall(b"X: y\r\n" * 10_000)

    assert "larger than" in refused(serve(script))


def test_a_body_shorter_than_it_says_is_not_taken(serve: Serve) -> None:
    error = trouble(serve(answer(DATA, Content_Length=str(len(DATA) + 10))))
    assert (type(error), error.code) == (Unavailable, "image_unavailable")
    assert got(serve(answer(DATA, Content_Length="100"))) == DATA[:100], "which is no picture then"


def _drip(*pieces: bytes) -> Script:
    """Send the first piece, and then the others again and again, a byte at a time, for much longer than is waited."""

    def script(connection: ssl.SSLSocket, path: str) -> None:
        connection.sendall(pieces[0])
        pause = threading.Event()
        for byte in islice(cycle(b"".join(pieces[1:])), 200):
            connection.sendall(bytes((byte,)))
            pause.wait(0.02)

    return script


@pytest.mark.parametrize(
    "script",
    [
        _drip(b"HTTP/1.1 200 OK\r\n\r\n", b"x"),
        _drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
        _drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        _drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        lambda connection, path: threading.Event().wait(1.5),
    ],
    ids=["body", "headers", "chunks", "interim answers", "silence"],
)
def test_a_drip_past_the_deadline_is_not_waited_for(serve: Serve, script: Script) -> None:
    error = trouble(serve(script), seconds=0.6)
    assert (type(error), error.code) == (Unavailable, "image_unavailable")
    assert "in time" in error.message


def test_silence_has_a_limit_of_its_own(serve: Serve) -> None:
    with mock.patch.object(fetching, "SILENT_SECONDS", 0.3):
        error = trouble(serve(lambda connection, path: threading.Event().wait(1.0)), seconds=3600)
    assert "in time" in error.message


def test_a_server_that_says_nothing_while_it_should_secure_the_connection(serve: Serve) -> None:
    guide = serve(answer(DATA))
    with socket.create_server(("127.0.0.1", 0)) as mute:
        guide.server.port = mute.getsockname()[1]
        assert "in time" in trouble(guide, seconds=0.3).message


def test_a_bomb_is_not_unpacked(serve: Serve) -> None:
    bomb = gzip.compress(bytes(20_000_000))
    assert len(bomb) < MOST
    for encoding in ("gzip", "deflate", "br", "GZIP", "identity, gzip"):
        assert "packed" in refused(serve(answer(bomb, Content_Encoding=encoding)))


@pytest.mark.parametrize(
    ("status", "kind"),
    [(s, Unavailable) for s in ("500 No", "502 No", "503 No", "429 No", "408 No")]
    + [(s, Refused) for s in ("404 No", "403 No", "410 No", "401 No", "204 No", "206 Part", "304 No", "300 No")],
)
def test_every_other_answer_is_no_picture(serve: Serve, status: str, kind: type[ProviderError]) -> None:
    error = trouble(serve(answer(status=status, Content_Length="")))
    assert (type(error), error.code) == (kind, "image_unavailable")
    assert status[:3] in error.message


@pytest.mark.parametrize("said", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", b"SSH-2.0-OpenSSH_9\r\n"])
def test_what_is_no_http_is_no_picture(serve: Serve, said: bytes) -> None:
    assert isinstance(trouble(serve(said)), Unavailable)


@pytest.mark.parametrize(
    ("errno", "kind"),
    [
        (socket.EAI_NONAME, Refused),
        (socket.EAI_NODATA, Refused),
        (socket.EAI_AGAIN, Unavailable),
        (socket.EAI_FAIL, Unavailable),
    ],
)
def test_names_that_lead_nowhere(serve: Serve, errno: int, kind: type[ProviderError]) -> None:
    guide = serve(answer(DATA))

    def fail(name: str) -> NoReturn:
        raise socket.gaierror(errno, "no")

    with mock.patch.object(guide, "resolve", fail):
        error = trouble(guide)
    assert (type(error), error.code) == (kind, "image_unavailable")


def test_connections_are_closed_however_it_ends(serve: Serve) -> None:
    closed: list[Any] = []
    close = fetching.BoundedSocket._real_close  # type: ignore[attr-defined]

    def note(connection: Any) -> None:
        closed.append(connection)
        close(connection)

    with mock.patch.object(fetching.BoundedSocket, "_real_close", note):
        assert got(serve(answer(DATA))) == DATA
        for script in (
            answer(status="404 No"),
            answer(bytes(MOST + 1)),
            b"nonsense",
            answer(DATA, "302 x", Location="/"),
        ):
            trouble(serve(script))
    assert len(closed) >= 1 + 3 + 4
