"""What a connection to a mail server must be like before a password or a mail goes through it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import trustme
from structlog.testing import capture_logs

import worker.mail.smtp
from models.emails import EmailState
from tests.mail.conftest import MailServer, make_due, new_account, send, stage, state

PASSWORD = "p@ss:word/?"
QUOTED = "p%40ss%3Aword%2F%3F"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine trust the authority, as one does with one's own."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


def certificate(authority: trustme.CA, name: str = "localhost") -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.mark.usefixtures("trusting")
def test_a_password_goes_through_an_encrypted_connection(mail_by: Callable[..., None], authority: trustme.CA) -> None:
    server = MailServer(accounts={"coinop": PASSWORD})
    server.start(tls=certificate(authority))
    mail_by(f"smtp://coinop:{QUOTED}@localhost:{server.port}")
    assert send(stage(user_id=new_account())).state is EmailState.sent
    assert (server.encrypted, server.logged_in) == ([True], ["coinop"])
    server.stop()


def test_a_certificate_that_nobody_vouches_for_is_none(mail_by: Callable[..., None], authority: trustme.CA) -> None:
    server = MailServer(accounts={"coinop": PASSWORD})
    server.start(tls=certificate(authority))
    mail_by(f"smtp://coinop:{QUOTED}@localhost:{server.port}")
    email_id = stage(user_id=new_account())
    with capture_logs() as logs:
        send(email_id)
    assert state(email_id) == (EmailState.queued, "certificate")
    assert logs[-1]["log_level"] == "error"
    assert server.asked == 0
    server.stop()


@pytest.mark.usefixtures("trusting")
def test_a_certificate_for_another_name_is_none(mail_by: Callable[..., None], authority: trustme.CA) -> None:
    server = MailServer()
    server.start(tls=certificate(authority, "mail.example.com"))
    mail_by(f"smtp://localhost:{server.port}")
    email_id = stage(user_id=new_account())
    send(email_id)
    assert state(email_id) == (EmailState.queued, "certificate")
    server.stop()


@pytest.mark.usefixtures("trusting")
def test_encrypted_from_the_first_byte(mail_by: Callable[..., None], authority: trustme.CA) -> None:
    context = certificate(authority)
    taken: list[bytes] = []

    def serve() -> None:
        with listening.accept()[0] as peer, context.wrap_socket(peer, server_side=True) as talk:
            reader = talk.makefile("rb")
            talk.sendall(b"220 hello\r\n")
            for line in reader:
                taken.append(line)
                if line.upper().startswith(b"DATA"):
                    talk.sendall(b"354 go on\r\n")
                    while reader.readline() != b".\r\n":
                        pass
                talk.sendall(b"250 OK\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        mail_by(f"smtps://localhost:{listening.getsockname()[1]}")
        assert send(stage(user_id=new_account())).state is EmailState.sent
        thread.join(10)
    assert b"DATA\r\n" in [line.upper() for line in taken]


def test_no_password_is_sent_in_the_clear_to_another_machine(mail_by: Callable[..., None]) -> None:
    server = MailServer(accounts={"coinop": PASSWORD})
    server.start()
    mail_by(f"smtp://coinop:{QUOTED}@127.0.0.1:{server.port}")
    email_id = stage(user_id=new_account())
    with mock.patch.object(worker.mail.smtp, "_is_this_machine", return_value=False):
        send(email_id)
    assert state(email_id) == (EmailState.queued, "starttls_missing")
    assert server.asked == 0
    make_due(email_id)
    assert send(email_id).state is EmailState.sent, "to this machine it may go"
    assert (server.encrypted, server.logged_in) == ([False], ["coinop"])
    server.stop()


def test_which_machine_is_this_one() -> None:
    ours = ["localhost", "127.0.0.1", "127.0.1.1", "::1"]
    others = ["mail.example.com", "192.0.2.1", "localhost.example.com", "2001:db8::1"]
    is_this_machine = worker.mail.smtp._is_this_machine
    assert [is_this_machine(host) for host in ours] == [True] * 4
    assert [is_this_machine(host) for host in others] == [False] * 4


def test_a_wrong_password_is_our_fault_and_no_mail_is_lost(mail_by: Callable[..., None]) -> None:
    server = MailServer(accounts={"coinop": PASSWORD})
    server.start()
    mail_by(f"smtp://coinop:wrong@127.0.0.1:{server.port}")
    email_id = stage(user_id=new_account())
    with capture_logs() as logs:
        send(email_id)
    assert state(email_id) == (EmailState.queued, "login_failed 535")
    assert [(line["event"], line["log_level"]) for line in logs] == [("mail_put_off", "error")]
    server.stop()


def test_a_server_that_asks_for_no_password_was_named_wrongly(
    mail_by: Callable[..., None], mail_server: MailServer
) -> None:
    mail_by(f"smtp://coinop:{QUOTED}@127.0.0.1:{mail_server.port}")
    email_id = stage(user_id=new_account())
    send(email_id)
    assert state(email_id) == (EmailState.queued, "login_unsupported")
