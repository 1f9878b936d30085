"""Reports: what breaks goes to Sentry, with ids and without words; what is part of life does not."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import structlog

from tests.http.conftest import PASSWORD, Caller
from tests.watching import conftest
from tests.watching.conftest import House
from tests.watching.receivers import Receiver
from worker import ai
from worker.app import app as celery_app

ASKED = "asked-by-my-front-end.7"
CANARY = f"canary{secrets.token_hex(8)}"

Reported = Callable[..., AbstractContextManager[House]]


@pytest.fixture
def database(sqlite: str) -> str:
    return sqlite


@pytest.fixture
def reported(database: str, monkeypatch: pytest.MonkeyPatch, receiver: Receiver) -> Reported:
    """A house that reports to the receiver, or wherever its settings say."""

    @contextmanager
    def make(**variables: str) -> Iterator[House]:
        dsn = receiver.url.replace("://", "://0123456789abcdef@") + "/7"
        with conftest.house(monkeypatch, receiver, **{"SENTRY_DSN": dsn, **variables}) as house:
            yield house

    return make


def _sign_up(house: House) -> Caller:
    body = {"email": f"{CANARY}@example.com", "password": PASSWORD}
    return Caller(house.client, body["email"], house.client.post("/v1/auth/signup", json=body).json or {})


def _breaks(*_: Any, **__: Any) -> Any:
    secret = CANARY
    raise ValueError(f"She wrote {secret}")


def test_a_view_that_breaks_is_reported_with_its_request_and_without_words(
    reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    with reported(SENTRY_ENVIRONMENT="staging", SENTRY_RELEASE="coinop@7") as house:
        caller = _sign_up(house)
        monkeypatch.setattr("web.jobs.jobs.submit", _breaks)
        monkeypatch.setattr("web.jobs.jobs.submit_at_once", _breaks, raising=False)
        body = {"action": "chat", "input": {"prompt": CANARY}}
        answer = caller.post(f"/v1/jobs?token={CANARY}", body, **{"X-Request-Id": ASKED, "X-Canary": CANARY})
        assert (answer.status_code, (answer.json or {})["code"]) == (500, "internal_error")
        (event,) = house.receiver.until(1)
        sent = house.receiver.text()
    assert event["tags"] == {"event": "view_broke", "service": "command", "request_id": ASKED}
    assert (event["level"], event["release"], event["environment"]) == ("error", "coinop@7", "staging")
    (broke,) = event["exception"]["values"]
    assert (broke["type"], broke["value"]) == ("ValueError", "")
    assert broke["stacktrace"]["frames"][-1]["function"] == "_breaks"
    assert not any("vars" in frame for frame in broke["stacktrace"]["frames"])
    assert event.keys().isdisjoint({"request", "user", "extra", "modules"})
    assert event["breadcrumbs"] == {"values": []}
    tokens = (caller.tokens["access_token"], PASSWORD, CANARY)
    assert [word for word in tokens if word in sent] == []


def test_what_is_declined_and_what_is_tried_again_is_not_reported(reported: Reported) -> None:
    with reported() as house:
        caller = _sign_up(house)
        assert house.client.get("/v1/me").status_code == 401
        assert house.client.get(f"/{CANARY}").status_code == 404
        assert caller.post("/v1/jobs", {"action": "chat", "input": {}}).status_code == 422
        assert caller.submit("x [mock:unavailable]").status_code == 202
        assert caller.submit("x [mock:refused]").status_code == 202
        for _ in range(3):
            house.wire.work()
        structlog.get_logger("ours").error("audit_finding_of_a_test", findings=2, error="Unbalanced")
        (event,) = house.receiver.until(1)
    assert (event["message"], event["contexts"]["line"]) == (
        "audit_finding_of_a_test", {"findings": 2, "error": "Unbalanced"},
    )  # fmt: skip


def test_an_attempt_that_breaks_is_reported_with_its_job(reported: Reported, monkeypatch: pytest.MonkeyPatch) -> None:
    with reported() as house:
        caller = _sign_up(house)
        house.wire.work()
        job_id = (caller.submit(CANARY).json or {})["id"]
        monkeypatch.setattr(ai, "provider", _breaks)
        house.wire.work()
        (event,) = house.receiver.until(1)
        sent = house.receiver.text()
    tags = {name: event["tags"][name] for name in ("event", "job_id", "task", "task_id")}
    assert tags == {"event": "attempt_broke", "job_id": job_id, "task": "generation.run", "task_id": job_id}
    assert event["exception"]["values"][0]["type"] == "ValueError"
    assert CANARY not in sent


def test_a_task_that_breaks_is_reported(reported: Reported, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Celery logs it, which is a library: so is its logger, but not what it says."""
    with reported() as house:
        celery_app.loader.import_default_modules()
        monkeypatch.setattr("tasks.maintenance.signs.leave", _breaks)
        ended = celery_app.tasks["maintenance.sign_of_life"].apply(task_id="7-of-9")
        assert ended.state == "FAILURE"
        (event,) = house.receiver.until(1)
    assert event["exception"]["values"][0]["type"] == "ValueError"
    assert event["tags"]["event"] == "celery.app.trace"
    assert (event["tags"]["task"], event["tags"]["task_id"]) == ("maintenance.sign_of_life", "7-of-9")
    assert CANARY not in json.dumps(event)


@pytest.mark.parametrize("trouble", ["nobody there", "hangs", "refuses"])
def test_nobody_waits_for_sentry(reported: Reported, monkeypatch: pytest.MonkeyPatch, trouble: str) -> None:
    monkeypatch.setattr("reporting.FLUSH_SECONDS", 0.2)
    nowhere = {"SENTRY_DSN": "http://key@127.0.0.1:1/7"} if trouble == "nobody there" else {}
    with reported(**nowhere) as house:
        house.receiver.hangs, house.receiver.status = trouble == "hangs", 429
        with monkeypatch.context() as patched:
            patched.setattr("web.ops.readings", _breaks)
            assert house.client.get("/readyz").status_code == 500
        assert nowhere or house.receiver.asked.wait(30)
        caller = _sign_up(house)
        house.wire.work()
        job_id = (caller.submit().json or {})["id"]
        house.wire.work()
        assert caller.get(f"/v1/jobs/{job_id}").json["status"] == "completed"  # type: ignore[index]
        import reporting

        reporting.close()
        assert not house.receiver.let_go.is_set(), "it hangs still, and nobody waited for it"
