"""The front door, asked in process; jobs are accepted and wait, for no worker is running here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from models.audit import audit
from models.database import sessions
from models.jobs import Job
from models.ledger import Transfer
from tests.audits import prove
from web.shelf import shelf

PASSWORD = "correct horse battery"


@pytest.fixture
def client(app: Any, database: str) -> Iterator[FlaskClient]:
    """Asks the front door on both databases; afterwards the books must balance."""
    shelf.look_again()
    yield app.test_client()
    prove(audit)


@dataclass
class Caller:
    """A signed-in user and what they can do."""

    client: FlaskClient
    email: str
    tokens: dict[str, Any]
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.tokens['access_token']}"}

    def get(self, path: str, **headers: str) -> TestResponse:
        return self.client.get(path, headers={**self.headers, **headers})

    def post(self, path: str, body: Any = None, **headers: str) -> TestResponse:
        given = {} if body is None else {"json": body}
        return self.client.post(path, headers={**self.headers, **headers}, **given)

    def submit(self, prompt: str = "hello", *, action: str = "chat", key: str | None = None) -> TestResponse:
        headers = {"Idempotency-Key": key} if key else {}
        return self.post("/v1/jobs", {"action": action, "input": {"prompt": prompt}}, **headers)

    def balance(self) -> dict[str, int]:
        balances: dict[str, dict[str, int]] = self.get("/v1/me").json["balances"]  # type: ignore[index]
        return balances["credits"]


@pytest.fixture
def sign_up(client: FlaskClient) -> Callable[[], Caller]:
    def make() -> Caller:
        email = f"{uuid4().hex}@example.com"
        answer = client.post("/v1/auth/signup", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.json
        return Caller(client, email, answer.json or {})

    return make


@pytest.fixture
def caller(sign_up: Callable[[], Caller]) -> Caller:
    return sign_up()


@pytest.fixture
def everything_stored() -> Callable[[], dict[str, int]]:
    """How many rows there are of what a submission writes."""

    def count() -> dict[str, int]:
        with sessions() as session:
            return {
                table.__tablename__: session.execute(select(func.count()).select_from(table)).scalar_one()
                for table in (Job, Transfer)
            }

    return count
