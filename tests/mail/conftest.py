"""E-mail in tests: users, staged mails, and a real SMTP server in this process that says what a test wants."""

from __future__ import annotations

import asyncio
import email.policy
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from sqlalchemy import select

import worker.mail
from config import settings
from models import emails, users
from models.database import sessions
from models.emails import Email, EmailState
from models.outbox import Outbox
from ops.embedded import free_port
from tasks.email import deliver

ACCEPTED = "250 OK"
WRONG = "535 5.7.8 Authentication credentials invalid"


@dataclass
class MailServer:
    """A mail server. It gives the scripted replies one after the other, then it accepts everything."""

    port: int = field(default_factory=free_port)
    rcpt_replies: list[str] = field(default_factory=list)
    data_replies: list[str] = field(default_factory=list)
    mail_replies: list[str] = field(default_factory=list)
    goes_away_after_data: bool = False
    all_letters: bool = True
    """Whether it takes addresses that are not ASCII."""
    accounts: dict[str, str] = field(default_factory=dict)
    asked: int = 0
    """How many messages were offered, accepted or not."""
    envelopes: list[Envelope] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    logged_in: list[Any] = field(default_factory=list)
    controller: Controller | None = None

    # What aiosmtpd calls
    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.mail_replies:
            return self.mail_replies.pop(0)
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return ACCEPTED

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self.asked += 1
        if self.rcpt_replies:
            return self.rcpt_replies.pop(0)
        envelope.rcpt_tos.append(address)
        return ACCEPTED

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data_replies:
            return self.data_replies.pop(0)
        self.envelopes.append(envelope)
        self.encrypted.append(session.ssl is not None)
        self.logged_in.append(session.auth_data)
        return ACCEPTED

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.goes_away_after_data:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return "221 Bye"

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        right = self.accounts.get(data.login.decode()) == data.password.decode()
        return AuthResult(success=right, handled=right, auth_data=data.login.decode())

    # What tests do
    def start(self, *, tls: ssl.SSLContext | None = None) -> None:
        options: dict[str, Any] = {
            "tls_context": tls,
            "require_starttls": tls is not None,
            "enable_SMTPUTF8": self.all_letters,
        }
        if self.accounts:
            options |= {"authenticator": self.authenticate, "auth_required": True, "auth_require_tls": False}
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, ready_timeout=30, **options)
        self.controller.start()

    def stop(self) -> None:
        if self.controller is not None:
            self.controller.stop()
            self.controller = None

    @property
    def messages(self) -> list[EmailMessage]:
        """The mails that were taken, as their reader's program understands them."""
        parsed = []
        for envelope in self.envelopes:
            assert isinstance(envelope.original_content, bytes)
            message = email.message_from_bytes(envelope.original_content, policy=email.policy.default)
            assert isinstance(message, EmailMessage)
            parsed.append(message)
        return parsed


@pytest.fixture
def mail_by(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Choose where the mails of this process go, and other settings; on SQLite."""
    return _chooser(monkeypatch)


@pytest.fixture
def mail_server(mail_by: Callable[..., None]) -> Iterator[MailServer]:
    """A running mail server, on SQLite; mails go there."""
    server = MailServer()
    server.start()
    mail_by(f"smtp://127.0.0.1:{server.port}")
    yield server
    server.stop()


@pytest.fixture
def mail_server_everywhere(database: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[MailServer]:
    """A running mail server, on both databases; mails go there."""
    server = MailServer()
    server.start()
    _chooser(monkeypatch)(f"smtp://127.0.0.1:{server.port}")
    yield server
    server.stop()


def _chooser(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def choose(smtp_url: str, **more: str) -> None:
        usual = {"SMTP_TIMEOUT_SECONDS": "5", "MAIL_FROM": "Coinop <coinop@example.com>", "APP_URL": ""}
        for name, value in {**usual, "SMTP_URL": smtp_url, **more}.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        worker.mail._gateway.cache_clear()

    return choose


def new_account(*, verified: bool = True, email: str | None = None, **columns: Any) -> UUID:
    """An account; `columns` are set as they are."""
    with sessions() as session:
        user = users.register(session, email=email or f"{uuid4().hex}@example.com", password_hash="x")
        for name, value in columns.items():
            setattr(user, name, value)
        session.flush()
        if verified:
            users.verify(session, user.id)
    return user.id


def address_of(user_id: UUID) -> str:
    with sessions() as session:
        return users.get(session, user_id).email or ""


def stage(template: str = "welcome", *, key: str | None = None, **given: Any) -> UUID:
    """Stage a mail and return its id."""
    key = key or uuid4().hex
    with sessions() as session:
        assert emails.stage(session, key=key, template=template, **given)
        return session.scalars(select(Email.id).where(Email.key == key)).one()


def send(email_id: UUID) -> Email:
    """Have a worker look at a mail once, and return its row."""
    deliver(str(email_id))
    return row(email_id)


def row(email_id: UUID) -> Email:
    with sessions() as session:
        return session.get_one(Email, email_id)


def state(email_id: UUID) -> tuple[EmailState, str | None]:
    found = row(email_id)
    return found.state, found.trouble


def make_due(email_id: UUID) -> None:
    """Let the wait for the next attempt be over."""
    with sessions() as session:
        session.get_one(Email, email_id).due_at = row(email_id).created_at


def wake_ups() -> int:
    """How many messages for the mail worker are staged."""
    with sessions() as session:
        return len(session.scalars(select(Outbox.id).where(Outbox.task == emails.DELIVER_TASK)).all())


@pytest.fixture
def mail_anywhere(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[UUID], None]:
    """Have a worker look at a mail once, and send it into a folder; on both databases."""
    _chooser(monkeypatch)(f"file://{tmp_path}/mail")
    return lambda email_id: deliver(str(email_id))
