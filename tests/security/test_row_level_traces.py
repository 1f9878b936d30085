"""Whom a transaction acted for is gone with it, however it ends, and what is sent in one trip is one transaction."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any
from uuid import UUID

import psycopg
import pytest
from sqlalchemy import Column, Float, Integer, MetaData, Table, bindparam, func, insert, literal, select
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, OperationalError

from models import database as db
from models.acting import Whom, acting_for, everyone, whom
from models.database import Prepared, at_once, engine, readings, sessions
from models.jobs import Job
from tests.databases import close
from tests.jobs import work

PID = Prepared(select(func.pg_backend_pid()))
SLEEP = Prepared(select(func.pg_sleep(bindparam("seconds", type_=Float()))))
DIVIDE = Prepared(select(literal(1) / bindparam("by", type_=Integer())))
MY_JOBS = Prepared(select(func.count()).select_from(Job))

NewUser = Callable[..., tuple[UUID, int]]


@pytest.fixture
def ann(postgresql: str, new_user: NewUser) -> UUID:
    """One of two users who have a job."""
    for user_id in (found := [new_user(100)[0] for _ in range(2)]):
        work.submitted(user_id)
    return found[0]


@contextmanager
def from_outside(what: str) -> Iterator[None]:
    """Meanwhile do something to whoever sleeps in the database."""
    sleeping = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(%'"
    with psycopg.connect(psycopg_url(), autocommit=True) as other:

        def run() -> None:
            while not other.execute(f"SELECT {what}(pid) FROM ({sleeping} AND pid <> pg_backend_pid())").fetchall():
                time.sleep(0.01)

        thread = threading.Thread(target=run)
        thread.start()
        yield
        thread.join()


def psycopg_url() -> str:
    return engine().url.set(drivername="postgresql").render_as_string(hide_password=False)


class Broken(Exception):
    pass


def _in_a_transaction() -> int:
    with sessions() as session:
        assert MY_JOBS.one_or_none(session) == (1,)
        return session.scalar(select(func.pg_backend_pid())) or 0


def _rolled_back() -> int:
    used = 0
    with suppress(Broken), sessions() as session:
        used = session.scalar(select(func.pg_backend_pid())) or 0
        raise Broken
    return used


def _failed() -> int:
    used = 0
    with suppress(DataError), sessions() as session:
        used = session.scalar(select(func.pg_backend_pid())) or 0
        session.execute(select(literal(1) / literal(0)))
    return used


def _rolled_back_in_part() -> int:
    with sessions() as session:
        with suppress(Broken), session.begin_nested():
            MY_JOBS.one_or_none(session)
            raise Broken
        assert MY_JOBS.one_or_none(session) == (1,)
        return session.scalar(select(func.pg_backend_pid())) or 0


def _read() -> int:
    with readings() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 1
        return session.scalar(select(func.pg_backend_pid())) or 0


def _read_in_vain() -> int:
    used = 0
    with suppress(DataError), readings() as session:
        used = session.scalar(select(func.pg_backend_pid())) or 0
        session.execute(select(literal(1) / literal(0)))
    return used


def _pid() -> int:
    row = PID.read()
    assert row is not None
    return int(row[0])


def _alone() -> int:
    assert MY_JOBS.read() == (1,)
    with at_once() as sender:
        assert MY_JOBS.one_or_none(sender) == (1,)
    return _pid()


def _failed_alone() -> int:
    with pytest.raises(DataError):
        DIVIDE.read(by=0)
    with pytest.raises(DataError), at_once() as sender:
        DIVIDE.one_or_none(sender, by=0)
    return _pid()


def _cancelled_alone() -> int:
    used = _pid()
    with pytest.raises(OperationalError, match="canceling"), from_outside("pg_cancel_backend"):
        SLEEP.read(seconds=60)
    return used


def _cancelled() -> int:
    used = 0
    with suppress(OperationalError), from_outside("pg_cancel_backend"), sessions() as session:
        used = session.scalar(select(func.pg_backend_pid())) or 0
        SLEEP.one_or_none(session, seconds=60)
        used = 0  # it was not cancelled
    return used


ENDS = [
    _in_a_transaction, _rolled_back, _failed, _rolled_back_in_part, _cancelled, _read, _read_in_vain, _alone,
    _failed_alone, _cancelled_alone,
]  # fmt: skip


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.strip("_"))
def test_nothing_stays_on_a_connection(ann: UUID, end: Callable[[], int]) -> None:
    for _ in range(2):
        with acting_for(ann):
            used = end()
        seen = set()
        for pool in (engine(), db._engine_without_transactions()):
            with pool.connect() as connection:
                who = "SELECT current_user, current_setting('coinop.user_id', true), pg_backend_pid()"
                user, user_id, pid = connection.exec_driver_sql(who).one()
                assert (user, user_id or "") == (engine().url.username, "")
                assert connection.exec_driver_sql("SELECT count(*) FROM jobs").scalar_one() == 2
                seen.add(pid)
        assert used in seen, "it was another connection that was looked at"


@pytest.mark.parametrize("opened", [sessions, readings, at_once])
def test_a_lost_connection_is_followed_by_a_new_one(ann: UUID, opened: Any) -> None:
    with acting_for(ann):
        for _ in range(2):
            with opened() as sender:
                assert MY_JOBS.one_or_none(sender) == (1,)
            with everyone(), psycopg.connect(psycopg_url(), autocommit=True) as other:
                others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                other.execute(f"SELECT pg_terminate_backend(pid, 5000) {others}")
            with pytest.raises(OperationalError), opened() as sender:
                MY_JOBS.one_or_none(sender)
            with opened() as sender:
                assert MY_JOBS.one_or_none(sender) == (1,)
        with pytest.raises(OperationalError), from_outside("pg_terminate_backend"), opened() as sender:
            SLEEP.one_or_none(sender, seconds=60)
        with opened() as sender:
            assert MY_JOBS.one_or_none(sender) == (1,)
    close(engine())  # the other connections are lost as well


def test_what_was_broken_off_in_the_middle_is_not_used_again(ann: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    used = PID.read()
    with monkeypatch.context() as patched:
        # The statement is on its way, and its answer is not waited for.
        patched.setattr("psycopg.generators.fetch_many", _break_off)
        with pytest.raises(Broken):
            MY_JOBS.read()
    with acting_for(ann):
        assert MY_JOBS.read() == (1,)
    assert PID.read() != used


def _break_off(*_: Any) -> Any:
    raise Broken


def test_a_trip_that_cannot_be_committed_is_an_error(ann: UUID) -> None:
    late = Table("late", MetaData(), Column("id", Integer, primary_key=True), Column("other", Integer))
    with engine().begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE late (id int PRIMARY KEY, other int REFERENCES late DEFERRABLE INITIALLY DEFERRED)"
        )
        connection.exec_driver_sql("GRANT INSERT, SELECT ON late TO coinop_tenant")
    adding = Prepared(insert(late).values(id=bindparam("id_"), other=bindparam("other_")).returning(late.c.id))
    for whose in (ann, Whom.everyone):
        with acting_for(whose):
            # The statement itself goes well; it is the commit that finds out.
            with pytest.raises(IntegrityError, match="late_other_fkey"), at_once() as sender:
                adding.one_or_none(sender, id_=1, other_=2)
            assert Prepared(select(func.count()).select_from(late)).read() == (0,)
    with acting_for(ann), at_once() as sender:
        assert adding.one_or_none(sender, id_=1, other_=1) == (1,)
    assert Prepared(select(func.count()).select_from(late)).read() == (1,)


def test_statements_are_prepared_once_and_anew_when_they_are_gone(ann: UUID) -> None:
    with acting_for(ann):
        for _ in range(5):
            assert MY_JOBS.read() == (1,)
        with everyone(), db._engine_without_transactions().connect() as connection:
            ours = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'coinop_%%'"
            before = connection.exec_driver_sql(ours).scalar_one()
            assert before >= 2
            connection.exec_driver_sql("DEALLOCATE ALL")
        for _ in range(5):
            assert MY_JOBS.read() == (1,)
        with everyone(), db._engine_without_transactions().connect() as connection:
            assert connection.exec_driver_sql(ours).scalar_one() == 2


def test_users_at_once_in_many_threads_find_their_own(ann: UUID, new_user: NewUser) -> None:
    crowd = [new_user(100)[0] for _ in range(6)]
    for count, user_id in enumerate(crowd, start=1):
        for _ in range(count):
            work.submitted(user_id)
    line = threading.Barrier(len(crowd))

    def look(count: int) -> set[Any]:
        seen = set()
        line.wait(60)
        with acting_for(crowd[count - 1]):
            for _ in range(20):
                seen.add(MY_JOBS.read())
                for opened in (sessions, readings):
                    with opened() as session:
                        seen.add((session.scalar(select(func.count()).select_from(Job)),))
        return seen

    with ThreadPoolExecutor(len(crowd)) as threads:
        assert list(threads.map(look, range(1, len(crowd) + 1))) == [{(n,)} for n in range(1, len(crowd) + 1)]


def test_a_thread_acts_for_whom_it_says_itself(ann: UUID) -> None:
    with acting_for(ann), ThreadPoolExecutor(1) as thread:
        assert thread.submit(whom).result() is Whom.everyone
        assert whom() == ann
    assert whom() is Whom.everyone


def test_an_error_inside_a_block_ends_it(ann: UUID) -> None:
    with pytest.raises(Broken), acting_for(ann), everyone():
        _break_off()
    assert whom() is Whom.everyone
    with pytest.raises(DBAPIError), acting_for(ann):
        DIVIDE.read(by=0)
    assert whom() is Whom.everyone
