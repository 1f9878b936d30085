"""One running Coinop for each database, shared by the tests of this folder; each test is a user of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from ops import embedded
from tests.system.house import House


# Each of the two is started once, by the one process that runs all of its tests (tests/scheduling.py).
@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    home: Path = tmp_path_factory.mktemp("home")
    if request.param == "sqlite":
        url = f"sqlite:///{home / 'coinop.sqlite3'}"
    else:
        url = embedded.create_database(request.getfixturevalue("postgresql_server"), f"house_{uuid4().hex}")
    house = House(home, url)
    house.start()
    yield house
    audit = house.flask("audit")
    house.stop()
    assert audit.stdout.strip() == "The books balance.", audit.stdout + audit.stderr
