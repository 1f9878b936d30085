"""How often one user may submit: counted for each, with nobody else's help, and told when to come again."""

from __future__ import annotations

from collections.abc import Callable
from unittest import mock
from uuid import uuid4

import pytest
from flask.testing import FlaskClient

from config import settings
from models.errors import TooManyRequests
from models.tries import Limit
from tests.http.conftest import Caller
from web.rates import Window

BODY = {"action": "chat", "input": {"prompt": "hello"}}


@pytest.fixture
def three_a_minute(monkeypatch: pytest.MonkeyPatch, database: str) -> None:
    # No other test has this very limit, so nobody has come before.
    monkeypatch.setenv("SUBMIT_RATE_LIMIT", f"3 per minute; {uuid4().int % 10**9 + 10**6} per day")
    settings.cache_clear()


def test_each_user_has_so_many_submissions(
    three_a_minute: None,
    client: FlaskClient,
    sign_up: Callable[[], Caller],
) -> None:
    first, second = sign_up(), sign_up()
    assert first.post("/v1/jobs/estimate", BODY).status_code == 200
    assert first.post("/v1/jobs", {"action": "no such"}).status_code == 422
    assert first.post("/v1/jobs", BODY).status_code == 202
    for path in ("/v1/jobs", "/v1/jobs/estimate"):
        answer = first.post(path, BODY)
        problem = answer.json or {}
        assert (answer.status_code, problem["code"], problem["limit"]) == (429, "too_many_requests", 3)
        assert answer.content_type == "application/problem+json"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert int(answer.headers["Retry-After"]) == problem["retry_after"]
    assert first.balance()["held"] == 5, "what was refused holds nothing"
    assert first.get("/v1/jobs").status_code == 200, "looking is not submitting"
    assert second.post("/v1/jobs", BODY).status_code == 202
    stranger = client.post("/v1/jobs", json=BODY)
    assert stranger.status_code == 401


def test_a_window_passes() -> None:
    clock = mock.Mock(return_value=119.5)
    window, user = Window(Limit(2, 60), clock), uuid4()
    window.count(user)
    window.count(user)
    for now, wait in ((119.5, 1), (119.999, 1)):
        clock.return_value = now
        with pytest.raises(TooManyRequests) as refused:
            window.count(user)
        assert refused.value.members["retry_after"] == wait
    clock.return_value = 120.0
    window.count(user)
    window.count(user)
    with pytest.raises(TooManyRequests) as refused:
        window.count(user)
    assert refused.value.members["retry_after"] == 60
