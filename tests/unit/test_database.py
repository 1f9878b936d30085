"""The database's set-up: one engine for a process, and one clock for all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier

import pytest
from sqlalchemy import Engine

from models import database as db
from models.database import AwareDateTime, moment, readings, sessions


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
