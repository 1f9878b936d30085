"""Metrics: every figure of a made-up month, to the unit, on both databases."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from models.database import readings
from models.errors import InvalidInput
from models.metrics import by_day
from tests.accounts.people import code_of, join
from tests.admin import history
from tests.admin.history import APRIL, LAST_MOMENT, MARCH, march
from tests.admin.house import KEY, NO_ROLE, STRANGER
from tests.http.conftest import Caller

SPAN = "from=2025-03-01T00:00:00Z&until=2025-04-01T00:00:00Z"
AS_KEY = {"Authorization": f"Bearer {KEY}"}
NOTHING_MOVED = {"granted": {}, "spent": 0, "released": 0, "expired": 0, "clawed_back": 0, "restored": 0}


@pytest.fixture
def told(app: Any, database: str) -> dict[str, Any]:
    """What is told of March."""
    history.write()
    answer = app.test_client().get(f"/v1/admin/metrics?{SPAN}&by=day", headers=AS_KEY)
    assert answer.status_code == 200, answer.json
    found: dict[str, Any] = answer.json
    return found


def test_every_figure_of_a_month(app: Flask, told: dict[str, Any]) -> None:
    days = told.pop("days")
    assert told.pop("at") > "2025-04-02"
    assert told == {
        "object": "metrics", "from": "2025-03-01T00:00:00Z", "until": "2025-04-01T00:00:00Z",
        # Fay had closed before its end, Gus closed after it; Eve came after it.
        "users": {"total": 5, "new": 3, "active": 4},
        "conversion": {"signed_up": 3, "paid": 1, "rate": 0.3333},
        # Ann and Bob stayed, Bob on another plan; Cia and Gus went; Dan came; Fay came and went.
        "churn": {"at_start": 4, "lost": 2, "gained": 1, "at_end": 3, "rate": 0.5},
        "jobs": {"chat": {"completed": 2, "failed": 1}, "image": {"queued": 1}},
        "spends": {"tip": 2},
        "credits": {
            "credits": {
                "granted": {"purchase": 130, "promo": 24, "signup": 10, "admin": 4},
                "spent": 10, "released": 5, "expired": 2, "clawed_back": 6, "restored": 1,
            },
            "tips": {**NOTHING_MOVED, "granted": {"daily": 7}},
        },
        "outstanding": {
            # The 9 of Bob's have expired, though nobody has written them off.
            "credits": {"available": 60, "held": 10, "bought": 46, "debt": 4},
            "tips": {"available": 7, "held": 0, "bought": 0, "debt": 0},
        },
        "revenue": {
            "EUR": {
                "payments": 2, "payers": 1, "gross": 1_500, "refunds": 1, "refunded": 400, "disputes": 1,
                "disputed": 100, "net": 1_000, "per_paying_user": 1_000, "per_user": 200,
            },
            "JPY": {
                "payments": 1, "payers": 1, "gross": 300, "refunds": 0, "refunded": 0, "disputes": 1,
                "disputed": 30, "net": 270, "per_paying_user": 270, "per_user": 54,
            },
        },
        "purchases": {"payments": 3, "payers": 2, "frequency": 1.5},
        "payments": {"succeeded": 4, "failed": 1, "failed_rate": 0.2},
        "margins": [
            {
                "action": action, "wallet": "credits", "jobs": jobs, "charged": charged, "bought": 0, "worth": {},
                "attempts": 0, "unknown": 0, "cost_micros": 0,
            }
            for action, jobs, charged in (("chat", 2, 5), ("image", 1, 8))
        ],
    }  # fmt: skip
    quiet = {"users": 0, "jobs": 0, "spent": {}, "gross": {}}
    happened: dict[int, dict[str, Any]] = {
        1: {"users": 1}, 3: {"gross": {"EUR": 1_000}}, 5: {"jobs": 1, "spent": {"credits": 5}}, 6: {"jobs": 1},
        7: {"jobs": 1}, 8: {"jobs": 1}, 10: {"gross": {"JPY": 300}}, 20: {"users": 1}, 21: {"spent": {"credits": 3}},
        22: {"spent": {"credits": 2}}, 31: {"users": 1, "gross": {"EUR": 500}},
    }  # fmt: skip
    assert days == [{"day": f"2025-03-{day:02}", **quiet, **happened.get(day, {})} for day in range(1, 32)]
    _the_command_tells_the_same(app, {**told, "days": None})
    _spans_begin_with_their_first_moment(app)


def _the_command_tells_the_same(app: Flask, told: dict[str, Any]) -> None:
    span = ["metrics", "--since", "2025-03-01", "--until", "2025-04-01"]
    printed = json.loads(app.test_cli_runner().invoke(args=[*span, "--json"]).output)
    assert printed.pop("at") > "2025-04-02"
    assert printed == told
    ended = app.test_cli_runner().invoke(args=[*span, "--by-day"])
    assert ended.exit_code == 0, ended.output
    lines = ended.output.splitlines()
    for line in (
        "churn: at_start 4, lost 2, gained 1, at_end 3, rate 0.5",
        "outstanding tips: available 7, held 0, bought 0, debt 0",
        "2025-03-05: users 0, jobs 1, spent credits 5",
    ):
        assert line in lines
    [euro] = [line for line in lines if line.startswith("revenue EUR")]
    assert "net 10.00 EUR" in euro
    wrong = app.test_cli_runner().invoke(args=["metrics", "--since", "2025-04-01", "--until", "2025-04-01"])
    assert (wrong.exit_code, "until: expected after" in wrong.output) == (1, True)


def _spans_begin_with_their_first_moment(app: Flask) -> None:
    def between(since: Any, until: Any) -> dict[str, Any]:
        query = {"from": since.isoformat(), "until": until.isoformat()}
        found: dict[str, Any] = app.test_client().get("/v1/admin/metrics", query_string=query, headers=AS_KEY).json  # type: ignore[assignment]
        return found

    moment = timedelta(microseconds=1)
    first, last = between(MARCH, MARCH + moment), between(LAST_MOMENT, APRIL)
    assert (first["users"]["new"], last["users"]["new"]) == (1, 1)
    assert (first["credits"]["credits"]["granted"], last["credits"]["credits"]["granted"]) == (
        {"promo": 24}, {"purchase": 30},
    )  # fmt: skip
    assert (first["revenue"], last["revenue"]["EUR"]["gross"]) == ({}, 500)
    before = between(MARCH - 2 * moment, MARCH)
    assert (before["users"]["new"], before["credits"], before["churn"]["at_start"]) == (0, {}, 4)
    assert between(march(16), march(17))["jobs"] == {}
    # Nothing happened in it, so nothing is divided.
    ancient = between(MARCH.replace(year=1999), MARCH.replace(year=2000))
    assert [ancient[part]["rate"] for part in ("conversion", "churn")] == [None, None]
    assert (ancient["purchases"]["frequency"], ancient["payments"]["failed_rate"]) == (None, None)
    with readings() as session, pytest.raises(InvalidInput):
        by_day(session, since=MARCH, until=MARCH + timedelta(days=366, microseconds=1))
    with readings() as session:
        assert len(by_day(session, since=MARCH, until=MARCH + timedelta(days=366))) == 366


def test_who_may_look_and_what_can_be_asked(client: FlaskClient, admin: Caller, support: Caller) -> None:
    ann = join(client)
    path = "/v1/admin/metrics"
    assert code_of(client.get(path)) == STRANGER
    assert code_of(ann.get(path)) == NO_ROLE
    assert ann.submit().status_code == 202
    for headers in (admin.headers, support.headers, AS_KEY):
        answer = client.get(path, headers=headers)
        assert answer.status_code == 200
        seen: dict[str, Any] = answer.json or {}
        # The last 30 days, up to now.
        assert (seen["users"], seen["days"]) == ({"total": 3, "new": 3, "active": 1}, None)
        assert [sum(counts.values()) for counts in seen["jobs"].values()] == [1]
        assert seen["outstanding"]["credits"]["held"] > 0
    for wrong in ("from=2025-04-01", "by=week", "to=2025-04-01T00:00:00Z"):
        assert admin.get(f"{path}?{wrong}").status_code == 422, wrong
    answer = admin.get(f"{path}?from=2025-04-01T00:00:00Z&until=2025-04-01T00:00:00Z")
    assert (answer.status_code, (answer.json or {})["errors"][0]["field"]) == (422, "until")
