"""E-mail through a real SMTP server: what arrives there, and what becomes of mails that it does not take."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import pytest
from sqlalchemy.exc import OperationalError
from structlog.testing import capture_logs

import worker.mail
import worker.mail.smtp
from config import settings
from models import emails
from models.emails import EmailState
from ops.embedded import free_port
from tasks import email as task
from tests.mail.conftest import (
    MailServer,
    address_of,
    make_due,
    new_account,
    row,
    send,
    stage,
    state,
    wake_ups,
)
from worker.mail import circuit


def test_a_mail_arrives_whole(mail_server: MailServer) -> None:
    user_id = new_account(name="Zoë Grün, Dr.")
    email_id = stage(user_id=user_id)
    sent = send(email_id)
    assert (sent.state, sent.trouble, sent.attempts) == (EmailState.sent, None, 1)
    assert sent.ended_at is not None
    [envelope], [mail] = mail_server.envelopes, mail_server.messages
    assert (envelope.mail_from, envelope.rcpt_tos) == ("coinop@example.com", [address_of(user_id)])
    assert mail["From"] == "Coinop <coinop@example.com>"
    assert mail["To"].addresses[0].display_name == "Zoë Grün, Dr."
    assert mail["To"].addresses[0].addr_spec == address_of(user_id)
    assert mail["Subject"] == "Welcome to Coinop"
    assert mail["Message-ID"] == f"<{email_id}@example.com>"
    assert mail["Date"].datetime == sent.created_at.replace(microsecond=0)
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Unsubscribe"] is None
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.iter_parts()
    assert (text.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert text.get_content_charset() == html.get_content_charset() == "utf-8"
    assert "Hello Zoë Grün, Dr.," in text.get_content()
    assert "<p>Hello Zoë Grün, Dr.,</p>" in html.get_content()
    assert max(len(line) for line in (envelope.original_content or b"").splitlines()) <= 998


def test_mail_that_was_sent_is_not_sent_again(mail_server: MailServer) -> None:
    email_id = stage(user_id=new_account())
    first = send(email_id)
    make_due(email_id)
    assert send(email_id).attempts == first.attempts
    assert len(mail_server.envelopes) == 1


def test_only_notices_say_how_to_turn_them_off(mail_by: Callable[..., None], mail_server: MailServer) -> None:
    front = f"https://{'a-front-end-with-a-long-name.' * 4}example.com"
    mail_by(f"smtp://127.0.0.1:{mail_server.port}", APP_URL=front)
    user_id = new_account()
    send(stage("low_balance", user_id=user_id, wallet="credits", amount=3))
    send(stage("password_changed", user_id=user_id))
    notice, other = mail_server.messages
    assert notice["List-Unsubscribe"] == f"<{front}/profile>"
    assert f"List-Unsubscribe: <{front}/profile>\r\n".encode() in (mail_server.envelopes[0].original_content or b"")
    assert f"{front}/profile" in body(notice)
    assert other["List-Unsubscribe"] is None
    assert "/profile" not in body(other)


@pytest.mark.parametrize(
    "name",
    [
        "Eve\r\nBcc: everybody@example.com",
        "Eve\n\nA body of my own",
        # A header is decoded by whoever reads it, so what is encoded must not get there either.
        "=?utf-8?q?Eve=0D=0ABcc:_everybody@example.com?=",
        "=?utf-8?b?RXZlDQpCY2M6IGV2ZXJ5Ym9keUBleGFtcGxlLmNvbQ==?=",
        "Eve\u2028Bcc: everybody@example.com\x85\x00\x7f",
    ],
)
def test_no_name_makes_a_header(mail_server: MailServer, name: str) -> None:
    user_id = new_account(name=name)
    assert send(stage(user_id=user_id)).state is EmailState.sent
    [mail] = mail_server.messages
    assert mail.keys() == [
        "From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"
    ]  # fmt: skip
    assert mail_server.envelopes[0].rcpt_tos == [address_of(user_id)]
    assert len(mail["To"].addresses) == 1


@pytest.mark.parametrize(
    "address",
    [
        "=?utf-8?q?a=0d=0abcc=3a_x=40example.com=0d=0a?=@example.com",
        "nobody",
        "two@example.com, three@example.com",
        "a\r\nrcpt to:<b@example.com>@example.com",
    ],
)
def test_what_is_no_address_is_refused(mail_server: MailServer, address: str) -> None:
    email_id = stage("account_closed", recipient=address)
    send(email_id)
    assert state(email_id) == (EmailState.refused, "bad_address")
    assert mail_server.asked == 0


def test_addresses_of_all_languages(mail_server: MailServer) -> None:
    ours = "jörg@exämple.com"
    send(stage("account_closed", recipient=ours))
    [envelope] = mail_server.envelopes
    assert envelope.rcpt_tos == ["jörg@xn--exmple-cua.com"]
    assert "SMTPUTF8" in envelope.mail_options
    assert "\r\nTo: jörg@xn--exmple-cua.com\r\n".encode() in (envelope.original_content or b"")
    send(stage("account_closed", recipient="joerg@exämple.com"))
    assert mail_server.envelopes[1].rcpt_tos == ["joerg@xn--exmple-cua.com"]
    assert "SMTPUTF8" not in mail_server.envelopes[1].mail_options


def test_an_address_that_the_server_cannot_write_is_refused(mail_by: Callable[..., None]) -> None:
    server = MailServer(all_letters=False)
    server.start()
    mail_by(f"smtp://127.0.0.1:{server.port}")
    email_id = stage("account_closed", recipient="jörg@example.com")
    send(email_id)
    assert state(email_id) == (EmailState.refused, "address_unsupported")
    server.stop()


def test_what_passes_is_tried_again_as_the_same_mail(mail_server: MailServer) -> None:
    mail_server.rcpt_replies = ["451 4.7.1 Greylisted, try again"]
    mail_server.data_replies = ["452 4.3.1 Insufficient system storage"]
    email_id = stage("verify_address", user_id=new_account(verified=False))
    before = wake_ups()
    for trouble in ("later 451", "later 452"):
        send(email_id)
        assert state(email_id) == (EmailState.queued, trouble)
        send(email_id)
        assert row(email_id).trouble == trouble, "its time has not come"
        make_due(email_id)
    assert wake_ups() == before + 2, "each wait ends with a message"
    assert send(email_id).state is EmailState.sent
    assert row(email_id).attempts == 3
    [mail] = mail_server.messages
    assert mail["Message-ID"] == f"<{email_id}@example.com>"


@pytest.mark.parametrize("where", ["rcpt_replies", "data_replies"])
def test_what_will_not_pass_is_given_up(mail_server: MailServer, where: str) -> None:
    setattr(mail_server, where, ["550 5.1.1 <somebody@example.com>: no such user here"])
    email_id = stage(user_id=new_account())
    send(email_id)
    assert state(email_id) == (EmailState.refused, "refused 550")
    make_due(email_id)
    assert send(email_id).attempts == 1
    assert mail_server.envelopes == []
    assert mail_server.asked == 1


def test_a_server_that_refuses_us_refuses_no_mail(mail_server: MailServer) -> None:
    mail_server.mail_replies = ["553 5.7.1 Sender address rejected: not owned by you"]
    email_id = stage(user_id=new_account())
    with capture_logs() as logs:
        send(email_id)
    assert state(email_id) == (EmailState.queued, "sender_refused 553")
    assert [(line["event"], line["log_level"]) for line in logs] == [("mail_put_off", "error")]
    make_due(email_id)
    assert send(email_id).state is EmailState.sent


def test_how_a_server_says_goodbye_does_not_matter(mail_server: MailServer) -> None:
    mail_server.goes_away_after_data = True
    assert send(stage(user_id=new_account())).state is EmailState.sent
    assert len(mail_server.envelopes) == 1


def test_a_server_that_is_not_there_is_waited_for(mail_by: Callable[..., None]) -> None:
    server = MailServer()
    mail_by(f"smtp://127.0.0.1:{server.port}")
    email_id = stage(user_id=new_account())
    send(email_id)
    assert state(email_id) == (EmailState.queued, "connection ConnectionRefusedError")
    server.start()
    make_due(email_id)
    assert send(email_id).state is EmailState.sent
    server.stop()


@pytest.fixture
def silent() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


def test_a_server_that_says_nothing_is_not_waited_for_long(mail_by: Callable[..., None], silent: int) -> None:
    mail_by(f"smtp://127.0.0.1:{silent}", SMTP_TIMEOUT_SECONDS="0.2")
    email_id = stage(user_id=new_account())
    send(email_id)
    assert state(email_id) == (EmailState.queued, "timeout")


def test_a_server_that_is_slow_each_time_is_given_up(mail_by: Callable[..., None]) -> None:
    """Each answer comes within the timeout, but not all of them within what a whole talk may take."""

    def talk() -> None:
        peer, _ = listening.accept()
        with peer:
            while True:
                time.sleep(0.15)
                try:
                    peer.sendall(b"250-still here\r\n" * 20 + b"250 go on\r\n" if said else b"220 hello\r\n")
                    said.append(peer.recv(4096))
                except OSError:
                    return

    said: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        mail_by(f"smtp://127.0.0.1:{listening.getsockname()[1]}", SMTP_TIMEOUT_SECONDS="0.3")
        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        with mock.patch.object(worker.mail.smtp, "SLOW_ANSWERS", 1):
            email_id = stage(user_id=new_account())
            send(email_id)
        assert state(email_id) == (EmailState.queued, "timeout")
        assert said[0].lower().startswith(b"ehlo")
    thread.join(10)


def test_a_crash_after_the_server_took_it_sends_it_again_as_the_same_mail(mail_server_everywhere: MailServer) -> None:
    """At least once: the reader's program knows the second one by its Message-ID, and its link is the same."""
    email_id = stage("reset_password", recipient=address_of(new_account()))
    with mock.patch.object(emails, "sent", side_effect=SystemExit), pytest.raises(SystemExit):
        send(email_id)
    assert state(email_id) == (EmailState.queued, None)
    send(email_id)
    assert len(mail_server_everywhere.envelopes) == 1, "its lease has not run out"
    make_due(email_id)
    assert send(email_id).state is EmailState.sent
    first, second = mail_server_everywhere.messages
    assert first["Message-ID"] == second["Message-ID"] == f"<{email_id}@example.com>"
    assert first["Date"] == second["Date"]
    [[one], [other]] = [re.findall(r"token=([\w-]+)", body(mail)) for mail in (first, second)]
    assert one == other


def test_a_database_that_is_away_for_a_moment_sends_nothing_twice(mail_server: MailServer) -> None:
    email_id = stage(user_id=new_account())
    real = emails.sent
    away = iter([OperationalError("", {}, Exception()), OperationalError("", {}, Exception())])

    def sent(*args: Any) -> bool:
        for error in away:
            raise error
        return real(*args)

    with mock.patch.object(emails, "sent", sent), mock.patch.object(task, "PAUSES_SECONDS", (0, 0, 0)):
        send(email_id)
    assert row(email_id).state is EmailState.sent
    assert next(away, None) is None
    assert len(mail_server.envelopes) == 1


def test_no_log_line_has_an_address_or_what_the_server_said(mail_server: MailServer) -> None:
    said = "5.1.1 <zoe@example.com>: no such user"
    mail_server.rcpt_replies = [f"550 {said}", f"450 {said}"]
    with capture_logs() as logs:
        for _ in range(3):
            send(stage("account_closed", recipient="zoe@example.com"))
        with mock.patch.object(task, "compose", side_effect=ValueError("zoe@example.com is odd")):
            broken = stage("account_closed", recipient="zoe@example.com")
            send(broken)
    assert [line["event"] for line in logs] == ["mail_refused", "mail_put_off", "mail_sent", "mail_broke"]
    assert "zoe" not in str(logs)
    assert "no such user" not in str(logs)
    assert state(broken) == (EmailState.queued, "internal_error ValueError")


# -- a server that is away, and many mails


def test_nobody_waits_for_a_server_that_is_away(mail_by: Callable[..., None]) -> None:
    mail_by(f"smtp://127.0.0.1:{free_port()}")
    user_id = new_account()
    mails = [stage(user_id=user_id) for _ in range(20)]
    with mock.patch.object(worker.mail.smtp._Plain, "connect", autospec=True, side_effect=TimeoutError) as connect:
        for email_id in mails:
            send(email_id)
    assert connect.call_count == circuit.FAILURES
    troubles = [row(email_id).trouble for email_id in mails]
    assert troubles == ["timeout"] * circuit.FAILURES + ["server_away"] * (20 - circuit.FAILURES)
    assert {row(email_id).state for email_id in mails} == {EmailState.queued}


def test_a_server_that_does_not_like_single_mails_is_asked_for_the_next(mail_server: MailServer) -> None:
    mail_server.rcpt_replies = ["450 4.2.1 Mailbox busy"] * 10
    user_id = new_account()
    for email_id in [stage(user_id=user_id) for _ in range(11)]:
        send(email_id)
    assert mail_server.asked == 11
    assert len(mail_server.envelopes) == 1


def test_another_port_is_used_when_there_is_a_password() -> None:
    def port(url: str) -> int:
        return worker.mail.smtp.Smtp(url, timeout=1, name="example.com")._port

    assert [port(f"{url}mail.example.com") for url in ("smtp://", "smtp://a:b@", "smtps://a:b@")] == [25, 587, 465]
    assert port("smtp://mail.example.com:2525") == 2525


def test_a_lease_outlasts_the_longest_talk(mail_by: Callable[..., None]) -> None:
    mail_by(f"smtp://127.0.0.1:{free_port()}", SMTP_TIMEOUT_SECONDS="10")
    gateway = worker.mail.gateway_for(settings())
    assert gateway.longest_seconds > 10 * worker.mail.smtp.SLOW_ANSWERS


def body(mail: Any) -> str:
    return str(mail.get_body(("plain",)).get_content())
