"""One request id from the front door through outbox and task to the e-mail that is sent for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import structlog
from flask.testing import FlaskClient
from sqlalchemy import select

import tasks.email
import tasks.generation
from config import settings
from models.database import sessions
from models.outbox import Outbox, take_due
from tests.http.conftest import PASSWORD, Caller
from worker import relay, watching

ASKED = "from-my-front-end.7"


def _stored() -> dict[str, str | None]:
    with sessions() as session:
        return {row.task: row.request_id for row in session.scalars(select(Outbox))}


def test_what_a_request_stages_goes_back_to_it(client: FlaskClient) -> None:
    body = {"email": "ada@example.com", "password": PASSWORD}
    answer = client.post("/v1/auth/signup", json=body, headers={"X-Request-Id": ASKED})
    assert answer.headers["X-Request-Id"] == ASKED
    assert _stored() == {"email.deliver": ASKED}
    caller = Caller(client, "ada@example.com", answer.json or {})
    answer = caller.submit()
    made_up = answer.headers["X-Request-Id"]
    assert made_up not in ("", ASKED)
    assert _stored() == {"email.deliver": ASKED, "generation.run": made_up}


def test_the_sweep_publishes_it_with_the_message(caller: Caller) -> None:
    asked = caller.submit().headers["X-Request-Id"]
    with sessions() as session:
        for row in session.scalars(select(Outbox)):
            row.due_at = row.due_at.replace(year=2020)
    with sessions() as session:
        messages = [each for each in take_due(session, limit=10) if each.task == "generation.run"]
    app = mock.MagicMock()
    assert relay.publish(app, messages)
    assert app.send_task.call_args.kwargs["headers"] == {"request_id": asked}


def _task(name: str, headers: dict[str, Any] | None) -> Any:
    return SimpleNamespace(name=name, request=SimpleNamespace(headers=headers))


def test_lines_of_a_task_say_for_which_request_it_works(caller: Caller) -> None:
    """And so does what the task stages in turn: here the retry of a job whose provider is away."""
    job_id = (caller.post("/v1/jobs", {"action": "chat", "input": {"prompt": "x [mock:unavailable]"}}).json or {})["id"]
    with sessions() as session:
        asked = next(row.request_id for row in session.scalars(select(Outbox)) if row.task == "generation.run")
        session.query(Outbox).delete()
    task = _task("generation.run", {"request_id": asked})
    watching._name_task(task=task, task_id=job_id)
    bound = structlog.contextvars.get_contextvars()
    assert bound == {"request_id": asked, "task": "generation.run", "task_id": job_id}
    tasks.generation.run(job_id)
    watching._count_task(task=task, state="SUCCESS")
    assert structlog.contextvars.get_contextvars() == {}
    assert _stored() == {"generation.run": asked}


def test_a_job_that_another_one_calls_does_not_go_back_to_that_one_s_request(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAIR_SHARE", "1")
    settings.cache_clear()
    first, second = ((caller.submit().json or {})["id"] for _ in range(2))
    with sessions() as session:
        session.query(Outbox).delete()
    watching._name_task(task=_task("generation.run", {"request_id": "of-the-first"}), task_id=first)
    tasks.generation.run(first)
    structlog.contextvars.clear_contextvars()
    with sessions() as session:
        (called,) = session.scalars(select(Outbox))
    assert (called.task_id, called.request_id) == (second, None)


def test_what_beat_began_is_named_by_its_task() -> None:
    watching._name_task(task=_task("maintenance.rescue", None), task_id="a" * 80)
    assert structlog.contextvars.get_contextvars()["request_id"] == "a" * 64
    structlog.contextvars.clear_contextvars()
