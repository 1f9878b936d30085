"""API keys: made and shown once, good for what their scopes say, and for nothing once revoked."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from models import api_keys
from models.api_keys import ApiKey, Scope
from models.database import now, sessions
from tests.accounts.people import code_of, id_of, join
from tests.http.conftest import Caller
from tests.races.starting_line import race, tally
from web import tokens

JOB = {"action": "chat", "input": {"prompt": "hello"}}
NO_SCOPE, NOT_GOOD = (403, "scope_required"), (401, "unauthorized")
ALL = [str(scope) for scope in Scope]


@pytest.fixture(autouse=True)
def afresh() -> None:
    tokens.look_again()


def make(caller: Caller, *scopes: str, **more: Any) -> dict[str, Any]:
    answer = caller.post("/v1/api-keys", {"name": "My server", "scopes": list(scopes or ALL), **more})
    assert answer.status_code == 201, answer.json
    return answer.json or {}


def with_key(client: FlaskClient, key: str, path: str, *, method: str = "GET", body: Any = None) -> TestResponse:
    given = {} if body is None else {"json": body}
    return client.open(path, method=method, headers={"Authorization": f"Bearer {key}"}, **given)


def listed(caller: Caller) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (caller.get("/v1/api-keys").json or {})["api_keys"]
    return found


def change(key: dict[str, Any], **columns: Any) -> None:
    with sessions() as session:
        session.execute(update(ApiKey).where(ApiKey.key_hash == _hash(key["key"])).values(**columns))


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_a_key_is_shown_once_and_kept_as_a_hash(client: FlaskClient) -> None:
    caller = join(client)
    first, second = make(caller, "jobs:read"), make(caller, "credits:read", "jobs:write", expires_in_days=7)
    assert re.fullmatch(r"coinop_[A-Za-z0-9_-]{43}", first["key"])
    assert first["key"] != second["key"]
    assert first["hint"] == first["key"][:12]
    assert (first["object"], first["expires_at"], first["last_used_at"]) == ("api_key", None, None)
    assert listed(caller) == [{k: v for k, v in each.items() if k != "key"} for each in (second, first)]
    assert second["scopes"] == ["credits:read", "jobs:write"]
    with sessions() as session:
        kept = session.execute(select(*ApiKey.__table__.columns)).all()
    assert [row.key_hash for row in kept] == [_hash(first["key"]), _hash(second["key"])]
    for row in kept:
        assert not any(key["key"] in str(value) for value in row for key in (first, second))
    assert listed(join(client, "bob@example.com")) == []


def test_a_key_that_cannot_be_is_refused_by_the_field(client: FlaskClient) -> None:
    caller = join(client)
    good = {"name": "My server", "scopes": ["jobs:read"]}
    for bad, field in (
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["admin"]}, "scopes.0"),
        ({"scopes": "jobs:read"}, "scopes"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 3651}, "expires_in_days"),
        ({"user_id": str(uuid4())}, "user_id"),
    ):
        answer = caller.post("/v1/api-keys", {**good, **bad})
        assert (answer.status_code, [each["field"] for each in (answer.json or {})["errors"]]) == (422, [field])
    assert listed(caller) == []


def test_a_key_acts_for_its_user(client: FlaskClient) -> None:
    caller, other = join(client), join(client, "bob@example.com")
    key = make(caller)["key"]
    made = with_key(client, key, "/v1/jobs", method="POST", body=JOB)
    assert made.status_code == 202
    assert caller.get(f"/v1/jobs/{(made.json or {})['id']}").status_code == 200
    assert other.get(f"/v1/jobs/{(made.json or {})['id']}").status_code == 404
    seen: dict[str, Any] = with_key(client, key, "/v1/me").json or {}
    assert (seen["id"], seen["balances"]["credits"]["held"]) == (str(id_of(caller)), 5)


OPEN_WITH = [
    ("GET", "/v1/jobs", "jobs:read"),
    ("GET", f"/v1/jobs/{uuid4()}", "jobs:read"),
    ("GET", f"/v1/jobs/{uuid4()}/outputs/0", "jobs:read"),
    ("POST", "/v1/jobs", "jobs:write"),
    ("POST", "/v1/jobs/estimate", "jobs:write"),
    ("POST", f"/v1/jobs/{uuid4()}/cancel", "jobs:write"),
    ("GET", "/v1/saved-replies", "jobs:read"),
    ("DELETE", "/v1/saved-replies/1", "jobs:write"),
    ("GET", "/v1/wallets", "credits:read"),
    ("GET", "/v1/transactions", "credits:read"),
    ("GET", "/v1/spends", "credits:read"),
    ("POST", "/v1/spends", "credits:write"),
    ("GET", "/v1/redemptions", "credits:read"),
    ("POST", "/v1/redemptions", "credits:write"),
    ("GET", "/v1/notices", "credits:read"),
    ("GET", "/v1/referrals", "credits:read"),
    ("POST", "/v1/referrals", "credits:write"),
    ("GET", "/v1/entitlements", "credits:read"),
    ("PUT", "/v1/entitlements/companions/ann", "credits:write"),
    ("GET", "/v1/me", "account:read"),
]
OPEN_WITH_NONE = [
    ("PATCH", "/v1/me"),
    ("DELETE", "/v1/me"),
    ("GET", "/v1/me/export"),
    ("POST", "/v1/me/password"),
    ("POST", "/v1/me/email"),
    ("GET", "/v1/me/sessions"),
    ("DELETE", "/v1/me/sessions"),
    ("DELETE", f"/v1/me/sessions/{uuid4()}"),
    ("GET", "/v1/api-keys"),
    ("POST", "/v1/api-keys"),
    ("DELETE", f"/v1/api-keys/{uuid4()}"),
    ("GET", "/v1/admin/users"),
    ("GET", f"/v1/admin/users/{uuid4()}"),
    ("PATCH", f"/v1/admin/users/{uuid4()}"),
    ("GET", "/v1/admin/audit-log"),
]


def test_each_call_needs_its_scope_and_some_are_for_no_key(client: FlaskClient) -> None:
    caller = join(client)
    whole = make(caller)["key"]
    for method, path, scope in OPEN_WITH:
        lacking = make(caller, *(each for each in ALL if each != scope))
        refused = with_key(client, lacking["key"], path, method=method, body={} if method != "GET" else None)
        assert code_of(refused) == NO_SCOPE, (method, path)
        assert (refused.json or {})["scope"] == scope
        having = make(caller, scope)
        answer = with_key(client, having["key"], path, method=method, body={} if method != "GET" else None)
        assert answer.status_code in (200, 404, 422), (method, path, answer.json)
        for key in (lacking, having):
            assert caller.client.delete(f"/v1/api-keys/{key['id']}", headers=caller.headers).status_code == 204
    for method, path in OPEN_WITH_NONE:
        answer = with_key(client, whole, path, method=method, body={} if method != "GET" else None)
        assert code_of(answer) == NO_SCOPE, (method, path)
        assert (answer.json or {})["scope"] is None


def test_no_call_lets_keys_in_by_being_forgotten(app: Flask, client: FlaskClient) -> None:
    """Every rule of the app is refused to a key without scopes, but for those that are open to all."""
    caller = join(client)
    key = make(caller, "account:read")
    change(key, scopes=[])
    tokens.look_again()
    public = "v1/(auth|actions|packs|plans|outputs|webhooks)"
    open_to_all = re.compile(rf"/(docs|openapi|healthz|readyz|metrics|{public}|(mock-)?checkout/|[a-z-]+$)")
    asked = 0
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<[^>]*>", lambda _: str(uuid4()), rule.rule)
        if open_to_all.match(path):
            continue
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            answer = with_key(client, key["key"], path, method=method)
            assert code_of(answer) == NO_SCOPE, (method, path)
            asked += 1
    assert asked > 40


def test_what_is_open_to_all_is_open_to_keys_and_shows_credits_to_those_that_may_read_them(client: FlaskClient) -> None:
    caller = join(client)
    able, unable = make(caller, "credits:read")["key"], make(caller, "jobs:read")["key"]
    assert (with_key(client, able, "/v1/plans").json or {})["balances"]["credits"]["available"] == 100
    assert (with_key(client, unable, "/v1/plans").json or {})["balances"] is None
    assert code_of(with_key(client, f"coinop_{'x' * 43}", "/v1/plans")) == NOT_GOOD


def test_what_is_no_key_opens_nothing(client: FlaskClient) -> None:
    caller = join(client)
    key = make(caller)["key"]
    changed = key[:-1] + ("A" if key[-1] != "A" else "B")
    for wrong in (f"coinop_{'x' * 43}", changed, key[:-1], f"{key}A", key.upper(), "coinop_", _hash(key)):
        answer = with_key(client, wrong, "/v1/jobs")
        assert code_of(answer) == NOT_GOOD, wrong
    assert code_of(client.get("/v1/jobs", headers={"Authorization": f"Basic {key}"})) == NOT_GOOD
    assert code_of(client.get(f"/v1/jobs?api_key={key}")) == NOT_GOOD


def test_a_revoked_key_is_refused_at_once_and_elsewhere_within_two_seconds(client: FlaskClient) -> None:
    caller, other = join(client), join(client, "bob@example.com")
    here, elsewhere = make(caller), make(caller)
    for key in (here, elsewhere):
        assert with_key(client, key["key"], "/v1/jobs").status_code == 200
        path = f"/v1/api-keys/{key['id']}"
        assert client.delete(path, headers=other.headers).status_code == 404
        assert with_key(client, key["key"], "/v1/jobs").status_code == 200
    for _ in range(2):
        assert client.delete(f"/v1/api-keys/{here['id']}", headers=caller.headers).status_code == 204
    assert code_of(with_key(client, here["key"], "/v1/jobs")) == NOT_GOOD
    assert [each["id"] for each in listed(caller)] == [elsewhere["id"]]

    assert with_key(client, elsewhere["key"], "/v1/jobs").status_code == 200
    change(elsewhere, revoked_at=now())
    with mock.patch("web.tokens.api_keys.find", side_effect=AssertionError):
        assert with_key(client, elsewhere["key"], "/v1/jobs").status_code == 200, "it is remembered for a while"
    began = time.monotonic()
    with mock.patch("web.tokens.time.monotonic", return_value=began + 2):
        assert code_of(with_key(client, elsewhere["key"], "/v1/jobs")) == NOT_GOOD


def test_a_key_ends_when_its_time_is_over(client: FlaskClient) -> None:
    key = make(join(client), expires_in_days=1)
    assert key["expires_at"] > key["created_at"]
    assert with_key(client, key["key"], "/v1/jobs").status_code == 200
    change(key, expires_at=now(-1))
    tokens.look_again()
    assert code_of(with_key(client, key["key"], "/v1/jobs")) == NOT_GOOD


def test_a_use_is_noted_once_a_minute(client: FlaskClient) -> None:
    caller = join(client)
    key = make(caller)
    assert with_key(client, key["key"], "/v1/jobs").status_code == 200
    [first] = listed(caller)
    assert first["last_used_at"] >= first["created_at"]
    tokens.look_again()
    with mock.patch("web.tokens.api_keys.note_use", side_effect=AssertionError):
        assert with_key(client, key["key"], "/v1/jobs").status_code == 200
    with sessions() as session:
        api_keys.note_use(session, key_id=session.scalars(select(ApiKey.id)).one())
    assert listed(caller) == [first]
    change(key, last_used_at=now(-61))
    tokens.look_again()
    assert with_key(client, key["key"], "/v1/jobs").status_code == 200
    assert listed(caller)[0]["last_used_at"] > first["last_used_at"]


def test_there_is_an_end_to_how_many_keys_one_has(client: FlaskClient) -> None:
    caller, other = join(client), join(client, "bob@example.com")
    with mock.patch("models.api_keys.MOST_KEYS", 2):
        first, _ = make(caller), make(caller)
        answer = caller.post("/v1/api-keys", {"name": "one more", "scopes": ALL})
        assert (code_of(answer), (answer.json or {})["limit"]) == ((409, "too_many_api_keys"), 2)
        make(other)
        client.delete(f"/v1/api-keys/{first['id']}", headers=caller.headers)
        make(caller)
    assert api_keys.MOST_KEYS == 50


def test_the_document_shows_both_ways_to_call(client: FlaskClient) -> None:
    document: dict[str, Any] = client.get("/openapi.json").json or {}
    assert set(document["components"]["securitySchemes"]) == {"jwt", "api_key", "admin_key"}
    paths = document["paths"]
    assert paths["/v1/jobs"]["post"]["security"] == [{"jwt": []}, {"api_key": []}]
    assert sorted(paths["/v1/me"]["get"]["security"], key=str) == [{"api_key": []}, {"jwt": []}]
    assert paths["/v1/me"]["delete"]["security"] == [{"jwt": []}]
    assert paths["/v1/api-keys"]["post"]["security"] == [{"jwt": []}]
    assert paths["/v1/admin/users"]["get"]["security"] == [{"jwt": []}, {"admin_key": []}]


def test_many_at_once_make_no_more_keys_than_there_may_be(arena: str, new_user: Callable[..., tuple[Any, int]]) -> None:
    user_id, _ = new_user()
    with mock.patch("models.api_keys.MOST_KEYS", 3):
        results = race(
            *(
                lambda session: api_keys.create(session, user_id=user_id, name="x", scopes=[Scope.jobs_read])
                for _ in range(8)
            )
        )
    assert tally(["made" if isinstance(each, tuple) else each for each in results]) == {"made": 3, "TooManyApiKeys": 5}
