"""What is past its use is forgotten; what the books, the statement and the figures are worked out from stays."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select, update

from config import BadSettings, settings
from models.audit import audit
from models.database import now, sessions
from models.emails import Email
from models.jobs import Attempt, Job
from models.margins import margins
from models.metrics import metrics
from models.notices import Notice
from models.payments import inbox
from models.payments.inbox import EventState, GatewayEvent
from models.retention import RetentionMark
from models.spends import Spend
from tasks import retention
from tests.accounts.lives import live, run, shop
from tests.accounts.people import verified
from tests.http.conftest import Caller, client
from tests.plans.clock import Clock, clock
from web.commands.partitions import group

__all__ = ["client", "clock"]

WORDS: dict[str, Any] = {"type": "text", "text": "what came of it"}


@pytest.fixture
def ann(client: FlaskClient, clock: Clock) -> Caller:
    shop()
    caller = verified(client)
    live(caller, client, word="vixen")
    for number in range(3):
        job_id = (caller.submit("about a vixen", key=f"old-{number}").json or {})["id"]
        run(UUID(job_id), WORDS)
    with sessions() as session:
        session.execute(update(Attempt).values(provider_request_id="vixen-1", cost_micros=7))
        for state in (EventState.done, EventState.failed, EventState.ignored):
            inbox.receive(session, event_id=f"evt_{state}", event_type="invoice.paid", object_id="in_1")
            inbox.end(session, f"evt_{state}", state)
        # As it is once they were sent.
        session.execute(update(Email).values(state="sent", ended_at=now()))
    return caller


def counts() -> dict[str, int]:
    tables = (Job, Attempt, Spend, Email, GatewayEvent, Notice)
    with sessions() as session:
        return {
            table.__tablename__: session.execute(select(func.count()).select_from(table)).scalar_one()
            for table in tables
        }


def figures(caller: Caller) -> Any:
    """Everything that is worked out from old rows: the metrics, the margins, the statement, the balance."""
    statement = caller.get("/v1/transactions?limit=100").json
    with sessions() as session:
        then = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        found = asdict(metrics(session, since=then, until=then + timedelta(days=2)))
        assert found["jobs"], "the span has something in it"
        # When it was asked for, and what there is at that moment, which has no past.
        del found["at"]
        return found, margins(session), statement, caller.balance()


def test_nothing_is_forgotten_before_its_time(ann: Caller, clock: Clock) -> None:
    before = counts()
    clock.move(days=80)
    retention.forget_old()
    # Nor ever, with 0.
    clock.move(days=4_000)
    forever = dict.fromkeys(("job_days", "email_days", "event_days", "notice_days"), 0)
    with mock.patch.object(retention, "settings", return_value=settings().model_copy(update=forever)):
        retention.forget_old()
    assert counts() == before
    with sessions() as session:
        assert len([job for job in session.scalars(select(Job)) if "vixen" in str(job.input)]) == 4


def test_what_jobs_were_about_goes_and_what_they_came_to_stays(ann: Caller, clock: Clock) -> None:
    clock.move(days=400)
    before, rows = figures(ann), counts()
    with mock.patch.object(retention, "PAGE", 2):
        retention.forget_old()
    assert figures(ann) == before
    assert counts() == {**rows, "emails": 0, "notices": 0, "gateway_events": 1}
    with sessions() as session:
        assert audit(session) == []
        assert session.scalars(select(GatewayEvent.id)).all() == ["evt_failed"], "somebody should look at it first"
        jobs = session.scalars(select(Job).order_by(Job.id)).all()
        assert [(job.input, job.idempotency_key, job.error_message) for job in jobs] == [({}, None, None)] * 4
        # The first has a file that is still there: what describes it stays, and that it goes with the account.
        assert [bool(job.outputs) for job in jobs] == [True, False, False, False]
        assert [bool(job.request_digest) for job in jobs] == [True, False, False, False]
        assert {(spend.idempotency_key, str(spend.input)) for spend in session.scalars(select(Spend))} == {(None, "{}")}
        assert set(session.scalars(select(Attempt.provider_request_id))) == {None}
    # Its key is free again, so that the same request is a new job.
    again = ann.submit("about a vixen", key="old-0")
    assert (again.status_code, again.headers.get("Idempotency-Replayed")) == (202, None)


def test_a_run_that_dies_is_gone_on_with_and_none_is_done_twice(ann: Caller, clock: Clock) -> None:
    clock.move(days=400)
    versions = select(Job.version).order_by(Job.id)
    with sessions() as session:
        before = session.scalars(versions).all()
    with (
        mock.patch.object(retention, "PAGE", 1),
        mock.patch("tasks.retention.spends.forget_old", side_effect=RuntimeError("died")),
        pytest.raises(RuntimeError),
    ):
        retention.forget_old()
    with sessions() as session:
        assert session.scalars(versions).all() == [before[0] + 1, *before[1:]]
    for _ in range(2):
        retention.forget_old()
    with sessions() as session:
        assert session.scalars(versions).all() == [version + 1 for version in before]
        assert set(session.scalars(select(RetentionMark.name))) == {"jobs", "spends"}


def test_events_that_may_come_again_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    for days, good in (("0", True), ("35", True), ("34", False), ("-1", False)):
        monkeypatch.setenv("EVENT_DAYS", days)
        settings.cache_clear()
        if good:
            assert settings().event_days == int(days)
        else:
            with pytest.raises(BadSettings, match="EVENT_DAYS"):
                settings()
    settings.cache_clear()


def test_sqlite_has_no_partitions(sqlite: str, app: Flask) -> None:
    answer = app.test_cli_runner().invoke(group, ["split", "--yes"])
    assert (answer.exit_code, "PostgreSQL's" in answer.output) == (1, True)
