"""What the tests of waiting stand on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import pytest

from models import database as db
from tests.http.conftest import caller, client, sign_up
from tests.waiting.waiters import AN_HOUR, Background
from web import waiting
from web.waiting import Places
from worker import announcer
from worker.listener import Listener

__all__ = ["caller", "client", "sign_up"]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests may wait here; asked for before the database, with which the settings are read."""
    monkeypatch.setenv("WAIT_SECONDS_MAX", "20")


@pytest.fixture
def seats() -> Iterator[Places]:
    """Many places, and one user may have half of them."""
    made = Places(12)
    with mock.patch.object(waiting, "places", return_value=made):
        yield made


@pytest.fixture
def ear(broker: str, seats: Places) -> Iterator[Listener]:
    """Announcements are all there is: nobody looks just so within the test's patience."""
    made = Listener(broker)
    with (
        mock.patch.object(db, "_receivers", list(db._receivers)),
        mock.patch.object(waiting, "listener", return_value=made),
        mock.patch.object(waiting, "HEARING_PAUSE_SECONDS", AN_HOUR),
        mock.patch.object(waiting, "FIRST_PAUSE_SECONDS", AN_HOUR),
    ):
        announcer.start()
        yield made


@pytest.fixture
def deaf(seats: Places) -> Iterator[None]:
    """The broker is away."""
    with mock.patch.object(waiting, "listener", return_value=Listener("redis://127.0.0.1:1/0")):
        yield


@pytest.fixture
def background() -> Iterator[Background]:
    """Ask for something in a thread of its own."""
    with ThreadPoolExecutor(12) as threads:
        yield threads.submit
