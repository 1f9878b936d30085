"""/metrics: who may read it, and what it says about what was really done."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from config import Settings, settings
from models import database as db
from models import gauges
from tests.http.conftest import Caller
from tests.watching.scrapes import scraped

TOKEN = "only-for-the-tests-of-metrics-0123456789"


def test_only_this_machine_or_the_token_opens_it(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.get("/metrics").status_code == 200
    assert client.get("/metrics", environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 404
    assert client.get("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 404
    monkeypatch.setenv("METRICS_TOKEN", TOKEN)
    settings.cache_clear()
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Basic {TOKEN}"}).status_code == 401
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/metrics", headers=right, environ_base={"REMOTE_ADDR": "192.0.2.1"}).status_code == 200


def test_production_shows_nothing_without_a_token(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "in_development", False)
    assert client.get("/metrics").status_code == 404


def test_requests_are_counted_by_route_and_status(caller: Caller) -> None:
    def counts() -> tuple[float, ...]:
        seen = scraped(caller.client)
        return (
            seen.get(("coinop_http_requests_total", ("GET", "/v1/jobs/<job_id>", "404")), 0),
            seen.get(("coinop_http_requests_total", ("none", "none", "404")), 0),
            seen.get(("coinop_http_requests_total", ("POST", "/v1/jobs", "202")), 0),
            seen.get(("coinop_http_request_seconds_count", ("POST", "/v1/jobs")), 0),
        )

    before = counts()
    caller.get("/v1/jobs/019a0000-0000-7000-8000-000000000000")
    caller.get("/nowhere")
    caller.get("/nowhere/else")
    assert caller.submit().status_code == 202
    assert [now - then for now, then in zip(counts(), before, strict=True)] == [1, 2, 1, 1]


def test_what_is_unfinished_shows(caller: Caller) -> None:
    seen = scraped(caller.client)
    assert seen["coinop_database_up", ()] == 1
    assert seen["coinop_queue_depth", ("generation",)] == 0
    caller.submit()
    seen = scraped(caller.client)
    assert seen["coinop_queue_depth", ("generation",)] == 1
    assert seen["coinop_queue_depth", ("generation.high",)] == 0
    assert seen["coinop_jobs_running", ()] == 0
    assert seen["coinop_emails_waiting", ()] == 1, "the address of the new user is to be verified"


def test_a_database_that_is_away_is_told(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    away = db.make_engine("postgresql://nobody@127.0.0.1:1/nowhere")
    monkeypatch.setattr(db, "_engine_without_transactions", lambda: away)
    seen = scraped(client)
    assert seen["coinop_database_up", ()] == 0
    assert not [name for name, _ in seen if name.startswith("coinop_queue")]


def test_every_gauge_has_its_words() -> None:
    assert gauges.HELP.keys() == gauges.LABELS.keys()


def test_the_whole_of_it_is_what_prometheus_reads(caller: Caller) -> None:
    families = list(text_string_to_metric_families(caller.client.get("/metrics").text))
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    assert all(name.startswith("coinop_") for name in names)
    assert all(family.documentation for family in families)
