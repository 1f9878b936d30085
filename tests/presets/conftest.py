"""One running Coinop for each product, for the stories of one file; each story has customers of its own.

A file names its `PRESET` and, if PostgreSQL is not enough, its `DATABASES`; each is started once, by one process.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from uuid import uuid4

import psycopg
import pytest

from ops import embedded
from tests.presets.stories import CLOCK, Product, homes_extra
from tests.system.house import House


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "product" in metafunc.fixturenames:
        preset = metafunc.module.PRESET
        databases = getattr(metafunc.module, "DATABASES", ("postgresql",))
        runs = [pytest.param((preset, each), id=each) for each in databases]
        metafunc.parametrize("product", runs, indirect=True, scope="module")


@pytest.fixture(scope="module")
def product(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    preset, database = request.param
    home = tmp_path_factory.mktemp(preset)
    if database == "sqlite":
        url = f"sqlite:///{home / 'coinop.sqlite3'}"
    else:
        url = _with_clock(embedded.create_database(request.getfixturevalue("postgresql_server"), f"p_{uuid4().hex}"))
    house = House(home, url, extra=homes_extra(preset))
    house.start()
    product = Product(house)
    if database == "postgresql":
        # So that no real day, week or month ends in the middle of a story.
        product.set_clock(datetime(2030, 1, 1, 12, tzinfo=UTC))
    yield product
    audit = house.flask("audit")
    house.stop()
    assert audit.stdout.strip() == "The books balance.", audit.stdout + audit.stderr


def _with_clock(url: str) -> str:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(CLOCK)
        name = connection.info.dbname
        connection.execute(f'ALTER DATABASE "{name}" SET search_path = public, clock, pg_catalog')
    return url
