"""What the tests of providers stand on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from config import settings
from models import database
from models.kinds import Kind
from models.outbox import STAGED
from tasks import generation
from tests.ai.shaky import Shaky
from worker import gates
from worker.backends import BACKENDS, Backend
from worker.gates import Gates


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> deque[UUID]:
    """A broker's queue: the jobs whose wake-ups transactions staged, in the order in which they were committed."""
    messages: deque[UUID] = deque()

    def hand_over(info: dict[Any, Any]) -> None:
        messages.extend(UUID(message.task_id) for message in info.pop(STAGED, ()))

    monkeypatch.setattr(database, "_receivers", [hand_over])
    return messages


@pytest.fixture
def shaky_settings(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Chats are made by a provider that can fail. Ask for it before a database; others add settings to it."""
    monkeypatch.setitem(BACKENDS, "shaky", Backend("tests.ai.shaky:Shaky", {Kind.chat: "one"}))
    monkeypatch.setenv("AI_PROVIDERS", "chat=shaky")
    monkeypatch.setenv("PROVIDER_FAILURES", "3")
    monkeypatch.setattr(gates, "LOOK_SECONDS", 0.0)
    Shaky.reset()
    return monkeypatch


@pytest.fixture
def worker(shaky_settings: pytest.MonkeyPatch, database: str) -> Gates:
    """The gates of this process's worker, on a fresh database."""
    fresh = Gates(settings())
    shaky_settings.setattr(generation, "gates", fresh)
    return fresh


@pytest.fixture
def user(worker: Gates, new_user: Callable[..., tuple[UUID, int]]) -> UUID:
    return new_user(1_000)[0]
