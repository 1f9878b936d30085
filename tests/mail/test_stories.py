"""Accounts by mail, as their owners live it: what a request stages is sent, and the link in it does what it says."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from config import settings
from models.database import sessions
from models.emails import Email, EmailState

PASSWORD, ANOTHER = "correct horse battery", "a horse of another colour"
ZOE, NEW = "zoe@example.com", "zoe.new@example.com"


class Postman:
    """Sends what is staged, and knows what has arrived."""

    def __init__(self, send: Callable[[UUID], None], folder: Path) -> None:
        self._send = send
        self._folder = folder

    def __call__(self) -> list[tuple[str, str, str]]:
        """Send all that waits; who got which template, and the token in it."""
        with sessions() as session:
            waiting = session.scalars(select(Email.id).where(Email.state == EmailState.queued).order_by(Email.id)).all()
        for email_id in waiting:
            self._send(email_id)
        arrived = [self._read(file) for file in sorted(self._folder.glob("*.eml"))]
        for file in self._folder.glob("*.eml"):
            file.unlink()
        return arrived

    @staticmethod
    def _read(file: Path) -> tuple[str, str, str]:
        mail: Any = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        tokens = re.findall(r"\?token=([\w-]+)", mail.get_body(("plain",)).get_content())
        return mail["To"].addresses[0].addr_spec, file.name.split("-")[3], "".join(tokens)


@pytest.fixture
def post(mail_anywhere: Callable[[UUID], None], tmp_path: Path) -> Postman:
    return Postman(mail_anywhere, tmp_path / "mail")


@pytest.fixture
def client(app: Any, post: Postman, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setenv("MAIL_RATE_LIMIT", "1000 per minute")
    settings.cache_clear()
    client: FlaskClient = app.test_client()
    return client


def ask(client: FlaskClient, path: str, *, status: int, access: str | None = None, **body: str) -> Any:
    headers = {"Authorization": f"Bearer {access}"} if access else {}
    answer = client.post(f"/v1{path}", json=body, headers=headers)
    assert answer.status_code == status, answer.json
    return answer.json


def test_an_account_by_mail(client: FlaskClient, post: Postman) -> None:
    signed_up = ask(client, "/auth/signup", status=201, email=ZOE, password=PASSWORD)
    [(to, template, link)] = post()
    assert (to, template) == (ZOE, "verify_address")
    ask(client, "/auth/resend-verification", status=202, email=ZOE)
    [(_, template, again)] = post()
    assert template == "verify_address"
    assert again != link
    ask(client, "/auth/verify-email", status=204, token=link)
    assert [mail[:2] for mail in post()] == [(ZOE, "welcome")]

    ask(client, "/auth/resend-verification", status=202, email=ZOE)
    ask(client, "/auth/forgot-password", status=202, email="nobody@example.com")
    assert post() == [], "nobody is to be told"
    ask(client, "/auth/signup", status=201, email=ZOE, password=ANOTHER)
    assert [mail[:2] for mail in post()] == [(ZOE, "already_registered")]

    ask(client, "/auth/forgot-password", status=202, email=ZOE)
    [(_, template, link)] = post()
    assert template == "reset_password"
    ask(client, "/auth/reset-password", status=204, token=link, password=ANOTHER)
    assert [mail[:2] for mail in post()] == [(ZOE, "password_changed")]

    tokens = ask(client, "/auth/login", status=200, email=ZOE, password=ANOTHER)
    assert tokens["user"]["id"] == signed_up["user"]["id"]
    ask(client, "/me/email", status=202, access=tokens["access_token"], email=NEW, current_password=ANOTHER)
    [(to, template, link)] = post()
    assert (to, template) == (NEW, "confirm_new_address")
    ask(client, "/auth/confirm-email", status=204, token=link)
    assert [mail[:2] for mail in post()] == [(ZOE, "address_changed")]
