"""`flask migrate` beside a running Coinop: it gives way, and whoever is served goes on being served."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest
from flask.testing import FlaskClient
from sqlalchemy import Connection

from models import walls
from tests.http.conftest import Caller
from web.commands import database
from web.shelf import shelf


@pytest.fixture
def client(app: Any, postgresql: str) -> FlaskClient:
    """The front door on PostgreSQL: SQLite has one writer at a time, whoever it is."""
    shelf.look_again()
    made: FlaskClient = app.test_client()
    return made


@pytest.fixture
def in_a_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LOCK_PATIENCE_MS", 50)
    monkeypatch.setattr(database, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(database, "TRIES", 2)


def test_a_table_that_is_held_is_told_and_later_it_goes_on(postgresql: str, app: Any, in_a_hurry: None) -> None:
    runner = app.test_cli_runner()
    with psycopg.connect(postgresql) as other:
        other.execute("LOCK TABLE alembic_version IN ACCESS EXCLUSIVE MODE")
        told = runner.invoke(args=["migrate"])
        assert told.exit_code == 1
        assert "trying again" in told.output
        assert "in each of 2 tries. Nothing was changed." in told.output
    assert "The database is up to date." in runner.invoke(args=["migrate"]).output


def test_another_fault_is_not_taken_for_a_lock(
    postgresql: str, app: Any, in_a_hurry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Connection) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(walls, "admit", broken)
    failed = app.test_cli_runner().invoke(args=["migrate"])
    assert isinstance(failed.exception, ZeroDivisionError)
    assert "trying again" not in failed.output


def test_the_front_door_serves_while_a_migration_that_changes_nothing_is_open(
    app: Any, monkeypatch: pytest.MonkeyPatch, caller: Caller
) -> None:
    served = []
    admit = walls.admit

    def admit_and_look(connection: Connection) -> None:
        admit(connection)
        served.append(caller.get("/readyz").status_code)
        served.append(caller.submit().status_code)
        served.append(caller.get("/v1/jobs").status_code)

    monkeypatch.setattr(walls, "admit", admit_and_look)
    assert app.test_cli_runner().invoke(args=["migrate"]).exit_code == 0
    assert served == [200, 202, 200]
