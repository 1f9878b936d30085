"""A database clock that tests can move.

On PostgreSQL a function `now()` in a schema that is searched before the server's own adds the shift; on SQLite every
connection has a `strftime` that does. The process's own clock is left alone: the product does not ask it. What
PostgreSQL fills in by itself (`created_at`) keeps the real time.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from models import database as db
from models.database import moment, sessions

SCHEMA = """
CREATE SCHEMA clock;
CREATE TABLE clock.shift (by interval NOT NULL);
INSERT INTO clock.shift VALUES ('0');
CREATE FUNCTION clock.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS 'SELECT pg_catalog.now() + (SELECT by FROM clock.shift)';
"""


class Clock:
    """What the database takes for the time: the real time and a shift."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._shift = timedelta()
        if url.startswith("postgresql"):
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(SCHEMA)
                name = connection.info.dbname
                connection.execute(f'ALTER DATABASE "{name}" SET search_path = clock, public, pg_catalog')
        else:
            event.listen(db.engine(), "connect", self._shift_sqlite)
        # Connections that were made before still have the old clock.
        db.engine().dispose()
        db._autocommitting(db.engine()).dispose()

    def now(self) -> datetime:
        """What the database says, through the product."""
        with sessions() as session:
            return moment(session)

    def move(self, **by: float) -> None:
        """Move the clock on, or back: `move(days=1)`, `move(seconds=-5)`."""
        self._set(self._shift + timedelta(**by))

    def set(self, to: datetime) -> None:
        """Let it be `to` now; from there it goes on."""
        self._set(self._shift + (to - self.now()))

    def _set(self, shift: timedelta) -> None:
        before, moved = self.now(), shift - self._shift
        self._shift = shift
        if self._url.startswith("postgresql"):
            with psycopg.connect(self._url, autocommit=True) as connection:
                connection.execute("UPDATE clock.shift SET by = %s", [shift])
        # A clock that stood still would let tests pass that prove nothing.
        assert abs(self.now() - before - moved) < timedelta(seconds=30)

    def _shift_sqlite(self, connection: Any, _record: Any) -> None:
        real = sqlite3.connect(":memory:", check_same_thread=False)

        def strftime(form: str, *modifiers: str) -> Any:
            marks = ", ".join("?" * (len(modifiers) + 1))
            # Text in this form is itself a moment; only `now` is shifted.
            shift = f"{self._shift.total_seconds():.3f} seconds" if modifiers[:1] == ("now",) else "0 seconds"
            return real.execute(f"SELECT strftime(?, {marks})", [form, *modifiers, shift]).fetchone()[0]

        connection.create_function("strftime", -1, strftime)


@pytest.fixture
def clock(database: str) -> Clock:
    """The clock of both databases, one after the other."""
    return Clock(database)


@pytest.fixture
def postgresql_clock(postgresql: str) -> Clock:
    return Clock(postgresql)


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)
