"""People who sign up, log in and read their mail, and what the database has of them."""

from __future__ import annotations

from typing import Any, NamedTuple
from uuid import UUID

from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from models import one_time_tokens, users
from models.database import now, sessions
from models.emails import Email
from models.one_time_tokens import OneTimeToken, Purpose
from models.users import User
from tests.http.conftest import PASSWORD, Caller

ANN = "ann@example.com"
OTHER_PASSWORD = "a quite different one"


class Mail(NamedTuple):
    """An e-mail that was staged: which, and to whom."""

    template: str
    user_id: UUID | None
    recipient: str | None


def join(client: FlaskClient, email: str = ANN, password: str = PASSWORD, **more: Any) -> Caller:
    """Sign up, and be signed in."""
    answer = client.post("/v1/auth/signup", json={"email": email, "password": password, **more})
    assert answer.status_code == 201, answer.json
    return Caller(client, email, answer.json or {})


def log_in(
    client: FlaskClient, email: str = ANN, password: str = PASSWORD, *, from_: str = "192.0.2.1"
) -> TestResponse:
    return client.post(
        "/v1/auth/login", json={"email": email, "password": password}, environ_base={"REMOTE_ADDR": from_}
    )


def refresh(client: FlaskClient, token: str) -> TestResponse:
    return client.post("/v1/auth/refresh", json={"refresh_token": token})


def verify(client: FlaskClient, token: str) -> TestResponse:
    return client.post("/v1/auth/verify-email", json={"token": token})


def reset(client: FlaskClient, token: str, password: str = OTHER_PASSWORD) -> TestResponse:
    return client.post("/v1/auth/reset-password", json={"token": token, "password": password})


def id_of(caller: Caller) -> UUID:
    return UUID(caller.tokens["user"]["id"])


def link(caller: Caller, purpose: Purpose = Purpose.verify_email) -> str:
    """The token of the link that the user finds in an e-mail; a worker makes it when the mail is written."""
    with sessions() as session:
        return one_time_tokens.issue(session, user_id=id_of(caller), purpose=purpose, email=caller.email)


def verified(client: FlaskClient, email: str = ANN, **more: Any) -> Caller:
    """Sign up and verify the address."""
    caller = join(client, email, **more)
    answer = verify(client, link(caller))
    assert answer.status_code == 204, answer.json
    return caller


def user_of(caller: Caller) -> User:
    with sessions() as session:
        return users.get(session, id_of(caller))


def mails() -> list[Mail]:
    """Every e-mail that was staged, in order."""
    with sessions() as session:
        rows = session.execute(select(Email.template, Email.user_id, Email.recipient).order_by(Email.id))
        return [Mail(str(template), user_id, recipient) for template, user_id, recipient in rows]


def change(caller: Caller, **columns: Any) -> None:
    """Change the account behind everybody's back."""
    with sessions() as session:
        session.execute(update(User).where(User.id == id_of(caller)).values(**columns))


def let_links_run_out() -> None:
    with sessions() as session:
        session.execute(update(OneTimeToken).values(expires_at=now(-1)))


def code_of(answer: TestResponse) -> tuple[int, str]:
    """The status of a problem, and its code."""
    return answer.status_code, (answer.json or {})["code"]


NOT_GOOD = (410, "token_not_good")
WRONG = (401, "unauthorized")
SUSPENDED = (403, "account_suspended")
TOO_OFTEN = (429, "too_many_requests")
