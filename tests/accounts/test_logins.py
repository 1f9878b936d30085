"""Log-ins: who can begin one, what goes on record, and what ends them."""

from __future__ import annotations

from unittest import mock

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from models import users
from models.database import now, sessions
from models.logins import Login
from tests.accounts.people import (
    ANN,
    OTHER_PASSWORD,
    SUSPENDED,
    WRONG,
    change,
    code_of,
    id_of,
    join,
    log_in,
    refresh,
    verified,
)
from tests.http.conftest import Caller


def test_where_a_user_is_logged_in_goes_on_record(client: FlaskClient) -> None:
    body = {"email": ANN, "password": "correct horse battery"}
    for path, agent, address in (
        ("/v1/auth/signup", "A phone/1.0", "192.0.2.7"),
        ("/v1/auth/login", "B" * 300, "2001:db8::7"),
    ):
        client.post(path, json=body, headers={"User-Agent": agent}, environ_base={"REMOTE_ADDR": address})
    with sessions() as session:
        seen = session.execute(select(Login.user_agent, Login.address).order_by(Login.id)).all()
    assert [tuple(row) for row in seen] == [("A phone/1.0", "192.0.2.7"), ("B" * 200, "2001:db8::7")]


def test_of_two_accounts_with_one_password_the_verified_one_is_logged_in(client: FlaskClient) -> None:
    owner = verified(client)
    join(client)
    assert (log_in(client).json or {})["user"]["id"] == str(id_of(owner))


@pytest.mark.parametrize("shadow", [False, True])
def test_every_try_takes_exactly_two_hashes(client: FlaskClient, shadow: bool) -> None:
    verified(client)
    if shadow:
        join(client, password=OTHER_PASSWORD)
    users._hash_of_nobody()
    for email, password in ((ANN, "correct horse battery"), (ANN, "wrong one, sorry"), ("x@example.com", "whatever")):
        with mock.patch("models.users._is_right", side_effect=users._is_right) as hashed:
            log_in(client, email, password)
        assert hashed.call_count == 2, (email, password)


def test_a_suspended_user_is_told_so_after_the_right_password_only(client: FlaskClient) -> None:
    caller = verified(client)
    change(caller, suspended_at=now())
    wrong, right = log_in(client, password=OTHER_PASSWORD), log_in(client)
    assert code_of(wrong) == WRONG
    assert code_of(right) == SUSPENDED
    assert _going_on(caller) == 1
    assert code_of(refresh(client, caller.tokens["refresh_token"])) == WRONG
    change(caller, suspended_at=None)
    assert log_in(client).status_code == 200


def test_who_was_suspended_after_the_password_was_right_does_not_get_in(client: FlaskClient) -> None:
    caller = verified(client)
    right = users.with_password

    def suspended_meanwhile(candidates: list[users.User], password: str) -> users.User:
        user = right(candidates, password)
        change(caller, suspended_at=now())
        return user

    with mock.patch("web.auth.users.with_password", suspended_meanwhile):
        assert code_of(log_in(client)) == SUSPENDED
    assert _going_on(caller) == 1


@pytest.mark.parametrize("closed", [False, True])
def test_an_account_that_closes_is_told_with_the_words_of_a_wrong_password(client: FlaskClient, closed: bool) -> None:
    caller = verified(client)
    gone = {"closed_at": now(), "email": None, "password_hash": None} if closed else {}
    change(caller, closing_at=now(), **gone)
    unknown, right = log_in(client, "nobody@example.com"), log_in(client)
    assert (right.status_code, right.json) == (unknown.status_code, unknown.json) == (401, unknown.json)
    assert code_of(refresh(client, caller.tokens["refresh_token"])) == WRONG


def test_logging_out_everywhere_ends_every_session(client: FlaskClient) -> None:
    caller, stranger = verified(client), join(client, "bob@example.com")
    here, elsewhere = caller.tokens["refresh_token"], (log_in(client).json or {})["refresh_token"]
    assert _log_out(client, here, everywhere=True) == 204
    assert [refresh(client, token).status_code for token in (here, elsewhere)] == [401, 401]
    assert client.get("/v1/me", headers=caller.headers).status_code == 401
    assert refresh(client, stranger.tokens["refresh_token"]).status_code == 200


def test_logging_out_here_leaves_the_others(client: FlaskClient) -> None:
    caller = verified(client)
    here, elsewhere = caller.tokens["refresh_token"], (log_in(client).json or {})["refresh_token"]
    assert [_log_out(client, here) for _ in range(2)] == [204, 204]
    assert refresh(client, here).status_code == 401
    assert refresh(client, elsewhere).status_code == 200


def test_the_token_of_an_ended_session_ends_no_other(client: FlaskClient) -> None:
    caller = verified(client)
    old = caller.tokens["refresh_token"]
    assert _log_out(client, old) == 204
    later = (log_in(client).json or {})["refresh_token"]
    assert _log_out(client, old, everywhere=True) == 204
    assert refresh(client, later).status_code == 200


def test_a_replay_ends_its_own_session_alone(client: FlaskClient) -> None:
    caller = verified(client)
    first, elsewhere = caller.tokens["refresh_token"], (log_in(client).json or {})["refresh_token"]
    second = (refresh(client, first).json or {})["refresh_token"]
    assert refresh(client, first).status_code == 401
    assert client.get("/v1/me", headers=caller.headers).status_code == 401
    assert refresh(client, second).status_code == 401
    assert refresh(client, elsewhere).status_code == 200


def _log_out(client: FlaskClient, token: str, *, everywhere: bool | None = None) -> int:
    more = {} if everywhere is None else {"everywhere": everywhere}
    return client.post("/v1/auth/logout", json={"refresh_token": token, **more}).status_code


def _going_on(caller: Caller) -> int:
    with sessions() as session:
        return len(
            session.scalars(select(Login.id).where(Login.user_id == id_of(caller), Login.ended_at.is_(None))).all()
        )
