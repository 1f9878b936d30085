"""How often anybody may try: counted in the database, for there is no broker here at all."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from werkzeug.test import TestResponse

from config import settings
from models import tries
from models.database import moment, now, sessions
from models.tries import TryWindow
from ops.embedded import free_port
from tasks import retention
from tests.accounts.people import ANN, OTHER_PASSWORD, TOO_OFTEN, WRONG, code_of, join, log_in, refresh, verified

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.9"
Limit = Callable[..., None]


@pytest.fixture
def limit(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Set limits; nobody listens where the broker should be."""

    def set_limits(**limits: str) -> None:
        for name, words in limits.items():
            monkeypatch.setenv(f"{name.upper()}_RATE_LIMIT", words)
        nobody = f"redis://127.0.0.1:{free_port()}/0"
        monkeypatch.setenv("BROKER_URL", nobody)
        monkeypatch.setenv("REDIS_URL", nobody)
        settings.cache_clear()

    return set_limits


def test_failed_log_ins_are_limited_with_no_broker_at_all(client: FlaskClient, limit: Limit) -> None:
    limit(login="3 per 15 minutes")
    broker = urlsplit(settings().broker_url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((broker.hostname, broker.port), timeout=1)
    verified(client)
    assert [code_of(_fail(client)) for _ in range(3)] == [WRONG] * 3
    refused = log_in(client)
    assert code_of(refused) == TOO_OFTEN, "the right password comes too late as well"
    problem = refused.json or {}
    assert (problem["limit"], problem["per_seconds"]) == (3, 900)
    assert 0 < problem["retry_after"] <= 900
    assert refused.headers["Retry-After"] == str(problem["retry_after"])


def test_an_unknown_address_is_limited_like_a_known_one(client: FlaskClient, limit: Limit) -> None:
    limit(login="2 per 15 minutes")
    verified(client)
    known, unknown = ([_fail(client, email) for _ in range(4)] for email in (ANN, "x@example.com"))
    for one, other in zip(known, unknown, strict=True):
        assert one.status_code == other.status_code
        assert {**(one.json or {}), "retry_after": 0, "detail": ""} == {
            **(other.json or {}), "retry_after": 0, "detail": "",
        }  # fmt: skip
    assert [answer.status_code for answer in known] == [401, 401, 429, 429]


def test_only_failures_stay_counted(client: FlaskClient, limit: Limit) -> None:
    limit(login="2 per 15 minutes")
    verified(client)
    for _ in range(3):
        assert log_in(client).status_code == 200
    assert _fail(client).status_code == 401
    for _ in range(3):
        assert log_in(client).status_code == 200
    assert [_fail(client).status_code for _ in range(2)] == [401, 429]


def test_a_stranger_locks_the_owner_out_only_from_where_the_stranger_is(client: FlaskClient, limit: Limit) -> None:
    limit(login="2 per 15 minutes")
    verified(client)
    assert [_fail(client, from_=HERE).status_code for _ in range(3)] == [401, 401, 429]
    assert log_in(client, from_=ELSEWHERE).status_code == 200
    assert [_fail(client, ANN.upper(), from_=HERE).status_code for _ in range(2)] == [429, 429]
    assert _fail(client, "bob@example.com", from_=HERE).status_code == 401


def test_guesses_from_many_networks_have_a_limit_too(client: FlaskClient, limit: Limit) -> None:
    limit(login="2 per 15 minutes")
    caller = verified(client)
    networks = [f"198.51.100.{n}" for n in range(12)]
    tried = [_fail(client, from_=network).status_code for network in networks for _ in range(2)]
    assert tried == [401] * 20 + [429] * 4
    assert code_of(log_in(client, from_="203.0.113.1")) == TOO_OFTEN
    assert refresh(client, caller.tokens["refresh_token"]).status_code == 200, "who is logged in stays so"


def test_one_ipv6_network_is_one_caller(client: FlaskClient, limit: Limit) -> None:
    limit(login="2 per 15 minutes")
    tried = [_fail(client, from_=f"2001:db8:0:1::{n:x}").status_code for n in range(4)]
    assert tried == [401, 401, 429, 429]
    assert _fail(client, from_="2001:db8:0:2::1").status_code == 401
    assert [_fail(client, from_=each).status_code for each in (HERE, f"::ffff:{HERE}", HERE)] == [401, 401, 429]


def test_a_window_ends(client: FlaskClient, limit: Limit) -> None:
    limit(login="1 per 15 minutes")
    verified(client)
    assert [_fail(client).status_code for _ in range(2)] == [401, 429]
    with sessions() as session:
        session.execute(update(TryWindow).values(started_at=now(-901), ends_at=now(-1)))
    assert [_fail(client).status_code for _ in range(2)] == [401, 429]


def test_two_limits_hold_both(client: FlaskClient, limit: Limit) -> None:
    limit(login="2 per minute; 3 per hour")
    assert [_fail(client).status_code for _ in range(3)] == [401, 401, 429]
    with sessions() as session:
        minutes = update(TryWindow).where(TryWindow.name.endswith("in 60 s"))
        session.execute(minutes.values(started_at=now(-61), ends_at=now(-1)))
    assert [_fail(client).status_code for _ in range(2)] == [401, 429]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/auth/login", {"email": ANN, "password": "x"}),
        ("POST", "/v1/auth/refresh", {"refresh_token": "x"}),
        ("POST", "/v1/auth/logout", {"refresh_token": "x"}),
        ("POST", "/v1/auth/verify-email", {"token": "x"}),
        ("POST", "/v1/auth/confirm-email", {"token": "x"}),
        ("POST", "/v1/auth/reset-password", {"token": "x", "password": OTHER_PASSWORD}),
        ("POST", "/v1/auth/signup", {"not": "a sign-up"}),
        ("GET", "/verify-email?token=x", None),
        ("GET", "/reset-password?token=x", None),
        ("GET", "/confirm-email?token=x", None),
    ],
)
def test_all_that_is_open_to_anybody_counts_by_network(
    client: FlaskClient, limit: Limit, method: str, path: str, body: dict[str, str] | None
) -> None:
    limit(auth="2 per minute")

    def ask(from_: str) -> int:
        return client.open(path, method=method, json=body, environ_base={"REMOTE_ADDR": from_}).status_code

    assert [ask(HERE) == 429 for _ in range(3)] == [False, False, True]
    assert ask(ELSEWHERE) != 429


def test_every_process_counts_the_same_and_a_new_one_goes_on(
    client: FlaskClient, front_door: Callable[[], Flask], limit: Limit
) -> None:
    limit(auth="2 per minute")
    another = front_door().test_client()
    assert [_fail(each).status_code for each in (client, another, client, another)] == [401, 401, 429, 429]


def test_mails_to_one_mailbox_are_limited_whoever_asks_and_however_it_is_spelled(
    client: FlaskClient, limit: Limit
) -> None:
    limit(mail="3 per hour")
    join(client, "a.nn@gmail.com")
    paths = ("/v1/auth/forgot-password", "/v1/auth/resend-verification", "/v1/auth/signup", "/v1/auth/forgot-password")

    def ask(path: str, email: str) -> TestResponse:
        body = {"email": email} if "signup" not in path else {"email": email, "password": OTHER_PASSWORD}
        return client.post(path, json=body)

    spelled = ("ann+x@gmail.com", "Ann@googlemail.com", "ann@gmail.com", "a.n.n@gmail.com")
    answers = [ask(path, email) for path, email in zip(paths, spelled, strict=True)]
    assert [answer.status_code for answer in answers] == [202, 202, 429, 429]
    assert code_of(answers[2]) == TOO_OFTEN
    assert ask(paths[0], "bob@gmail.com").status_code == 202


def test_who_tried_is_not_written_down(client: FlaskClient) -> None:
    _fail(client, from_=ELSEWHERE)
    with sessions() as session:
        rows = session.execute(select(TryWindow.subject_hash, TryWindow.name)).all()
    assert len(rows) == 3
    written = " ".join(value for row in rows for value in row)
    assert ANN not in written
    assert ELSEWHERE not in written


def test_what_is_over_is_forgotten(client: FlaskClient) -> None:
    _fail(client)
    _fail(client, "bob@example.com")
    with sessions() as session:
        [first, *_] = session.scalars(select(TryWindow.subject_hash)).all()
        over = update(TryWindow).where(TryWindow.subject_hash == first)
        session.execute(over.values(ends_at=moment(session, plus=-1)))
        before = session.execute(select(func.count()).select_from(TryWindow)).scalar_one()
        gone = session.execute(
            select(func.count()).select_from(TryWindow).where(TryWindow.subject_hash == first)
        ).scalar_one()
    retention.forget_tokens()
    with sessions() as session:
        assert session.execute(select(func.count()).select_from(TryWindow)).scalar_one() == before - gone
        assert tries.forget_old(session, limit=500) == 0


def _fail(client: FlaskClient, email: str = ANN, *, from_: str = HERE) -> TestResponse:
    return log_in(client, email, "not the password", from_=from_)
