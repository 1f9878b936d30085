"""Nobody finds out which addresses are known: the same status, body and statements. `make bench` has the time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import event
from werkzeug.test import TestResponse

from models.database import engine, now
from tests.accounts.people import ANN, OTHER_PASSWORD, change, join, log_in, verified
from tests.http.offers import sell

GRANTS = [{"wallet": "credits", "amount": 100}]


def _sign_up(client: FlaskClient, email: str) -> TestResponse:
    return client.post("/v1/auth/signup", json={"email": email, "password": "one more password"})


def _log_in(client: FlaskClient, email: str) -> TestResponse:
    return log_in(client, email, "one more password")


def _forgot(client: FlaskClient, email: str) -> TestResponse:
    return client.post("/v1/auth/forgot-password", json={"email": email})


def _resend(client: FlaskClient, email: str) -> TestResponse:
    return client.post("/v1/auth/resend-verification", json={"email": email})


def _named(client: FlaskClient) -> None:
    join(client)


def _verified(client: FlaskClient) -> None:
    verified(client)


def _verified_and_named(client: FlaskClient) -> None:
    verified(client)
    join(client, password=OTHER_PASSWORD)


def _closing(client: FlaskClient) -> None:
    """With the password that will be tried."""
    change(verified(client, password="one more password"), closing_at=now())


@pytest.mark.parametrize("credits_at", ["signup", "verification"])
@pytest.mark.parametrize("known", [_named, _verified, _verified_and_named, _closing])
def test_a_known_address_is_answered_like_an_unknown_one(
    client: FlaskClient, known: Callable[[FlaskClient], None], credits_at: str
) -> None:
    sell(signup_grants=GRANTS, signup={"credits_at": credits_at})
    known(client)
    for ask in (_log_in, _forgot, _resend, _sign_up):
        ask(client, "warm@example.com")  # whatever is worked out once
        with _statements() as to_unknown:
            unknown = ask(client, "bob@example.com")
        with _statements() as to_known:
            answer = ask(client, ANN)
        assert answer.status_code == unknown.status_code
        assert _plain(answer, ANN) == _plain(unknown, "bob@example.com")
        assert list(answer.headers.keys()) == list(unknown.headers.keys())
        assert len(to_known) > 2
        assert to_known == to_unknown


@contextmanager
def _statements() -> Iterator[list[str]]:
    """What the database is asked meanwhile, without the values, in order."""
    asked: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked.append(re.sub(r"\s+", " ", statement))

    event.listen(engine(), "before_cursor_execute", note)
    try:
        yield asked
    finally:
        event.remove(engine(), "before_cursor_execute", note)


def _plain(answer: TestResponse, email: str) -> Any:
    """The body, without what is another one for everybody."""
    text = answer.get_data(as_text=True).replace(email, "whoever")
    text = re.sub(r'"(access_token|refresh_token|created_at)": ?"[^"]+"', r'"\1": "…"', text)
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id", text)
