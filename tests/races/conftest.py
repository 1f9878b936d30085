"""What races stand on: PostgreSQL, and a connection for each runner."""

from __future__ import annotations

import pytest

RUNNERS = 110


@pytest.fixture
def arena(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A PostgreSQL database whose pool has a connection for everybody, so that nobody waits outside."""
    monkeypatch.setenv("DATABASE_POOL", str(RUNNERS))
    url: str = request.getfixturevalue("postgresql")
    return url
