"""The database's set-up: one engine for a process, and one clock for all."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from models import database as db
from models import jobs
from models.database import AwareDateTime, at_once, moment, readings, sessions
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


def test_a_lone_read_outlives_its_connection(postgresql: str, new_user: Callable[..., tuple[UUID, int]]) -> None:
    user, _ = new_user(10)
    job = work.submitted(user)
    for _ in range(2):
        assert jobs.read(user_id=user, job_id=job).status == "queued"
        with psycopg.connect(postgresql, autocommit=True) as other:
            others = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
            other.execute(f"{others} AND pid <> pg_backend_pid()")
        assert jobs.read(user_id=user, job_id=job).status == "queued"


def test_after_a_lost_connection_the_next_transaction_has_a_new_one(postgresql: str) -> None:
    for opened in (sessions, readings, at_once):
        for _ in range(2):
            with opened() as session:
                pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
            with psycopg.connect(postgresql, autocommit=True) as other:
                other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
            with pytest.raises(OperationalError), opened() as session:
                session.execute(text("SELECT 1"))
            with opened() as session:
                assert session.execute(text("SELECT 1")).scalar_one() == 1


def test_a_prepared_statement_finds_a_new_connection_after_a_lost_one(
    postgresql: str, new_user: Callable[..., tuple[UUID, int]]
) -> None:
    user, _ = new_user(10)
    job = work.submitted(user)
    for opened in (sessions, at_once):
        with opened() as session:
            pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with psycopg.connect(postgresql, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        with pytest.raises(OperationalError), opened() as session:
            jobs.get(session, user_id=user, job_id=job)
        with opened() as session:
            assert jobs.get(session, user_id=user, job_id=job).status == "queued"
