"""The doors: what every answer tells browsers, whose pages may call, how much is read, and whose word is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import settings
from models import jobs
from models.database import sessions
from tests.http.conftest import Caller
from web.shelf import shelf
from worker.storage import storage


@pytest.fixture
def client(app: Any, sqlite: str) -> FlaskClient:
    """The front door on one database: what is tested here never gets as far as that."""
    shelf.look_again()
    made: FlaskClient = app.test_client()
    return made


HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""What every answer says, but for pages and what may be cached."""

APP, OTHER = "https://app.example.com", "https://other.example.com"


def _only_once(answer: TestResponse) -> None:
    names = [name.lower() for name, _ in answer.headers]
    assert sorted(names) == sorted(set(names)), "a header given twice means something else to each reader"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/healthz"), ("GET", "/v1/me"), ("GET", "/nowhere"), ("DELETE", "/healthz"), ("POST", "/v1/auth/login"),
        ("OPTIONS", "/v1/jobs"), ("HEAD", "/healthz"), ("GET", "/openapi.json"), ("GET", "/v1/packs"),
    ],
)  # fmt: skip
def test_every_answer_is_no_page_for_anybody(client: FlaskClient, method: str, path: str) -> None:
    answer = client.open(path, method=method)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert "Strict-Transport-Security" not in answer.headers
    _only_once(answer)


def test_a_broken_view_answers_with_the_same_headers(app: Any, client: FlaskClient) -> None:
    with mock.patch("web.ops.shelf.look_again", side_effect=ValueError("ada@example.com")):
        answer = client.get("/readyz")
    assert (answer.status_code, (answer.json or {})["code"]) == (500, "internal_error")
    assert "ada@" not in answer.get_data(as_text=True)
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS
    _only_once(answer)


def test_the_page_of_the_document_may_run_its_own_scripts_alone(client: FlaskClient) -> None:
    answer = client.get("/docs/swagger")
    assert answer.status_code == 200
    policy = dict(each.split(" ", 1) for each in answer.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("script-src") == policy.pop("style-src") == "'self' 'unsafe-inline'"
    assert policy.pop("img-src") == "'self' data:"
    assert policy.pop("connect-src") == "'self'"
    assert set(policy) == {"default-src", "base-uri", "form-action", "frame-ancestors"}
    assert set(policy.values()) == {"'none'"}
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_what_may_be_asked_is_told_without_a_token(client: FlaskClient, caller: Caller) -> None:
    for headers in ({}, caller.headers, {"Authorization": "Bearer nonsense"}):
        for path, allowed in (("/v1/me", {"GET", "PATCH", "DELETE"}), ("/v1/jobs", {"GET", "POST"})):
            answer = client.options(path, headers=headers)
            assert (answer.status_code, answer.data) == (200, b"")
            assert set(answer.allow) == {*allowed, "HEAD", "OPTIONS"}
    assert client.options("/nowhere").status_code == 404


def test_https_is_promised_over_https_alone(client: FlaskClient) -> None:
    assert "Strict-Transport-Security" not in client.get("/healthz").headers
    forged = client.get("/healthz", headers={"X-Forwarded-Proto": "https"})
    assert "Strict-Transport-Security" not in forged.headers
    answer = client.get("/healthz", base_url="https://localhost")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.fixture
def apps(
    monkeypatch: pytest.MonkeyPatch, sqlite: str, front_door: Callable[[], Flask]
) -> Iterator[Callable[..., Flask]]:
    """Front doors with settings of their own."""

    def make(**variables: str) -> Flask:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        settings.cache_clear()
        return front_door()

    yield make
    settings.cache_clear()


PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type, idempotency-key, if-none-match, prefer",
}


def test_a_page_of_the_list_may_ask_what_it_may_send(apps: Callable[..., Flask]) -> None:
    client = apps(CORS_ORIGINS=f"https://first.example.com, {APP}").test_client()
    for path in ("/v1/jobs", "/v1/auth/login", "/v1/me", "/v1/jobs/x/cancel", "/nowhere"):
        answer = client.options(path, headers={**PREFLIGHT, "Origin": APP})
        assert (answer.status_code, answer.data) == (204, b""), path
        assert answer.headers["Access-Control-Allow-Origin"] == APP
        assert answer.vary.as_set() == {"origin"}
        methods = answer.headers["Access-Control-Allow-Methods"].split(", ")
        assert {"GET", "POST", "PUT", "PATCH", "DELETE"} == set(methods)
        allowed = {name.lower() for name in answer.headers["Access-Control-Allow-Headers"].split(", ")}
        assert set(PREFLIGHT["Access-Control-Request-Headers"].split(", ")) <= allowed
        assert int(answer.headers["Access-Control-Max-Age"]) > 0
        assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_page_of_the_list_may_read_every_answer(apps: Callable[..., Flask]) -> None:
    client = apps(CORS_ORIGINS=APP).test_client()
    for path, status in (("/v1/me", 401), ("/nowhere", 404), ("/healthz", 200), ("/v1/packs", 200)):
        answer = client.get(path, headers={"Origin": APP})
        assert answer.status_code == status
        assert answer.headers.getlist("Access-Control-Allow-Origin") == [APP]
        assert "Origin" in answer.headers["Vary"]
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        assert "Access-Control-Allow-Credentials" not in answer.headers
        assert "Access-Control-Allow-Methods" not in answer.headers


FOREIGN = (
    OTHER, "null", "", "https://app.example.com.evil.example", "http://app.example.com", "https://app.example.com:444",
    "https://APP.example.com", "https://app.example.com/", "*", f"{APP}, {OTHER}", None,
)  # fmt: skip


def test_other_pages_are_told_nothing(apps: Callable[..., Flask]) -> None:
    client = apps(CORS_ORIGINS=APP).test_client()
    for origin in FOREIGN:
        for method, more in (("GET", {}), ("OPTIONS", PREFLIGHT)):
            answer = client.open(
                "/healthz", method=method, headers={**more, **({} if origin is None else {"Origin": origin})}
            )
            assert [name for name, _ in answer.headers if name.startswith("Access-Control")] == [], (origin, method)
            assert answer.vary.as_set() == {"origin"}, "a cache must not give this answer to a page of the list"


def test_any_page_means_any_page_without_credentials(apps: Callable[..., Flask]) -> None:
    client = apps(CORS_ORIGINS="*").test_client()
    answer = client.get("/healthz", headers={"Origin": OTHER})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def _seen(app: Flask, forwarded: str | None) -> tuple[str | None, str, str]:
    seen: list[Any] = []
    app.before_request_funcs.setdefault(None, []).append(
        lambda: seen.append((request.remote_addr, request.scheme, request.host))
    )
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}
    app.test_client().get(
        "/healthz",
        headers={**headers, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "api.example.com"},
        environ_base={"REMOTE_ADDR": "10.0.0.1"},
    )
    told: tuple[str | None, str, str] = seen[0]
    return told


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        ("0", "6.6.6.6", "10.0.0.1"),
        ("1", "6.6.6.6, 1.2.3.4", "1.2.3.4"),
        ("1", "1.2.3.4", "1.2.3.4"),
        ("1", None, "10.0.0.1"),
        ("2", "6.6.6.6, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("2", "6.6.6.6", "10.0.0.1"),
    ],
)
def test_a_caller_is_whom_our_own_proxies_saw(
    apps: Callable[..., Flask], proxies: str, forwarded: str | None, address: str
) -> None:
    seen = _seen(apps(TRUSTED_PROXIES=proxies), forwarded)
    assert seen[0] == address
    assert seen[1:] == (("https", "api.example.com") if proxies == "1" else ("http", "localhost"))


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/v1/jobs"), ("POST", "/v1/auth/login"), ("POST", "/v1/jobs/estimate")]
)
@pytest.mark.parametrize("chunked", [True, False])
def test_no_more_is_read_than_the_largest_body(
    client: FlaskClient, caller: Caller, method: str, path: str, chunked: bool
) -> None:
    size = settings().max_body_bytes
    for length, status in ((size + 1, 413), (size, 422)):
        data = b'{"a": "' + b"x" * (length - 9) + b'"}'
        environ = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}
        answer = client.open(
            path, method=method, headers=caller.headers, data=data, content_type="application/json",
            environ_overrides=environ if chunked else {},
        )  # fmt: skip
        problem: dict[str, Any] = answer.json or {}
        assert (answer.status_code, problem["status"]) == (status, status)
        assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", ""])
@pytest.mark.parametrize("path", ["/v1/jobs", "/v1/jobs/estimate", "/v1/auth/login", "/v1/jobs/x/cancel"])
def test_a_body_that_is_no_json_is_refused_as_such(
    client: FlaskClient, caller: Caller, path: str, content_type: str
) -> None:
    for environ in ({}, {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": ""}):
        answer = client.post(
            path, headers=caller.headers, data=b'{"action": "chat"}', content_type=content_type,
            environ_overrides=environ,
        )  # fmt: skip
        assert (answer.status_code, (answer.json or {})["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("depth", [900, 5_000, 100_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_body_nested_beyond_reason_is_refused(
    client: FlaskClient, caller: Caller, depth: int, opening: bytes
) -> None:
    closing = b"]" if opening == b"[" else b"}"
    for middle in (b"1", b'"\\u0000"'):
        data = b'{"action": "chat", "input": {"prompt": ' + opening * depth + middle + closing * depth + b"}}"
        answer = client.post("/v1/jobs", headers=caller.headers, data=data, content_type="application/json")
        assert answer.status_code in (400, 413, 422)
        assert answer.content_type == "application/problem+json"


@pytest.mark.parametrize(
    ("data", "status", "field"),
    [
        (b'{"email": "a\\u0000@example.com", "password": "x"}', 422, "email"),
        (b'{"email": "a@example.com", "password": "\\ud800"}', 422, "password"),
        (b'{"email": "a@example.com", "password": "\xed\xa0\x80"}', 422, "password"),
        (b'{"email": ["x", {"y": "\\u0000"}], "password": "x"}', 422, "email.1.y"),
        (b'{"\\u0000": "x"}', 422, "body"),
        ('{"email": "a@example.com", "password": "\x00"}'.encode("utf-16"), 400, None),
        (b'{"email": "a@example.com", "password": NaN}', 400, None),
        (b'{"email": "a@example.com", "password": Infinity}', 400, None),
        (b'{"email": "a@example.com", "password": ' + b"9" * 5_000 + b"}", 400, None),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_body_of_no_text_is_refused_by_its_field(
    client: FlaskClient, data: bytes, status: int, field: str | None
) -> None:
    answer = client.post("/v1/auth/login", data=data, content_type="application/json")
    problem: dict[str, Any] = answer.json or {}
    assert answer.status_code == status
    if field is not None:
        assert [error["field"] for error in problem["errors"]] == [field]


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/jobs?after=%00", 422), ("/v1/entitlements/a%00b", 404), ("/v1/%00", 404), ("/%FF", 404)]
)
def test_addresses_of_no_text_are_refused(caller: Caller, path: str, status: int) -> None:
    answer = caller.get(path)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")


def test_what_a_job_made_is_for_saving_and_not_for_showing(caller: Caller) -> None:
    job: dict[str, Any] = caller.submit(action="image").json or {}
    page = b"<script>alert(1)</script>"
    with sessions() as session:
        claim = jobs.claim(session, UUID(job["id"]), lease_seconds=30)
        assert claim is not None
        storage().put(f"{job['id']}/1/0", page)
        described = {
            "type": "file",
            "key": f"{job['id']}/1/0",
            "media_type": "text/html",
            "size": len(page),
            "sha256": "x",
        }
        jobs.complete(session, claim, outputs=[described], usage={}, delivered_percent=100)
    answer = caller.get(f"/v1/jobs/{job['id']}/outputs/0")
    assert answer.data == page
    assert answer.headers["Content-Disposition"] == f"attachment; filename={job['id']}-0.html"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == HEADERS["Content-Security-Policy"]
    part = caller.get(f"/v1/jobs/{job['id']}/outputs/0", Range="bytes=0-3")
    assert (part.status_code, part.data) == (206, page[:4])
    _only_once(part)


def test_broken_json_of_a_stranger_is_not_even_read(client: FlaskClient) -> None:
    for data in (b"{", b"x" * 10_000_000):
        answer = client.post("/v1/jobs", data=data, content_type="application/json")
        assert answer.status_code == 401
