"""Two tenants: every call of the API, made by those who may not make it, on objects of somebody else.

The calls are those of the OpenAPI document, so a new one is tested when it is in there. What it needs is said in the
messages of the first tests here.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from config import settings
from models import api_keys
from tests.http.conftest import PASSWORD, Caller
from tests.security.document import FOR_ANYBODY, PUBLIC, UNDOCUMENTED, Operation, operations, references, sample
from tests.security.first_user import MAKERS, OWN_NAMES, Ada, settle
from tests.uploads.drawings import picture

BODIES: dict[str, Any] = {
    "POST /v1/spends": {"action": "tip", "input": {"quantity": 1}},
    "PATCH /v1/me": {"name": "Eve"},
    "POST /v1/checkouts": {"pack": "quick"},
    "POST /v1/subscription": {"plan": "basic", "billing": "monthly"},
    "PATCH /v1/subscription": {"cancel_at_period_end": True},
    "PUT /v1/top-up": {"wallet": "credits", "pack": "quick", "threshold": 1, "monthly_cap": 1_000},
    "PUT /v1/admin/promotions/{promotion_code}": {
        "promotion": {"title": "Spring", "credits": {"tips": 3}},
        "reason": "She is in the way.",
    },
    "PATCH /v1/admin/users/{user_id}": {"suspended": True, "reason": "She is in the way."},
    "POST /v1/admin/users/{user_id}/adjustments": {"wallet": "credits", "amount": 5, "reason": "She asked for more."},
    "PUT /v1/admin/users/{user_id}/plan": {"plan": "few", "reason": "She asked for less."},
}
"""Bodies of calls for which what can be made from the schema is refused."""

FIELDS: dict[str, Any] = {
    "password": PASSWORD, "current_password": PASSWORD, "new_password": "another horse battery",
    "action": "chat", "input": {"prompt": "hello"}, "output": 1,
}  # fmt: skip
"""Values of fields by name, for bodies made from schemas."""


def test_what_is_open_to_all_is_so_for_a_reason(app: Any, client: FlaskClient) -> None:
    known = {each.name for each in operations(client)}
    stale = [name for name in (*PUBLIC, *FOR_ANYBODY) if name not in known]
    assert stale == [], "these are no calls any more: take them out of document.py"
    rules = {str(rule) for rule in app.url_map.iter_rules() if not str(rule).startswith("/docs/")}
    documented = {each.path.replace("{", "<").replace("}", ">") for each in operations(client)}
    assert rules - documented - set(UNDOCUMENTED) == set(), "put these into the document, or say why not in document.py"


def test_everything_that_can_be_named_is_made(client: FlaskClient) -> None:
    for operation in operations(client):
        named = {*operation.named("path"), *references(operation.body)}
        assert named - set(MAKERS) == set(), (
            f"{operation.name} names something that Ada has none of: say in MAKERS of tests/security/first_user.py "
            "how to make one through the API"
        )


GONE = "a user who is gone"
"""A token that we signed all the same: whether there is anything to give is seen by what it asks for."""


def _bad_tokens(ada: Ada) -> dict[str, str]:
    good = ada.caller.tokens["access_token"]
    claims = jwt.decode(good, options={"verify_signature": False})
    key, now = settings().jwt_secret_key.get_secret_value(), int(time.time())
    forged = {
        "expired": _sign({**claims, "iat": now - 2_000, "nbf": now - 2_000, "exp": now - 1}, key),
        "refresh token": ada.caller.tokens["refresh_token"],
        "another key": _sign(claims, "a key that somebody else made up"),
        "another secret of ours": _sign(claims, settings().secret_key.get_secret_value()),
        "no signature": _sign(claims, "", "none"),
        "cut signature": good[:-2],
        "no user": _sign({**claims, "sub": "ada"}, key),
        "another issuer": _sign({**claims, "iss": "somebody"}, key),
        "no API key": f"{api_keys.PREFIX}{'A' * 43}",
        GONE: _sign({**claims, "login": str(uuid4()), "sub": str(uuid4())}, key),
    }
    return {"nobody": "", "no token": "Bearer", **{who: f"Bearer {token}" for who, token in forged.items()}}


def _sign(claims: dict[str, Any], key: str, algorithm: str = "HS256") -> str:
    return jwt.encode(claims, key, algorithm=algorithm)


def test_strangers_are_let_in_nowhere(client: FlaskClient) -> None:
    ada = settle(client)
    everything = operations(client)
    before = ada.sees(everything)
    wrong = []
    for who, header in _bad_tokens(ada).items():
        headers = {"Authorization": header} if header else {}
        for operation in everything:
            if operation.name in PUBLIC:
                continue
            answer = operation.ask(client, headers, {**ada.values, "picture": b"x"}, body=_body(operation, ada.values))
            expected = {401}
            if operation.name in FOR_ANYBODY and who == "nobody":
                expected = {200}
            elif who == GONE:
                expected = {200, 204, 401, 403, 404, 409, 422}
            wrong += _wrong(f"{who}: {operation.name}", answer, expected, ada)
    assert not wrong, "\n".join(wrong)
    assert _changed(before, ada.sees(everything)) == []


def test_what_is_anothers_does_not_exist(client: FlaskClient, sign_up: Callable[[], Caller]) -> None:
    ada = settle(client)
    everything = operations(client)
    before = ada.sees(everything)
    # Eve says that a third user brought her: had she named Ada, Ada would rightly see one more.
    known = {**ada.values, "picture": picture(seed=4), "code": (sign_up().get("/v1/referrals").json or {})["code"]}
    eve, wrong = sign_up(), []
    for operation in everything:
        if operation.path.startswith("/v1/admin"):
            expected = {403}
        elif set(operation.named("path")) - set(OWN_NAMES) or set(references(operation.body)):
            expected = {404}
        else:
            # Her own, or nobody's: what she is answered is for the canary to judge.
            expected = {200, 201, 202, 204, 400, 401, 402, 403, 404, 409, 410, 429}
        if operation.method != "GET":
            eve = sign_up()  # the last one may have logged herself out, or closed her account
        answer = operation.ask(client, eve.headers, known, body=_body(operation, known))
        wrong += _wrong(f"another user: {operation.name}", answer, expected, ada)
    assert not wrong, "\n".join([*wrong, "If a body was refused, give a good one in BODIES or FIELDS."])
    assert _changed(before, ada.sees(everything)) == []


def test_lists_asked_from_anothers_objects_on_show_nothing_of_theirs(
    client: FlaskClient, sign_up: Callable[[], Caller]
) -> None:
    ada, eve = settle(client), sign_up()
    wrong = []
    for operation in operations(client):
        if operation.method == "GET" and not operation.path.startswith("/v1/admin"):
            for name in operation.named("query"):
                for value in {ada.values.get(name, ""), *ada.secrets, ada.values["reply_id"] + 1}:
                    answer = operation.ask(client, eve.headers, ada.values, query={name: value})
                    wrong += _wrong(f"{operation.name}?{name}=", answer, {200, 404, 422}, ada)
    assert not wrong, "\n".join(wrong)


def test_files_and_jobs_are_not_made_of_what_is_anothers(client: FlaskClient, sign_up: Callable[[], Caller]) -> None:
    ada, eve = settle(client), sign_up()
    body = {"action": "upscale", "input": {"upload": ada.values["upload_id"], "scale": 2}}
    for path in ("/v1/jobs", "/v1/jobs/estimate"):
        answer = eve.post(path, body)
        assert answer.status_code == 422, answer.json
        assert ada.caller.post(path, body).status_code in (200, 202), "and it is good for her"


def test_a_header_names_nobody(client: FlaskClient, sign_up: Callable[[], Caller]) -> None:
    ada, eve = settle(client), sign_up()
    mine = eve.get("/v1/me").json
    for name in ("X-User-Id", "X-Coinop-User", "X-Forwarded-User", "X-Original-URL", "Remote-User"):
        assert eve.get("/v1/me", **{name: ada.values["user_id"]}).json == mine
    for query in ("user_id", "user", "sub"):
        answer = eve.get(f"/v1/me?{query}={ada.values['user_id']}")
        assert answer.status_code == 422 or answer.json == mine
    answer = client.get("/v1/me", query_string={"jwt": ada.caller.tokens["access_token"]})
    assert answer.status_code == 401
    client.set_cookie("access_token_cookie", ada.caller.tokens["access_token"])
    assert client.get("/v1/me").status_code == 401


def _changed(before: Any, after: Any, path: str = "") -> list[str]:
    """Where two answers differ, by path."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            fault
            for name in before.keys() | after.keys()
            for fault in _changed(before.get(name), after.get(name), f"{path}.{name}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            fault
            for number, pair in enumerate(zip(before, after, strict=True))
            for fault in _changed(*pair, f"{path}.{number}")
        ]
    return [] if before == after else [f"{path} was {before!r} and is {after!r}"]


def _body(operation: Operation, values: dict[str, Any]) -> Any:
    """A good body, in which ids are Ada's."""
    if operation.body is None:
        return None
    known = {**values, **FIELDS, "email": f"{uuid4().hex}@example.com"}
    return BODIES.get(operation.name) or sample(operation.body, known)


def _wrong(what: str, answer: TestResponse, expected: set[int], ada: Ada) -> list[str]:
    """What is wrong with an answer: its status, or something of Ada's in it that the caller did not say."""
    faults = []
    if answer.status_code not in expected:
        faults.append(f"{what} is answered {answer.status_code}: {answer.data[:200]!r}")
    if answer.status_code >= 400 and answer.content_type != "application/problem+json":
        faults.append(f"{what} is answered with {answer.content_type}")
    told = answer.data + str(answer.headers).encode()
    said = answer.request.url.encode()
    faults += [f"{what} shows {each}" for each in ada.secrets if each.encode() in told and each.encode() not in said]
    return faults


@pytest.fixture(autouse=True)
def _own_files(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STORAGE_URL", f"file://{tmp_path / 'files'}")
