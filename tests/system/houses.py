"""The whole running Coinops of one process, each started for the first test that asks for it.

They stay for all tests that go together (tests/scheduling.py); then each must have clean books, and is stopped.
"""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest

from ops import embedded
from tests.databases import CLOCK, forget
from tests.system.house import House


class Houses:
    """At most one Coinop on SQLite, one on PostgreSQL and one on a PostgreSQL whose clock can be moved."""

    def __init__(self, request: pytest.FixtureRequest, homes: pytest.TempPathFactory, **also: str) -> None:
        """`also` are settings that these have beside the usual ones."""
        self._request = request
        self._homes = homes
        self._also = also
        self._running: dict[tuple[str, bool], House] = {}

    def on(self, database: str, *, selling: str, with_clock: bool = False) -> House:
        """The one on `sqlite` or `postgresql`, which sells this preset from now on."""
        key = (database, with_clock)
        if key not in self._running:
            self._running[key] = self._start(database, selling, with_clock)
        self._running[key].sell(selling)
        return self._running[key]

    def close(self) -> None:
        """Stop them all. Fails if the books of one do not balance."""
        said = []
        while self._running:
            _, house = self._running.popitem()
            forget(house.database_url)
            audit = house.flask("audit")
            house.stop()
            said.append(audit.stdout.strip() + audit.stderr)
        assert set(said) <= {"The books balance."}, said

    def _start(self, database: str, selling: str, with_clock: bool) -> House:
        home = self._homes.mktemp("home")
        if database == "sqlite":
            url = f"sqlite:///{home / 'coinop.sqlite3'}"
        else:
            url = embedded.create_database(self._request.getfixturevalue("postgresql_server"), f"house_{uuid4().hex}")
        if with_clock:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(CLOCK)
                name = connection.info.dbname
                connection.execute(f'ALTER DATABASE "{name}" SET search_path = public, clock, pg_catalog')
        house = House(home, url, preset=selling, also=self._also)
        house.start()
        return house
