"""The database: engine, sessions and statements, the same on PostgreSQL and SQLite; with the columns at hand.

`sessions()` opens the one transaction of an edge. With `readings()`, for single reads, and `at_once()`, for verbs that
are one statement, every statement is its own. The clock of the system is the database's (`now`), so processes with
drifting clocks agree about leases and deadlines.

On PostgreSQL each of them is bound to the rows of whom it acts for when it begins (`models/acting.py`), unless
ROW_LEVEL_SECURITY is off. SQLite has nothing of the kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from functools import cache
from threading import Lock
from typing import Any
from uuid import UUID

import psycopg
from psycopg.types.json import Jsonb
from sqlalchemy import JSON, URL, Connection, Engine, Executable, create_engine, event, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, SessionTransaction, sessionmaker
from sqlalchemy.sql.compiler import SQLCompiler

from config import settings
from models import acting, wire
from models.acting import Whom
from models.columns import OUT_OF_ORDER as OUT_OF_ORDER
from models.columns import AwareDateTime as AwareDateTime
from models.columns import Base as Base
from models.columns import BigId as BigId
from models.columns import Json as Json
from models.columns import OrderedJson as OrderedJson
from models.columns import least_id as least_id
from models.columns import new_id as new_id
from models.columns import now as now
from models.columns import words as words

DAY_SECONDS = 86_400

BUSY_TIMEOUT_MS = 30_000
"""How long a SQLite writer waits for its turn: writers take turns by BEGIN IMMEDIATE, they do not race."""

LOCK_TIMEOUT_MS = 10_000
"""How long a PostgreSQL statement waits for a lock before it gives up: transactions here last milliseconds."""


def make_engine(url: str, *, pool_size: int = 10) -> Engine:
    """An engine set up for this product: see the two functions below for what each database needs."""
    if url.startswith("postgresql"):
        return _postgresql(url, pool_size)
    return _sqlite(url, pool_size)


def _postgresql(url: str | URL, pool_size: int, **options: Any) -> Engine:
    return create_engine(
        url,
        **options,
        hide_parameters=True,  # errors go to logs, and parameters are what users wrote
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        # Last in, first out keeps few connections warm instead of all of them lukewarm.
        pool_use_lifo=True,
        pool_recycle=1800,
        connect_args={
            "connect_timeout": 5,
            # Every statement of the hot paths is prepared at once instead of after five uses; or none ever is, for
            # poolers that give each transaction another connection of the server.
            "prepare_threshold": 1 if settings().database_prepare else None,
            # Poolers know no such options: theirs have to set the same (deploy/pgbouncer), and the doctor asks.
            "options": f"-c timezone=UTC -c lock_timeout={LOCK_TIMEOUT_MS} -c idle_in_transaction_session_timeout=60s",
        },
    )


def _sqlite(url: str, pool_size: int) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=30,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_MS / 1000},
    )

    @event.listens_for(engine, "connect")
    def _set_up(connection: Any, _record: Any) -> None:
        # The driver must not open transactions of its own: a deferred BEGIN that writes later fails with
        # "database is locked" however long the busy timeout is.
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT_MS}"):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if not connection.get_execution_options().get("each_its_own"):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


_making_engine = Lock()


def engine() -> Engine:
    """The process's engine, by `DATABASE_URL`; one, however many threads ask for it first."""
    with _making_engine:
        return _engine()


@cache
def _engine() -> Engine:
    return make_engine(settings().database_url, pool_size=settings().database_pool)


SessionFactory = sessionmaker(expire_on_commit=False, autoflush=False)
"""What every session of the product that writes is made by; the relay listens to it (`worker/relay.py`)."""

_ReadingFactory = sessionmaker(expire_on_commit=False, autoflush=False)

_USER, _READ_ONLY = "acting_for", "read_only"
"""Where a session keeps which user it acts for, as `wire.begin` has it, and whether it may only read."""


@contextmanager
def sessions() -> Iterator[Session]:
    """One transaction: committed when the block ends, rolled back when it raises."""
    with SessionFactory(bind=engine(), info={_USER: _user()}) as session, session.begin():
        yield session


@contextmanager
def readings() -> Iterator[Session]:
    """A session that only reads, one statement at a time, each seeing the latest; no transaction stays open.

    But for those of one user on PostgreSQL: they are one transaction that cannot write, or each would have to say anew
    whose they are. Each still sees the latest.
    """
    user, source = _user(), engine()
    if user is None or source.dialect.name != "postgresql":
        with Session(bind=_engine_without_transactions(), autoflush=False) as session:
            yield session
    else:
        # It is committed, for after a rollback the driver prepares all its statements anew.
        with _ReadingFactory(bind=source, info={_USER: user, _READ_ONLY: True}) as session, session.begin():
            yield session


def _user() -> str | None:
    """Whom the database is to let what begins now act for; None is everyone, and "" is nobody."""
    whom = acting.whom()
    if whom is Whom.everyone or not settings().row_level_security:
        return None
    return whom.hex if isinstance(whom, UUID) else ""


@event.listens_for(SessionFactory, "after_begin")
@event.listens_for(_ReadingFactory, "after_begin")
def _begin_for_user(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    user = session.info.get(_USER)
    if user is None or transaction.nested or connection.dialect.name != "postgresql":
        return
    driver = _driver(connection)
    try:
        wire.begin(driver, user=user, read_only=_READ_ONLY in session.info)
    except psycopg.Error as error:
        if driver.closed:
            connection.invalidate(error)
            connection.engine.dispose()
        raise _as_everywhere("BEGIN", error, driver) from error


def _driver(connection: Connection) -> psycopg.Connection[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101  # for the types: it can be nothing else
    return driver


def _as_everywhere(statement: str, error: psycopg.Error, driver: psycopg.Connection[Any]) -> Exception:
    """An error of the driver as SQLAlchemy would raise it."""
    return DBAPIError.instance(
        statement, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=driver.closed
    )


class Lone:
    """A connection of PostgreSQL for one statement; it stands in for a session where a `Prepared` is all that is run.

    A session costs more than such a statement does.
    """

    def __init__(self, driver: psycopg.Connection[Any], prepared: dict[bytes, bytes]) -> None:
        self.driver = driver
        self.line = wire.Line(driver, prepared)
        self.user = _user()
        self.info: dict[str, Any] = {}


Sender = Session | Lone
"""What a verb that is one prepared statement can be sent with."""


@contextmanager
def at_once() -> Iterator[Sender]:
    """For a verb that is one prepared statement: it is committed when it returns, and what it staged is handed over.

    It saves the session, and the trips of BEGIN and COMMIT. Two statements would be two transactions: use `sessions()`
    for those.
    """
    engine = _engine_without_transactions()
    if engine.dialect.name != "postgresql":
        with SessionFactory(bind=engine) as session, session.begin():
            yield session
        return
    with _lone(engine) as lone:
        yield lone
    for receive in _receivers:
        receive(lone.info)


@contextmanager
def _lone(engine: Engine) -> Iterator[Lone]:
    pooled = engine.raw_connection()
    driver = pooled.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101  # for the types: it can be nothing else
    lone = Lone(driver, pooled.info.setdefault("prepared", {}))
    try:
        yield lone
    except DBAPIError as error:
        if error.connection_invalidated:
            pooled.invalidate(error)
            engine.dispose()  # the others of its age are most likely closed as well
        raise
    finally:
        if pooled.is_valid and not lone.line.idle:
            pooled.invalidate()  # broken off in the middle: what it would answer next is not known
        pooled.close()


def on_commit(receive: Callable[[dict[Any, Any]], None]) -> None:
    """Call `receive` with the `info` of whatever has just committed."""
    _receivers.append(receive)


_receivers: list[Callable[[dict[Any, Any]], None]] = []


@event.listens_for(SessionFactory, "after_commit")
def _committed(session: Session) -> None:
    for receive in _receivers:
        receive(session.info)


def _engine_without_transactions() -> Engine:
    with _making_engine:
        return _autocommitting(_engine())


@cache
def _autocommitting(engine: Engine) -> Engine:
    if engine.dialect.name == "postgresql":
        # Connections of its own that are never in a transaction, so there is nothing to begin, end or reset.
        return _postgresql(
            engine.url, settings().database_pool, isolation_level="AUTOCOMMIT", pool_reset_on_return=None
        )
    return engine.execution_options(each_its_own=True)


def moment(session: Session, *, plus: float = 0) -> datetime:
    """What the database's clock says, `plus` seconds."""
    return session.execute(select(now(plus))).scalar_one()


def days_ahead(session: Session, days: int | None) -> datetime | None:
    """So many days from now by the database's clock; None, which is never, for None."""
    return None if days is None else moment(session, plus=days * DAY_SECONDS)


def is_postgresql(session: Sender) -> bool:
    return isinstance(session, Lone) or session.get_bind().dialect.name == "postgresql"


class Prepared:
    """A statement that is worked out once and then sent as it is; for those that run all day.

    On PostgreSQL it goes straight to the driver, on the session's connection and in its transaction: working a
    statement out anew costs SQLAlchemy more than running it costs the database. Values come as the driver has them:
    words are plain strings. Errors are SQLAlchemy's, as everywhere.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        dialect = postgresql.psycopg.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]
        compiled = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        assert isinstance(compiled, SQLCompiler)  # noqa: S101  # for the types: it is a statement with parameters
        self._sql = str(compiled)
        self._bytes = self._sql.encode()
        self._names = compiled.positiontup or []
        self._json = {name for name, bind in compiled.binds.items() if isinstance(bind.type, JSON)}
        self._constants = {name: value for name, value in compiled.params.items() if value is not None}

    def one_or_none(self, session: Sender, **parameters: Any) -> Sequence[Any] | None:
        """Run it and return its only row, or None."""
        if isinstance(session, Session) and not is_postgresql(session):
            return session.execute(self._statement, parameters).one_or_none()
        return self._send(session, parameters)

    def read(self, **parameters: Any) -> Sequence[Any] | None:
        """Run it by itself and return its only row, or None: `readings()` without a session, which costs more than the
        statement. On a connection that the server has closed meanwhile it is run again on a new one."""
        engine = _engine_without_transactions()
        if engine.dialect.name != "postgresql":
            with readings() as session:
                return self.one_or_none(session, **parameters)
        try:
            with _lone(engine) as lone:
                return self.one_or_none(lone, **parameters)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            with _lone(engine) as lone:
                return self.one_or_none(lone, **parameters)

    def run(self, session: Sender, **parameters: Any) -> None:
        """Run it for what it does, on PostgreSQL."""
        self._send(session, parameters)

    def _send(self, session: Sender, parameters: dict[str, Any]) -> Sequence[Any] | None:
        given = {**self._constants, **parameters}
        values = [self._for_driver(name, given[name]) for name in self._names]
        driver = session.driver if isinstance(session, Lone) else _driver(session.connection())
        try:
            if isinstance(session, Lone):
                return session.line.alone(self._bytes, values, user=session.user)
            cursor = psycopg.RawCursor(driver)
            cursor.execute(self._bytes, values)
            return cursor.fetchone() if cursor.description else None
        except psycopg.Error as error:
            raise _as_everywhere(self._sql, error, driver) from error

    def _for_driver(self, name: str, value: Any) -> Any:
        if name in self._json and value is not None:
            return Jsonb(value)
        return value.value if isinstance(value, StrEnum) else value


def insert_into(session: Session, table: type[Base]) -> postgresql.Insert | sqlite.Insert:
    """An INSERT that can say `on_conflict_do_…`, in the dialect of the session."""
    return postgresql.insert(table) if is_postgresql(session) else sqlite.insert(table)
