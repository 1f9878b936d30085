"""What the ledger's tests stand on: wallets, on both databases."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest


@pytest.fixture
def wallet(database: str, new_user: Callable[..., tuple[UUID, int]]) -> int:
    """An empty wallet of credits, on SQLite and then on PostgreSQL."""
    return new_user()[1]


@pytest.fixture
def other(database: str, new_user: Callable[..., tuple[UUID, int]]) -> int:
    """An empty wallet of somebody else."""
    return new_user()[1]
