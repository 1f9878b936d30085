"""What belongs to a user opens for that user alone: not for strangers, and not for those who are gone."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import jwt
import pytest
from flask.testing import FlaskClient

from config import settings
from tests.http.offers import sell

REFERRAL = {"wallet": "credits", "referrer": 30, "referred": 10}
PLANS = {"few": {"title": "Few", "rank": 1, "limits": {"companions": 3}}}
JOB = "00000000-0000-7000-8000-000000000000"

READS = (
    "/v1/redemptions", "/v1/referrals", "/v1/notices", "/v1/saved-replies", "/v1/entitlements",
    "/v1/entitlements/companions",
)  # fmt: skip
WRITES: tuple[tuple[str, str, Any], ...] = (
    ("POST", "/v1/redemptions", {"code": "WELCOME"}),
    ("POST", "/v1/saved-replies", {"job_id": JOB, "suggestion": 0}),
    ("DELETE", "/v1/saved-replies/1", None),
    ("PUT", "/v1/entitlements/companions/ann", None),
)
REFER = ("POST", "/v1/referrals", {"code": "NOSUCH22"})
FREE = ("DELETE", "/v1/entitlements/companions/ann", None)


def test_strangers_are_told_nothing(client: FlaskClient) -> None:
    asked = [("GET", path, None) for path in READS] + [*WRITES, REFER, FREE]
    for method, path, body in asked:
        answer = client.open(path, method=method, json=body) if body else client.open(path, method=method)
        assert (answer.status_code, (answer.json or {})["code"]) == (401, "unauthorized"), (method, path)


@pytest.mark.parametrize(("method", "path", "body"), [*WRITES, ("GET", "/v1/referrals", None)])
def test_the_token_of_a_user_who_is_gone_changes_nothing(
    client: FlaskClient, method: str, path: str, body: Any
) -> None:
    sell(plans=PLANS, referral=REFERRAL, promotions={"WELCOME": {"title": "Welcome", "credits": {"credits": 1}}})
    headers = {"Authorization": f"Bearer {_token_of_nobody()}"}
    for _ in range(2):
        answer = client.open(path, method=method, headers=headers, **({"json": body} if body else {}))
        assert (answer.status_code, (answer.json or {})["code"]) == (404, "not_found")


def test_every_call_is_in_the_document(client: FlaskClient) -> None:
    paths: dict[str, Any] = (client.get("/openapi.json").json or {})["paths"]
    for path in READS:
        assert "get" in paths[path.replace("companions", "{limit_name}")]
    assert set(paths["/v1/entitlements/{limit_name}/{item}"]) >= {"put", "delete"}
    assert "delete" in paths["/v1/saved-replies/{reply_id}"]


def _token_of_nobody() -> str:
    now = int(time.time())
    claims = {
        "sub": str(uuid4()), "type": "access", "iss": "coinop", "jti": str(uuid4()), "login": str(uuid4()),
        "fresh": False, "iat": now, "nbf": now, "exp": now + 900,
    }  # fmt: skip
    return jwt.encode(claims, settings().jwt_secret_key.get_secret_value(), algorithm="HS256")
