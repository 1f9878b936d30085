"""What the tests of what can be watched stand on."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import structlog
from flask.testing import FlaskClient

import logs
import tasks.email
import tasks.generation
import tracing
from config import settings
from models import database
from tests.http.conftest import caller, client, sign_up
from tests.watching.receivers import Receiver, receiving
from web import create_app
from worker import relay, watching

__all__ = ["caller", "client", "sign_up"]

TASKS = {"generation.run": tasks.generation.run, "email.deliver": tasks.email.deliver}


@dataclass
class Wire:
    """A broker of this process: what was published, and a worker who does it."""

    messages: deque[dict[str, Any]] = field(default_factory=deque)

    def send_task(self, name: str, **how: Any) -> None:
        self.messages.append({"name": name, **how})

    def producer_or_acquire(self) -> Any:
        return mock.MagicMock()

    def work(self) -> dict[str, Any]:
        """Do the first task there is, as a worker does, and give its message."""
        message = self.messages.popleft()
        task: Any = SimpleNamespace(name=message["name"], request=SimpleNamespace(headers=message["headers"]))
        watching._name_task(task=task, task_id=message["task_id"])
        message["bound"] = structlog.contextvars.get_contextvars()
        TASKS[message["name"]](*message["args"])
        watching._count_task(task=task, state="SUCCESS")
        return message


@dataclass
class House:
    """A front door, and what it publishes."""

    client: FlaskClient
    wire: Wire
    receiver: Receiver


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@contextmanager
def house(monkeypatch: pytest.MonkeyPatch, receiver: Receiver, **variables: str) -> Iterator[House]:
    """A front door of its own, under these settings, with a relay that works at once."""
    root, wire = logging.getLogger(), Wire()
    handlers, level, start = root.handlers[:], root.level, relay.start
    with monkeypatch.context() as patched:
        for name, value in variables.items():
            patched.setenv(name, value)
        settings.cache_clear()
        patched.setattr(database, "_receivers", [])
        patched.setattr("web.relay.start", lambda _: start(wire))
        patched.setattr("web.announcer.start", lambda: None)
        patched.setattr(relay.Relay, "_start", lambda self: None)
        patched.setattr(relay.Relay, "hand_over", _at_once)
        yield House(create_app().test_client(), wire, receiver)
        tracing.close()
    settings.cache_clear()
    logs.set_up_logging()
    root.handlers[:] = handlers
    root.setLevel(level)


def _at_once(self: relay.Relay, messages: Any) -> None:
    self._deliver([(message, relay._handed(message)) for message in messages])
