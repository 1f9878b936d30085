"""Databases and engines that serve many tests, one after the other.

Emptying a database takes milliseconds, a new one takes a quarter of a second. A new engine has every statement worked
out anew, which takes longer than most tests do otherwise; so the engines stay, with their connections. A test that
changed more than rows, or wrote very many, leaves its database to be thrown away.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import psycopg
from sqlalchemy import Engine, event

import config
from config import Settings, settings
from models import database as db
from ops import embedded

TEMPLATE = "migrated"

CLOCK = """
    CREATE SCHEMA clock;
    CREATE TABLE clock.shift (by interval NOT NULL);
    INSERT INTO clock.shift VALUES ('0');
    CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
        AS 'SELECT pg_catalog.now() + (SELECT by FROM clock.shift)';
    GRANT USAGE ON SCHEMA clock TO PUBLIC;
    GRANT SELECT ON clock.shift TO PUBLIC;
"""
"""A clock of PostgreSQL that can be moved, for whoever has its schema in the search path before the server's own."""

MOST_GROWTH = 8 * 2**20
"""Bytes; what was deleted still takes its place, and would slow the tests that follow."""

STRUCTURE = """
    SELECT (SELECT string_agg(tgname || tgenabled::text, ',' ORDER BY oid) FROM pg_trigger),
           (SELECT string_agg(nspname::text, ',' ORDER BY oid) FROM pg_namespace WHERE nspname NOT LIKE 'pg_t%temp_%'),
           (SELECT string_agg(relname::text, ',' ORDER BY oid) FROM pg_class WHERE relkind IN ('r', 'i', 'S', 'v')),
           (SELECT string_agg(conname::text, ',' ORDER BY oid) FROM pg_constraint),
           (SELECT count(*) FROM pg_attribute WHERE attnum > 0),
           (SELECT string_agg(proname::text, ',' ORDER BY oid) FROM pg_proc),
           (SELECT string_agg(setconfig::text, ',') FROM pg_db_role_setting s
            JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database())
"""

KEPT = ("alembic_version", "catalog_versions")
"""Tables with rows that a migrated database begins with."""

_engines: dict[tuple[str, int], Engine] = {}
"""By URL and size of the pool."""

_read: dict[frozenset[tuple[str, str]], Settings] = {}
"""By what the environment was."""

preparations: list[Callable[[Any], None]] = []
"""What is to be done with every new connection of theirs."""


@contextmanager
def in_use(url: str) -> Iterator[str]:
    """Let the product of this process use a database until the block ends; then the one before, if there was one."""
    before = os.environ.get("DATABASE_URL")
    os.environ["DATABASE_URL"] = url
    _read_settings()
    kept = _engine_of(url, settings().database_pool)
    db._engine.cache_clear()
    with mock.patch.object(db, "make_engine", return_value=kept):
        db.engine()
    try:
        yield url
    finally:
        if db.engine() is not kept:
            close(db.engine())
        if before is None:
            del os.environ["DATABASE_URL"]
        else:
            os.environ["DATABASE_URL"] = before
        settings.cache_clear()
        db._engine.cache_clear()


def _read_settings() -> None:
    """Have the settings follow the environment. Reading one environment again takes longer than some tests do."""
    settings.cache_clear()
    environment = frozenset(item for item in os.environ.items() if item[0] != "PYTEST_CURRENT_TEST")
    if environment in _read:
        with mock.patch.object(config, "Settings", return_value=_read[environment]):
            settings()
    _read[environment] = settings()


def close(engine: Engine) -> None:
    """Close the connections of an engine, and of its sibling without transactions."""
    db._autocommitting(engine).dispose()
    engine.dispose()


def _engine_of(url: str, pool_size: int) -> Engine:
    if (url, pool_size) not in _engines:
        made = _engines[url, pool_size] = db.make_engine(url, pool_size=pool_size)
        if made.dialect.name == "postgresql":
            event.listen(db._autocommitting(made), "connect", _connected)
        event.listen(made, "connect", _connected)
    return _engines[url, pool_size]


def _connected(connection: Any, _record: Any) -> None:
    if isinstance(connection, sqlite3.Connection):
        # What a power cut would lose does not matter here.
        connection.execute("PRAGMA synchronous=OFF")
    for prepare in preparations:
        prepare(connection)


def forget(url: str) -> None:
    """Close all connections to a database that nobody needs any more."""
    for key in [key for key in _engines if key[0] == url]:
        close(_engines.pop(key))


class SqliteFiles:
    """Gives migrated SQLite databases with the default preset, one at a time."""

    def __init__(self, migrated: Path) -> None:
        self._migrated = migrated
        self._path: Path | None = None
        self._number = 0

    def clean(self) -> str:
        """The URL of a database in which nothing has happened."""
        if self._path:
            try:
                self._copy(self._path)
            except sqlite3.Error:  # somebody still uses it
                forget(f"sqlite:///{self._path}")
                self._path = None
        if not self._path:
            self._number += 1
            self._path = self._migrated.with_name(f"{self._number}.sqlite3")
            self._copy(self._path)
        return f"sqlite:///{self._path}"

    def _copy(self, path: Path) -> None:
        with closing(sqlite3.connect(self._migrated)) as source, closing(sqlite3.connect(path, timeout=1)) as target:
            target.execute("PRAGMA synchronous=OFF")
            source.backup(target)


class Databases:
    """Gives migrated PostgreSQL databases with the default preset, one at a time."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        self._url = ""
        self._connection: psycopg.Connection[Any] | None = None
        self._structure: Any = None
        self._size = 0
        self._emptying = ""

    def throw_away(self) -> None:
        """Give a new one next time: for tests of query plans, which go by what statistics remember."""
        forget(self._url)
        self._url = ""

    def clean(self) -> str:
        """The URL of a database in which nothing has happened."""
        if self._url and not self._emptied():
            self.throw_away()
        return self._url or self._new()

    def _emptied(self) -> bool:
        """Empty it and say so; or say no, because somebody still uses it or changed it."""
        try:
            connection = self._connected()
            if not self._as_it_was(connection):
                return False
            connection.execute(self._emptying)
        except psycopg.Error:
            return False
        return True

    def _connected(self) -> psycopg.Connection[Any]:
        try:
            if self._connection:
                self._connection.execute("SELECT 1")
        except psycopg.Error:  # a test closed all connections there were
            self._connection = None
        self._connection = self._connection or psycopg.connect(
            self._url, options="-c lock_timeout=1s -c session_replication_role=replica", autocommit=True
        )
        return self._connection

    def _new(self) -> str:
        self._url = embedded.create_database(self._server_url, f"test_{uuid4().hex}", template=TEMPLATE)
        self._connection = None
        connection = self._connected()
        self._structure = connection.execute(STRUCTURE).fetchone()
        self._size = _size(connection)
        tables = [row[0] for row in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        sequences = [row[0] for row in connection.execute("SELECT sequencename FROM pg_sequences")]
        last = connection.execute("SELECT max(id) FROM catalog_versions").fetchone()
        kept = last[0] if last else 0
        self._emptying = ";".join(
            [
                *(f"DELETE FROM {table}" for table in tables if table not in KEPT),
                f"DELETE FROM catalog_versions WHERE id > {kept}",
                *(f"ALTER SEQUENCE {name} RESTART" for name in sequences if name != "catalog_versions_id_seq"),
                f"ALTER SEQUENCE catalog_versions_id_seq RESTART {kept + 1}",
                "UPDATE clock.shift SET by = '0' WHERE by <> '0'",
            ]
        )
        return self._url

    def _as_it_was(self, connection: psycopg.Connection[Any]) -> bool:
        grown = _size(connection) - self._size
        return grown < MOST_GROWTH and connection.execute(STRUCTURE).fetchone() == self._structure


def _size(connection: psycopg.Connection[Any]) -> int:
    row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row is not None
    return int(row[0])
