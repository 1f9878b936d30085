"""Bad input: a clear answer that names the field, and nothing held, stored or half-done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.http.conftest import Caller

GOOD = {"action": "chat", "input": {"prompt": "hello"}}
HUGE = 10**400


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, ["action", "input"]),
        ({"action": "chat"}, ["input"]),
        ({"input": {"prompt": "x"}}, ["action"]),
        ({**GOOD, "action": "teleport"}, ["action"]),
        ({**GOOD, "action": 7}, ["action"]),
        ({**GOOD, "action": "x" * 51}, ["action"]),
        ({**GOOD, "input": "hello"}, ["input"]),
        ({**GOOD, "input": None}, ["input"]),
        ({**GOOD, "input": {}}, ["input.prompt"]),
        ({**GOOD, "input": {"prompt": ""}}, ["input.prompt"]),
        ({**GOOD, "input": {"prompt": "   "}}, ["input.prompt"]),
        ({**GOOD, "input": {"prompt": "x" * 8_001}}, ["input.prompt"]),
        ({**GOOD, "input": {"prompt": 5}}, ["input.prompt"]),
        ({**GOOD, "input": {"prompt": "a\x00b"}}, ["input.prompt"]),
        ({**GOOD, "input": {"prompt": "\ud800"}}, ["input.prompt"]),
        ({**GOOD, "input": {"prompt": "x", "temperature": 2}}, ["input.temperature"]),
        ({**GOOD, "price": 0}, ["price"]),
        ({**GOOD, "expires_in": 0}, ["expires_in"]),
        ({**GOOD, "expires_in": -5}, ["expires_in"]),
        ({**GOOD, "expires_in": 1.5}, ["expires_in"]),
        ({**GOOD, "expires_in": "60"}, ["expires_in"]),
        ({**GOOD, "expires_in": True}, ["expires_in"]),
        ({**GOOD, "expires_in": HUGE}, ["expires_in"]),
        ({"action": "video", "input": {"prompt": "x", "seconds": -1}}, ["input.seconds"]),
        ({"action": "video", "input": {"prompt": "x", "seconds": HUGE}}, ["input.seconds"]),
        ({"action": "video", "input": {"prompt": "x", "resolution": "8k"}}, ["input.resolution"]),
        ({"action": "vision", "input": {"prompt": "x", "image_url": "http://example.com/a.png"}}, ["input.image_url"]),
        ({"action": "vision", "input": {"prompt": "x", "image_url": "file:///etc/passwd"}}, ["input.image_url"]),
        ({"action": "upscale", "input": {"image_url": "https://example.com/a.png", "scale": 3}}, ["input.scale"]),
        ({"action": "speech", "input": {"text": "hi", "voice": "../../x"}}, ["input.voice"]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/estimate"])
def test_wrong_fields_are_named_and_nothing_happens(
    caller: Caller, everything_stored: Callable[[], dict[str, int]], path: str, body: Any, fields: list[str]
) -> None:
    before = everything_stored()
    answer = caller.post(path, body)
    problem: dict[str, Any] = answer.json or {}
    assert (answer.status_code, problem["code"]) == (422, "invalid_input"), problem
    assert [error["field"] for error in problem["errors"]] == fields
    assert all(error["message"] for error in problem["errors"])
    assert everything_stored() == before
    assert caller.balance() == {"available": 100, "held": 0, "debt": 0}


@pytest.mark.parametrize(
    ("data", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_request"),
        (b"", "application/json", 400, "bad_request"),
        (b"\xff\xfe", "application/json", 400, "bad_request"),
        (b"[" * 100_000, "application/json", 400, "bad_request"),
        (b"[]", "application/json", 422, "invalid_input"),
        (b'"text"', "application/json", 422, "invalid_input"),
        (b'"{}"', "application/json", 422, "invalid_input"),
        (b"null", "application/json", 422, "invalid_input"),
        (b'{"action": "chat"}', "text/plain", 415, "unsupported_media_type"),
        (b"action=chat", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b'{"a": "' + b"x" * 300_000 + b'"}', "application/json", 413, "request_entity_too_large"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_bodies_that_are_no_json_object_are_told_so(
    caller: Caller,
    everything_stored: Callable[[], dict[str, int]],
    data: bytes, content_type: str, status: int, code: str,
) -> None:  # fmt: skip
    before = everything_stored()
    answer = caller.client.post("/v1/jobs", headers=caller.headers, data=data, content_type=content_type)
    problem: dict[str, Any] = answer.json or {}
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer.content_type == "application/problem+json"
    assert problem["status"] == status
    assert everything_stored() == before


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "k\u00e9y"])
def test_unusable_idempotency_keys_are_refused_by_name(caller: Caller, key: str) -> None:
    answer = caller.post("/v1/jobs", GOOD, **{"Idempotency-Key": key})
    assert answer.status_code == 422
    assert (answer.json or {})["errors"][0]["field"] == "Idempotency-Key"
    assert caller.balance()["held"] == 0


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/jobs?limit=0", "limit"),
        ("/v1/jobs?limit=101", "limit"),
        ("/v1/jobs?limit=many", "limit"),
        ("/v1/jobs?after=me", "after"),
        ("/v1/jobs?status=sleeping", "status"),
        ("/v1/jobs?colour=red", "colour"),
        ("/v1/jobs/not-a-job", "job_id"),
        ("/v1/jobs/not-a-job/outputs/0", "job_id"),
    ],
)
def test_wrong_addresses_are_named(caller: Caller, path: str, field: str) -> None:
    answer = caller.get(path)
    assert answer.status_code == 422
    assert field in [error["field"] for error in (answer.json or {})["errors"]]


def test_strangers_learn_nothing_about_a_body(client: FlaskClient) -> None:
    for body in (GOOD, {"nonsense": True}):
        answer = client.post("/v1/jobs", json=body)
        assert (answer.status_code, (answer.json or {})["code"]) == (401, "unauthorized")


def test_the_api_describes_itself(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json or {}
    assert {"/v1/auth/signup", "/v1/me", "/v1/jobs", "/v1/jobs/estimate", "/v1/jobs/{job_id}"} <= set(document["paths"])
    assert client.get("/docs/swagger").status_code == 200
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), f"{method} {path} says nothing about itself"


def test_unknown_paths_and_methods_are_problems_too(client: FlaskClient) -> None:
    missing = client.get("/v1/nothing")
    assert (missing.status_code, (missing.json or {})["code"]) == (404, "not_found")
    wrong = client.delete("/healthz")
    assert (wrong.status_code, (wrong.json or {})["code"]) == (405, "method_not_allowed")
    assert "GET" in wrong.headers["Allow"]
