"""Sessions: where one is logged in, ending that, and how soon an access token ends with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import jwt
import pytest
from flask.testing import FlaskClient
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from config import settings
from models import logins
from models.database import now, sessions
from models.logins import Login
from tests.accounts.people import ANN, code_of, id_of, join, log_in, refresh
from tests.http.conftest import Caller
from web import ended, tokens
from web.ended import Ended

ENDED = (401, "unauthorized")
NOWHERE = (404, "not_found")


def again(client: FlaskClient, **how: str) -> Caller:
    return Caller(client, ANN, log_in(client, **how).json or {})


def listed(caller: Caller) -> list[dict[str, Any]]:
    answer = caller.get("/v1/me/sessions")
    assert answer.status_code == 200
    found: list[dict[str, Any]] = (answer.json or {})["sessions"]
    return found


def end(caller: Caller, path: str) -> int:
    return caller.client.delete(f"/v1/me/sessions{path}", headers=caller.headers).status_code


def login_of(caller: Caller) -> UUID:
    claims = jwt.decode(caller.tokens["access_token"], options={"verify_signature": False})
    return UUID(claims["login"])


def end_elsewhere(caller: Caller) -> None:
    """End the session of a caller in another process: this one is told by the database alone."""
    with sessions() as session:
        logins.end_all(session, user_id=id_of(caller))


@contextmanager
def later(seconds: float) -> Iterator[None]:
    """As if so many seconds had passed for what this process remembers."""
    with mock.patch("web.ended.time.monotonic", lambda began=time.monotonic(): began + seconds):
        yield


@pytest.fixture(autouse=True)
def afresh() -> None:
    tokens.look_again()


def test_each_log_in_is_a_session_and_the_one_that_asks_is_marked(client: FlaskClient) -> None:
    first = join(client)
    second = Caller(
        client,
        ANN,
        client.post(
            "/v1/auth/login",
            json={"email": ANN, "password": "correct horse battery"},
            headers={"User-Agent": "Phone " + "x" * 300},
            environ_base={"REMOTE_ADDR": "203.0.113.9"},
        ).json
        or {},
    )
    join(client, "bob@example.com")
    newest, oldest = listed(second)
    assert (newest["id"], oldest["id"]) == (str(login_of(second)), str(login_of(first)))
    assert (newest["current"], oldest["current"]) == (True, False)
    assert (newest["object"], newest["address"]) == ("session", "203.0.113.9")
    assert newest["device"] == ("Phone " + "x" * 300)[:200]
    assert newest["created_at"] == newest["last_used_at"] > oldest["created_at"]
    assert [each["current"] for each in listed(first)] == [False, True]
    assert refresh(client, first.tokens["refresh_token"]).status_code == 200
    assert listed(second)[1]["last_used_at"] > oldest["last_used_at"]


def test_many_sessions_come_in_pages(client: FlaskClient) -> None:
    caller = join(client)
    for _ in range(4):
        again(client)
    seen: list[str] = []
    path = "/v1/me/sessions?limit=2"
    while path:
        page: dict[str, Any] = caller.get(path).json or {}
        seen += [each["id"] for each in page["sessions"]]
        path = f"/v1/me/sessions?limit=2&after={page['next']}" if page["next"] else ""
    assert seen == [each["id"] for each in listed(caller)]
    assert len(seen) == 5


def test_one_session_is_ended_at_once(client: FlaskClient) -> None:
    caller = join(client)
    other, stranger = again(client), join(client, "bob@example.com")
    assert other.get("/v1/jobs").status_code == 200
    assert end(stranger, f"/{login_of(other)}") == 404
    assert end(caller, f"/{uuid4()}") == 404
    assert other.get("/v1/jobs").status_code == 200
    for _ in range(2):
        assert end(caller, f"/{login_of(other)}") == 204
    assert code_of(other.get("/v1/jobs")) == ENDED
    assert refresh(client, other.tokens["refresh_token"]).status_code == 401
    assert [each["id"] for each in listed(caller)] == [str(login_of(caller))]


def test_all_others_are_ended_or_all(client: FlaskClient) -> None:
    caller, stranger = join(client), join(client, "bob@example.com")
    others = [again(client) for _ in range(2)]
    assert end(caller, "?others_only=true") == 204
    assert [each.get("/v1/jobs").status_code for each in (*others, caller)] == [401, 401, 200]
    newest = again(client)
    assert end(caller, "") == 204
    assert [each.get("/v1/jobs").status_code for each in (newest, caller, stranger)] == [401, 401, 200]
    assert end(stranger, "?others=true") == 422


def test_logging_out_ends_the_access_token_too(client: FlaskClient) -> None:
    caller = join(client)
    assert caller.get("/v1/jobs").status_code == 200
    answer = client.post("/v1/auth/logout", json={"refresh_token": caller.tokens["refresh_token"]})
    assert answer.status_code == 204
    assert code_of(caller.get("/v1/jobs")) == ENDED


def test_what_another_process_ended_ends_here_within_two_seconds(client: FlaskClient) -> None:
    caller, other = join(client), join(client, "bob@example.com")
    assert caller.get("/v1/jobs").status_code == 200
    end_elsewhere(caller)
    assert ended.REFRESH_SECONDS <= 2
    with later(ended.REFRESH_SECONDS):
        assert code_of(caller.get("/v1/jobs")) == ENDED
        assert other.get("/v1/jobs").status_code == 200
        # Once seen, it is not asked for again: the list is good for a while.
        with mock.patch("web.ended.readings", side_effect=AssertionError):
            assert code_of(caller.get("/v1/jobs")) == ENDED


def test_the_list_is_read_once_for_many_requests(client: FlaskClient) -> None:
    caller = join(client)
    read = mock.Mock(wraps=logins.ended_within)
    with mock.patch("web.ended.logins.ended_within", read):
        tokens.look_again()
        for _ in range(5):
            assert caller.get("/v1/jobs").status_code == 200
    assert read.call_count == 1
    assert read.call_args.kwargs["seconds"] >= tokens.ACCESS_SECONDS


def test_while_the_database_is_away_what_was_known_stays(client: FlaskClient) -> None:
    gone, caller = join(client), join(client, "bob@example.com")
    end_elsewhere(gone)
    assert code_of(gone.get("/v1/jobs")) == ENDED
    away = mock.Mock(side_effect=OperationalError("SELECT", {}, Exception("away")))
    with later(60), mock.patch("web.ended.readings", away):
        for _ in range(3):
            assert code_of(gone.get("/v1/jobs")) == ENDED
            assert caller.get("/v1/jobs").status_code == 200
    assert away.call_count == 1, "who finds the database away spares the others the wait"


def test_one_reads_the_list_and_the_others_go_on(client: FlaskClient) -> None:
    caller = join(client)
    known = Ended(60)
    assert not known.has(login_of(caller))
    end_elsewhere(caller)
    reading, go_on = Event(), Event()
    real = logins.ended_within

    def slowly(*given: Any, **how: Any) -> set[UUID]:
        reading.set()
        assert go_on.wait(10), "somebody was kept waiting"
        return real(*given, **how)

    with (
        later(ended.REFRESH_SECONDS),
        mock.patch("web.ended.PATIENCE_SECONDS", 60),
        mock.patch("web.ended.logins.ended_within", slowly),
        ThreadPoolExecutor(1) as one,
    ):
        seen = one.submit(known.has, login_of(caller))
        assert reading.wait(30)
        assert not known.has(login_of(caller)), "not kept waiting"
        go_on.set()
        assert seen.result()
        assert known.has(login_of(caller))


def test_after_a_long_silence_nobody_goes_by_what_was_known_before(client: FlaskClient) -> None:
    caller = join(client)
    known = Ended(60)
    assert not known.has(login_of(caller))
    end_elsewhere(caller)
    reading = Event()
    real = logins.ended_within

    def slowly(*given: Any, **how: Any) -> set[UUID]:
        reading.set()
        time.sleep(0.3)
        return real(*given, **how)

    with later(3600), mock.patch("web.ended.logins.ended_within", slowly), ThreadPoolExecutor(1) as one:
        first = one.submit(known.has, login_of(caller))
        assert reading.wait(30)
        assert known.has(login_of(caller))
        assert first.result()


def test_a_log_in_that_ended_before_any_token_of_it_could_still_be_good_is_forgotten(client: FlaskClient) -> None:
    caller, other = join(client), join(client, "bob@example.com")
    end_elsewhere(caller)
    end_elsewhere(other)
    with sessions() as session:
        long_ago = update(Login).where(Login.id == login_of(caller))
        session.execute(long_ago.values(ended_at=now(-tokens.ACCESS_SECONDS - ended.MARGIN_SECONDS - 1)))
        session.execute(update(Login).where(Login.id == login_of(other)).values(ended_at=now(-tokens.ACCESS_SECONDS)))
    with sessions() as session:
        assert logins.ended_within(session, seconds=tokens.ACCESS_SECONDS + ended.MARGIN_SECONDS) == {login_of(other)}


def test_an_access_token_of_no_log_in_is_refused(client: FlaskClient) -> None:
    caller = join(client)
    claims = jwt.decode(caller.tokens["access_token"], options={"verify_signature": False})
    for login in (None, "", "nonsense", 7, ["x"]):
        forged = jwt.encode({**claims, "login": login}, settings().jwt_secret_key.get_secret_value(), algorithm="HS256")
        answer = client.get("/v1/jobs", headers={"Authorization": f"Bearer {forged}"})
        assert code_of(answer) == ENDED
