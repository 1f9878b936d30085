"""A request acts for its caller and for nobody else, from its first statement to the last byte of its answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from flask import Flask, Response, g, request
from flask.testing import FlaskClient
from sqlalchemy import Uuid, bindparam, func, select

from config import settings
from models import jobs, outbox
from models.acting import Whom, acting_for, whom
from models.database import Prepared, at_once, readings, sessions
from models.jobs import Job, snapshots
from models.outbox import Outbox
from tests.accounts.people import id_of
from tests.http.conftest import Caller
from tests.jobs import work
from web import acting, tokens
from worker import relay
from worker.relay import Relay

CHUNKS = 3

closed: list[Any] = []
"""Whom generators acted for when they were closed."""


def careless() -> list[str]:
    """What a view would find whose query says nothing of whose rows it is about."""
    with readings() as session:
        return [user_id.hex for user_id in session.scalars(select(Job.user_id))]


@pytest.fixture(scope="module")
def views() -> Flask:
    """Careless views: what each request finds is up to the walls."""
    app = Flask("careless")
    acting.register(app)

    @app.before_request
    def find_out_who_calls() -> None:
        if user := request.headers.get("X-User"):
            tokens._admit(tokens.Caller(UUID(user)))

    @app.get("/jobs")
    def found() -> list[str]:
        return careless()

    @app.get("/stream")
    def stream() -> Response:
        def chunks() -> Iterator[str]:
            try:
                for _ in range(CHUNKS):
                    yield ",".join(careless()) + "\n"
            finally:
                closed.append(whom())

        return Response(chunks(), mimetype="text/csv")

    @app.get("/broken")
    def broken() -> str:
        g.found = careless()
        raise ZeroDivisionError

    return app


@pytest.fixture
def ask(views: Flask, postgresql: str) -> Callable[..., Any]:
    def get(path: str, user_id: UUID | None = None) -> Any:
        headers = {"X-User": str(user_id)} if user_id else {}
        return views.test_client().get(path, headers=headers)

    return get


@pytest.fixture
def two(postgresql: str, new_user: Callable[..., tuple[UUID, int]]) -> tuple[UUID, UUID]:
    """Two users with a job each."""
    ann, bob = (new_user(100)[0] for _ in range(2))
    for user_id in (ann, bob):
        work.submitted(user_id)
    return ann, bob


def test_a_view_that_asks_nobody_who_calls_finds_nothing(ask: Any, two: tuple[UUID, UUID]) -> None:
    assert len(careless()) == 2
    assert ask("/jobs").json == []
    assert ask("/stream").text == "\n" * CHUNKS


def test_a_careless_view_finds_its_callers_rows(ask: Any, two: tuple[UUID, UUID]) -> None:
    for user_id in two:
        assert ask("/jobs", user_id).json == [user_id.hex]
    assert ask("/jobs").json == []
    assert whom() is Whom.everyone


def test_a_request_that_breaks_is_over_all_the_same(ask: Any, two: tuple[UUID, UUID]) -> None:
    assert ask("/broken", two[0]).status_code == 500
    assert whom() is Whom.everyone
    assert ask("/jobs").json == []


def test_what_is_made_while_it_is_sent_is_made_for_the_caller(ask: Any, two: tuple[UUID, UUID]) -> None:
    ann, bob = two
    hers = ask("/stream", ann)
    lines = hers.iter_encoded()
    assert next(lines) == f"{ann.hex}\n".encode()
    # Another request of the same thread comes in between, and the rest is sent by another one.
    assert ask("/jobs", bob).json == [bob.hex]
    assert whom() is Whom.everyone
    assert next(lines) == f"{ann.hex}\n".encode()
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(next, lines).result() == f"{ann.hex}\n".encode()
    assert list(lines) == []
    assert whom() is Whom.everyone


def test_a_client_that_goes_away_ends_what_was_made_for_it(ask: Any, two: tuple[UUID, UUID]) -> None:
    closed.clear()
    answer = ask("/stream", two[0])
    assert next(answer.iter_encoded()) == f"{two[0].hex}\n".encode()
    answer.close()
    assert closed == [two[0]]
    assert whom() is Whom.everyone


def test_requests_at_once_do_not_mix(ask: Any, two: tuple[UUID, UUID]) -> None:
    line = threading.Barrier(6)

    def run(number: int) -> set[str]:
        user_id = (*two, None)[number % 3]
        line.wait(60)
        return {f"{ask('/jobs', user_id).json} {ask('/stream', user_id).text.split()}" for _ in range(5)}

    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(run, range(6)))
    for number, seen in enumerate(found):
        hers = [two[number % 3].hex] if number % 3 < 2 else []
        assert seen == {f"{hers} {hers * CHUNKS}"}


@pytest.fixture
def client(app: Any, postgresql: str) -> FlaskClient:
    return app.test_client()  # type: ignore[no-any-return]


@pytest.fixture(params=["on", "off"])
def wall(request: pytest.FixtureRequest, client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> Iterator[bool]:
    monkeypatch.setenv("ROW_LEVEL_SECURITY", str(request.param == "on"))
    settings.cache_clear()
    yield request.param == "on"
    settings.cache_clear()


def test_a_poll_that_forgets_whose_job_it_is_finds_no_others(
    sign_up: Callable[[], Caller], wall: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = sign_up(), sign_up()
    job_id = (ann.submit().json or {})["id"]
    careless = Prepared(select(*snapshots.SHOWN).where(Job.id == bindparam("job_id", type_=Uuid())))
    assert bob.get(f"/v1/jobs/{job_id}").status_code == 404
    monkeypatch.setattr(snapshots, "_ONE", careless)
    assert ann.get(f"/v1/jobs/{job_id}").status_code == 200
    assert bob.get(f"/v1/jobs/{job_id}").status_code == (404 if wall else 200)


def test_the_relay_publishes_what_users_staged(two: tuple[UUID, UUID]) -> None:
    """Its thread begins within a user's request."""
    published = threading.Event()
    sent: list[str] = []

    def publish(_: object, messages: Any, _handed: object) -> bool:
        sent.extend(message.task_id for message in messages)
        return True

    def forget(messages: Any) -> None:
        real(messages)
        published.set()

    real, order = relay.forget, work.an_order(two[0])
    with mock.patch("worker.relay.publish", publish), mock.patch("worker.relay.forget", forget), acting_for(two[0]):
        with at_once() as sender:
            assert jobs.submit_at_once(sender, order)
            staged = sender.info[outbox.STAGED]
        Relay(mock.Mock()).hand_over(staged)
        assert published.wait(60)
    assert sent == [str(order.id)]
    with sessions() as session:
        assert session.scalar(select(func.count()).where(Outbox.task_id == str(order.id))) == 0


def test_ended_sessions_are_known_whoever_asks(sign_up: Callable[[], Caller], client: FlaskClient) -> None:
    """The list of them is one for the whole process: were it read for one user, the others' would be good again."""
    ann, bob = sign_up(), sign_up()
    assert client.post("/v1/auth/logout", json={"refresh_token": bob.tokens["refresh_token"]}).status_code == 204
    assert ann.get("/v1/me").status_code == 200
    assert bob.get("/v1/me").status_code == 401
    assert id_of(ann) != id_of(bob)
