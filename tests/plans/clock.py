"""A database clock that tests can move.

On PostgreSQL a function `now()` in a schema that is searched before the server's own adds the shift; on SQLite every
connection has a `strftime` that does. The process's own clock is left alone: the product does not ask it. What
PostgreSQL fills in by itself (`created_at`) keeps the real time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from models import database as db
from models.database import moment, sessions
from tests.databases import close, preparations


class Clock:
    """What the database in use takes for the time: the real time and a shift."""

    def __init__(self) -> None:
        self._shift = timedelta()
        self._on_postgresql = db.engine().dialect.name == "postgresql"

    def __enter__(self) -> Clock:
        preparations.append(self._look_here)
        # Connections that were made before still have the real clock.
        close(db.engine())
        return self

    def __exit__(self, *_: object) -> None:
        preparations.remove(self._look_here)
        close(db.engine())

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
        if self._on_postgresql:
            with sessions() as session:
                session.execute(text("UPDATE clock.shift SET by = :shift"), {"shift": shift})
        # A clock that stood still would let tests pass that prove nothing.
        assert abs(self.now() - before - moved) < timedelta(seconds=30)

    def _look_here(self, connection: Any) -> None:
        if self._on_postgresql:
            connection.execute("SET search_path = clock, public, pg_catalog")
            connection.commit()
            return
        real = sqlite3.connect(":memory:", check_same_thread=False)

        def strftime(form: str, *modifiers: str) -> Any:
            marks = ", ".join("?" * (len(modifiers) + 1))
            # Text in this form is itself a moment; only `now` is shifted.
            shift = f"{self._shift.total_seconds():.3f} seconds" if modifiers[:1] == ("now",) else "0 seconds"
            return real.execute(f"SELECT strftime(?, {marks})", [form, *modifiers, shift]).fetchone()[0]

        connection.create_function("strftime", -1, strftime)


@pytest.fixture
def clock(database: str) -> Iterator[Clock]:
    """The clock of both databases, one after the other."""
    with Clock() as made:
        yield made


@pytest.fixture
def postgresql_clock(postgresql: str) -> Iterator[Clock]:
    with Clock() as made:
        yield made


def utc(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


MONDAY = utc(2030, 5, 6, 7)
"""In the morning, five hours after the shop's day and week began at 04:00 in Berlin."""
