"""One running Coinop for each database, shared by the tests of this folder; each test is a user of its own."""

from __future__ import annotations

import pytest

from tests.system.house import House
from tests.system.houses import Houses


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def lodging(request: pytest.FixtureRequest) -> str:
    """The database; all tests of one come before those of the other."""
    database: str = request.param
    return database


@pytest.fixture
def house(lodging: str, houses: Houses) -> House:
    return houses.on(lodging, selling="default")
