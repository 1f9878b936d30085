"""What every test stands on: real servers of its own, and a fresh, migrated database for each test.

Tests that take `database` run twice, on SQLite and on PostgreSQL; `postgresql` and `sqlite` ask for one of them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import psycopg
import pytest
import structlog
from argon2 import PasswordHasher
from sqlalchemy.orm import Session

from ops import embedded

# The settings are read when the product is imported, so they are chosen before that.
_home = Path(tempfile.mkdtemp(prefix="coinop-tests-"))
_broker_port = embedded.free_port()
for _name in list(os.environ):
    if _name in ("DATABASE_URL", "STORAGE_URL", "PRESET", "COINOP_ENV", "OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN"):
        del os.environ[_name]
os.environ.update(
    COINOP_HOME=str(_home),
    SECRET_KEY="a secret that is only for tests, and long",
    JWT_SECRET_KEY="another secret that is only for tests",
    BROKER_URL=f"redis://127.0.0.1:{_broker_port}/0",
    REDIS_URL=f"redis://127.0.0.1:{_broker_port}/0",
    MOCK_LATENCY_SECONDS="0",
    AUTH_RATE_LIMIT="100000 per minute",
    SUBMIT_RATE_LIMIT="100000 per minute",
    UPLOAD_RATE_LIMIT="100000 per minute",
    WAIT_SECONDS_MAX="0",
    LOG_LEVEL="WARNING",
)

import models.tables  # noqa: E402, F401
from config import settings  # noqa: E402
from models import database as db  # noqa: E402
from models import ledger, users  # noqa: E402
from models.catalog import load, read_preset  # noqa: E402
from models.database import sessions  # noqa: E402
from models.ledger import Source  # noqa: E402
from tests.databases import CLOCK, TEMPLATE, Databases, SqliteFiles, in_use  # noqa: E402
from tests.scheduling import group, pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: E402, F401
from tests.system.houses import Houses  # noqa: E402
from web import create_app  # noqa: E402
from web.commands.database import upgrade  # noqa: E402

HOUSES = pytest.StashKey[Houses]()


def pytest_sessionfinish() -> None:
    shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def quick_passwords() -> Iterator[None]:
    """Hash passwords with the least argon2 can do: hundreds of tests sign somebody up. Whole running Coinops do not."""
    with mock.patch("models.users.PasswordHasher", partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)):
        yield


@pytest.fixture(scope="session", autouse=True)
def logs_are_heard() -> Iterator[None]:
    """A logger that was used before `capture_logs` listens would keep talking past it."""
    configure = structlog.configure
    with mock.patch("structlog.configure", lambda **how: configure(**{**how, "cache_logger_on_first_use": False})):
        yield


@pytest.fixture(scope="session", autouse=True)
def nobody_waits() -> Iterator[None]:
    """No worker does anything in this process, so a view has nothing to wait for. Whole running Coinops do."""
    with mock.patch("web.waiting.MOST_SECONDS", 0.0):
        yield


@pytest.fixture(scope="session")
def broker() -> Iterator[str]:
    """A real broker; its URL is the one in the settings."""
    with embedded.broker(_broker_port) as url:
        yield url


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    # What a power cut would lose does not matter here.
    with embedded.postgresql("fsync=off", "synchronous_commit=off", "full_page_writes=off") as url:
        migrated = embedded.create_database(url, TEMPLATE)
        _migrate(migrated)
        with psycopg.connect(migrated) as connection:
            connection.execute(CLOCK)
        yield url


@pytest.fixture(scope="session")
def sqlite_files(tmp_path_factory: pytest.TempPathFactory) -> SqliteFiles:
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite3"
    _migrate(f"sqlite:///{path}")
    return SqliteFiles(path)


@pytest.fixture
def sqlite(sqlite_files: SqliteFiles) -> Iterator[str]:
    """A migrated SQLite database with the default preset; the product of this process uses it. Gives its URL."""
    with in_use(sqlite_files.clean()) as url:
        yield url


@pytest.fixture(scope="session")
def databases(postgresql_server: str) -> Databases:
    return Databases(postgresql_server)


@pytest.fixture
def pristine(databases: Databases) -> None:
    """Ask for it before a database, to have one that nobody has used."""
    databases.throw_away()


@pytest.fixture
def postgresql(databases: Databases) -> Iterator[str]:
    """A migrated PostgreSQL database with the default preset; the product of this process uses it. Gives its URL."""
    with in_use(databases.clean()) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    """Both databases, one after the other."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture(scope="session")
def front_door() -> Callable[[], Any]:
    """Makes front doors of this process. Their relay is left out: it would empty the outbox under others' eyes; and
    their announcer: it would speak to a broker that most tests do not have, and take from others what ended. The
    tests of whole running Coinops have both."""

    def make() -> Any:
        with mock.patch("web.relay.start"), mock.patch("web.announcer.start"):
            return create_app()

    return make


@pytest.fixture(scope="session")
def app(front_door: Callable[[], Any]) -> Any:
    """The front door of this process."""
    return front_door()


@pytest.fixture(scope="session")
def houses(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Houses:
    made = request.config.stash[HOUSES] = Houses(request, tmp_path_factory)
    return made


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """Stop the running Coinops after the last of the tests that share them, while their servers are still there."""
    try:
        if HOUSES in item.config.stash and (nextitem is None or group(nextitem.nodeid) != group(item.nodeid)):
            item.config.stash[HOUSES].close()
    finally:
        yield


@pytest.fixture
def new_user() -> Callable[..., tuple[UUID, int]]:
    """Make a user with a wallet of `amount` bought credits; gives the ids of both."""

    def make(amount: int = 0, *, kind: str = "credits") -> tuple[UUID, int]:
        with sessions() as session:
            user_id = users.register(session, email=f"{uuid4().hex}@example.com", password_hash="x").id
            wallet_id = ledger.open_wallet(session, user_id=user_id, kind=kind)
            if amount:
                ledger.grant(
                    session, wallet_id=wallet_id, amount=amount, source=Source.purchase, ref=f"test:{uuid4().hex}"
                )
        return user_id, wallet_id

    return make


def _migrate(url: str) -> None:
    engine = db.make_engine(url)
    upgrade(engine)
    with Session(engine) as session, session.begin():
        load(session, read_preset(settings().preset))
    engine.dispose()
