"""Sign-up, log-in, refresh, log-out, over HTTP."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from flask.testing import FlaskClient

from config import settings
from tests.http.conftest import PASSWORD, Caller


def test_signing_up_gives_the_credits_of_the_catalog(caller: Caller) -> None:
    assert caller.tokens["user"]["balances"] == {"credits": {"available": 100, "held": 0, "debt": 0}}
    assert caller.balance() == {"available": 100, "held": 0, "debt": 0}


def test_logging_in_tells_nobody_which_addresses_exist(client: FlaskClient, caller: Caller) -> None:
    right = client.post("/v1/auth/login", json={"email": caller.email, "password": PASSWORD})
    assert right.status_code == 200
    assert (right.json or {})["user"]["id"] == caller.tokens["user"]["id"]
    wrong = client.post("/v1/auth/login", json={"email": caller.email, "password": "wrong horse battery"})
    unknown = client.post("/v1/auth/login", json={"email": "nobody@example.com", "password": "wrong horse battery"})
    assert (wrong.status_code, wrong.json) == (unknown.status_code, unknown.json)
    assert wrong.status_code == 401


def test_a_refresh_token_works_once_and_its_replay_ends_the_family(client: FlaskClient, caller: Caller) -> None:
    first = caller.tokens["refresh_token"]
    second = _refresh(client, first).json["refresh_token"]
    third = _refresh(client, second).json["refresh_token"]
    assert _refresh(client, first).status_code == 401
    assert _refresh(client, third).status_code == 401, "whoever has the newest token may be the thief"


def test_logging_out_ends_the_session(client: FlaskClient, caller: Caller) -> None:
    token = caller.tokens["refresh_token"]
    assert client.post("/v1/auth/logout", json={"refresh_token": token}).status_code == 204
    assert _refresh(client, token).status_code == 401


def test_tokens_cannot_be_used_for_each_other(client: FlaskClient, caller: Caller) -> None:
    assert _refresh(client, caller.tokens["access_token"]).status_code == 401
    as_access = {"Authorization": f"Bearer {caller.tokens['refresh_token']}"}
    assert client.get("/v1/me", headers=as_access).status_code == 401


def _forged(**changes: Any) -> str:
    claims = {
        "sub": str(uuid4()), "type": "access", "iss": "coinop", "jti": str(uuid4()), "login": str(uuid4()),
        "fresh": False, "iat": int(time.time()), "nbf": int(time.time()), "exp": int(time.time()) + 900, **changes,
    }  # fmt: skip
    key = changes.pop("key", settings().jwt_secret_key.get_secret_value())
    claims.pop("key", None)
    return jwt.encode(claims, key, algorithm="HS256")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "Bearer",
        "Bearer nonsense",
        "Basic dXNlcjpwYXNz",
        pytest.param(lambda: _forged(exp=int(time.time()) - 1), id="expired"),
        pytest.param(lambda: _forged(key="some other key that is long enough"), id="other key"),
        pytest.param(lambda: _forged(iss="somebody"), id="other issuer"),
        pytest.param(lambda: _forged(login=None), id="of no log-in"),
        pytest.param(lambda: jwt.encode({"sub": "x"}, "", algorithm="none"), id="unsigned"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/me", "/v1/jobs"])
def test_without_a_good_access_token_nothing_is_told(
    client: FlaskClient, header: str | Callable[[], str] | None, path: str
) -> None:
    value = f"Bearer {header()}" if callable(header) else header
    answer = client.get(path, headers={} if value is None else {"Authorization": value})
    assert answer.status_code == 401
    assert answer.content_type == "application/problem+json"
    assert (answer.json or {})["code"] == "unauthorized"
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_tampered_token_is_refused(client: FlaskClient, caller: Caller) -> None:
    head, claims, signature = caller.tokens["access_token"].split(".")
    broken = f"{head}.{claims}.{signature[:-4]}AAAA"
    assert client.get("/v1/me", headers={"Authorization": f"Bearer {broken}"}).status_code == 401


def test_a_token_of_a_user_who_is_gone_opens_nothing(client: FlaskClient) -> None:
    headers = {"Authorization": f"Bearer {_forged()}"}
    assert client.get("/v1/me", headers=headers).status_code == 404
    answer = client.post("/v1/jobs", headers=headers, json={"action": "chat", "input": {"prompt": "x"}})
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"email": "not an address", "password": PASSWORD}, "email"),
        ({"email": "a@example.com", "password": "short"}, "password"),
        ({"email": "a@example.com", "password": "x" * 129}, "password"),
        ({"email": "a@example.com"}, "password"),
        ({"email": "a@example.com", "password": PASSWORD, "role": "admin"}, "role"),
        ({"email": ["a@example.com"], "password": PASSWORD}, "email"),
    ],
)
def test_bad_sign_ups_name_the_field_and_never_repeat_the_password(
    client: FlaskClient, body: dict[str, Any], field: str
) -> None:
    answer = client.post("/v1/auth/signup", json=body)
    assert answer.status_code == 422
    assert [error["field"] for error in (answer.json or {})["errors"]] == [field]
    assert str(body.get("password")) not in answer.get_data(as_text=True)


def _refresh(client: FlaskClient, token: str) -> Any:
    return client.post("/v1/auth/refresh", json={"refresh_token": token})
