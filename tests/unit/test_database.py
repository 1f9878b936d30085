"""The database's set-up: one engine for a process, and one clock for all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from models import database as db
from models import jobs
from models.database import AwareDateTime, SessionFactory, at_once, moment, on_commit, readings, sessions
from models.outbox import STAGED
from tests.databases import close
from tests.jobs import work


def test_there_is_one_engine_however_many_threads_ask_first(sqlite: str) -> None:
    crowd = 40
    together = Barrier(crowd)

    def ask(_: int) -> Engine:
        together.wait()
        return db.engine()

    for _ in range(5):
        db.engine().dispose()
        db._engine.cache_clear()
        with ThreadPoolExecutor(crowd) as threads:
            assert len({id(engine) for engine in threads.map(ask, range(crowd))}) == 1


def test_the_clock_is_the_databases_and_counts_seconds(database: str) -> None:
    with sessions() as session:
        now, later, earlier = moment(session), moment(session, plus=90), moment(session, plus=-2.5)
    assert now.tzinfo is not None
    assert abs(datetime.now(UTC) - now) < timedelta(seconds=30)
    assert timedelta(seconds=89) < later - now < timedelta(seconds=100)
    assert timedelta(seconds=-3) < earlier - now < timedelta(seconds=10)


def test_readings_leave_no_transaction_open(postgresql: str) -> None:
    with readings() as session:
        session.connection().exec_driver_sql("SELECT 1")
        driver = session.connection().connection.driver_connection
        assert driver is not None
        assert driver.info.transaction_status.name == "IDLE"


def test_naive_times_are_refused(sqlite: str) -> None:
    with sessions() as session, pytest.raises(ValueError, match="time zone"):
        AwareDateTime().process_bind_param(datetime(2026, 1, 1), session.get_bind().dialect)  # noqa: DTZ001


@pytest.fixture
def alone(postgresql: str) -> Iterator[str]:
    """A database to which nobody is connected, and which leaves no dead connections behind."""
    close(db.engine())
    yield postgresql
    close(db.engine())


def _close_all_connections(url: str) -> None:
    others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
    with psycopg.connect(url, autocommit=True) as other:
        other.execute(f"{others} AND pid <> pg_backend_pid()")


def test_a_lone_read_outlives_its_connection(alone: str, new_user: Callable[..., tuple[UUID, int]]) -> None:
    user, _ = new_user(10)
    job = work.submitted(user)
    for _ in range(2):
        assert jobs.read(user_id=user, job_id=job).status == "queued"
        _close_all_connections(alone)
        assert jobs.read(user_id=user, job_id=job).status == "queued"


def test_after_a_lost_connection_the_next_transaction_has_a_new_one(alone: str) -> None:
    for opened in (sessions, readings):
        for _ in range(2):
            with opened() as session:
                assert session.execute(text("SELECT 1")).scalar_one() == 1
            _close_all_connections(alone)
            with pytest.raises(OperationalError), opened() as session:
                session.execute(text("SELECT 1"))
            with opened() as session:
                assert session.execute(text("SELECT 1")).scalar_one() == 1


def test_a_prepared_statement_finds_a_new_connection_after_a_lost_one(
    alone: str, new_user: Callable[..., tuple[UUID, int]]
) -> None:
    user, _ = new_user(10)
    for opened in (sessions, at_once):
        job = work.submitted(user, price=1)
        with opened() as session:
            assert jobs.claim(session, uuid4(), lease_seconds=30) is None
        _close_all_connections(alone)
        with pytest.raises(OperationalError), opened() as session:
            jobs.claim(session, job, lease_seconds=30)
        with opened() as session:
            assert jobs.claim(session, job, lease_seconds=30) is not None


def test_what_was_staged_is_handed_over_once_it_is_committed(
    database: str, new_user: Callable[..., tuple[UUID, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    user, _ = new_user(100)
    work.submitted(user)  # the first of a user takes the steps
    seen: list[str] = []

    def receive(info: dict[Any, Any]) -> None:
        seen.extend(message.task_id for message in info.pop(STAGED, ()))

    monkeypatch.setattr(db, "_receivers", [])
    on_commit(receive)
    first, second = work.an_order(user), work.an_order(user)
    with at_once() as sender:
        rode = jobs.submit_at_once(sender, first)
    assert (rode is not None, seen) == ((True, [str(first.id)]) if "postgresql" in database else (False, []))
    with SessionFactory(bind=db.engine()) as session:
        jobs.submit(session, second)
        session.rollback()
    assert str(second.id) not in seen
    with sessions() as session:
        jobs.submit(session, second)
    assert seen[-1] == str(second.id)
