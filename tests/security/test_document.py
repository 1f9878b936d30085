"""The API does what its document says: requests made from the document, good ones and bad ones, always the same.

No answer is our mistake (500), each has a status, a type and a shape that its call names; good values are taken and bad
ones refused.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest
import schemathesis
from flask.testing import FlaskClient
from flask_openapi import APIBlueprint, Info
from pydantic import create_model
from schemathesis import Case
from schemathesis.auths import AuthContext
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import FailureGroup
from schemathesis.engine import events, from_schema
from sqlalchemy import update

from models.database import sessions
from models.users import Role, User
from tests.http.conftest import PASSWORD
from tests.http.offers import sell
from tests.security.document import Operation, operations, sample
from tests.security.first_user import SOLD, Ada, settle
from tests.security.test_two_tenants import BODIES, FIELDS
from tests.uploads.drawings import picture
from web.requests import FrontDoor
from web.shelf import shelf

SEED = 20_261_121

EXAMPLES = 3
"""Made at random for each call, on top of the boundaries of every value, which are gone through one by one."""

GOOD = [402, 403, 404, 409, 410, 422, 429]
"""What a request that its schema allows may be answered besides a success: schemas do not know what is sold, which
links were used, or that one time is after another."""

CHECKS: dict[str, Any] = {
    "positive_data_acceptance": {"enabled": True, "expected-statuses": ["2xx", "3xx", 401, *GOOD]},
    # Whether strangers are let in is asked in test_two_tenants.py.
    "ignored_auth": {"enabled": False},
    # Several paths are an id to another call, and so what they allow is more than what they have.
    "allow_header_conformance": {"enabled": False},
}

NO_SUCCESS = {
    "POST /v1/auth/verify-email": "its token is in an e-mail, which nobody writes here",
    "POST /v1/auth/reset-password": "its token is in an e-mail",
    "POST /v1/auth/confirm-email": "its token is in an e-mail",
    "POST /v1/jobs/{job_id}/cancel": "Ada's job has ended",
    "POST /v1/admin/jobs/{job_id}/retry": "Ada's job has ended",
    "POST /v1/admin/jobs/{job_id}/cancel": "Ada's job has ended",
    "PUT /v1/admin/catalog": "it wants the version that was read, in a header",
    "POST /v1/redemptions": "Ada has redeemed it",
    "POST /v1/subscription": "Ada has one",
    "POST /v1/webhooks/stripe": "nobody here has the secret",
    "PUT /v1/admin/users/{user_id}/plan": "Ada pays for one",
    "DELETE /v1/admin/users/{user_id}/plan": "Ada pays for one",
    "POST /v1/referrals": "nobody else is there to have brought her",
}
"""Calls that succeed for somebody else, in tests of their own."""

NEW_ADDRESS = ("POST /v1/auth/signup", "POST /v1/me/email")

ENDS_SESSIONS = ("/v1/me", "/v1/me/sessions", "/v1/me/password")


def _schema(app: Any, *, thorough: bool = True) -> Any:
    config = SchemathesisConfig.from_dict(
        {
            "seed": SEED,
            "cache": {"enabled": False},
            "generation": {
                "max-examples": EXAMPLES, "deterministic": True, "database": "none", "with-security-parameters": False,
            },
            "phases": {"stateful": {"enabled": False}, "coverage": {"enabled": thorough}},
            "checks": CHECKS,
            # A GET of it is a GET of a job that is called so.
            "operations": [
                {"include-path": "/v1/jobs/estimate", "checks": {"unsupported_method": {"enabled": False}}},
                # Without the secret nobody signs what is taken.
                {"include-path": "/v1/webhooks/stripe", "checks": {"positive_data_acceptance": {"enabled": False}}},
            ],
        }
    )  # fmt: skip
    return schemathesis.openapi.from_wsgi("/openapi.json", app, config=config)


def _faults(schema: Any) -> tuple[list[str], int]:
    """What was wrong, each kind once, and how many requests were made."""
    faults: dict[tuple[Any, ...], str] = {}
    asked = 0
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError | events.FatalError):
            faults[repr(event), 0] = str(getattr(event, "value", None) or event)
        if not isinstance(event, events.ScenarioFinished):
            continue
        asked += len(event.recorder.cases)
        for number, checks in event.recorder.checks.items():
            for check in checks:
                if check.failure_info is not None:
                    case = event.recorder.cases[number].value
                    failure = check.failure_info.failure
                    faults.setdefault(
                        (event.recorder.label, check.name),
                        f"{event.recorder.label}: {failure.title}: {failure.message}\n{case.as_curl_command()}",
                    )
    return list(faults.values()), asked


def _sign_everybody_in(schema: Any, client: FlaskClient) -> None:
    """One user for all calls, and for those that end sessions a new one each."""

    def sign_up() -> str:
        body = {"email": f"{uuid4().hex}@example.com", "password": PASSWORD}
        token: str = (client.post("/v1/auth/signup", json=body).json or {})["access_token"]
        return token

    everybody = sign_up()

    @schema.auth(refresh_interval=None)
    class SignedIn:
        def get(self, case: Case[Any], _context: AuthContext) -> str:
            return sign_up() if case.method != "GET" and case.path in ENDS_SESSIONS else everybody

        def set(self, case: Case[Any], data: str, _context: AuthContext) -> None:
            case.headers["Authorization"] = f"Bearer {data}"


# Thousands of requests, on the database that refuses more.
@pytest.mark.parametrize("database", ["postgresql"], indirect=True)
def test_the_api_does_what_its_document_says(app: Any, client: FlaskClient) -> None:
    sell(**SOLD)
    schema = _schema(app)
    _sign_everybody_in(schema, client)
    faults, asked = _faults(schema)
    assert not faults, "\n\n".join(faults)
    assert asked > 10 * len(operations(client)), "nothing was tried"


def test_strangers_are_answered_as_the_document_says(app: Any, sqlite: str) -> None:
    shelf.look_again()
    faults, asked = _faults(_schema(app, thorough=False))
    assert not faults, "\n\n".join(faults)
    assert asked > len(operations(app.test_client())), "nothing was tried"


def test_every_success_is_as_the_document_says(app: Any, client: FlaskClient) -> None:
    """Random ids name nothing; these name what is there."""
    schema = _schema(app)
    faults, succeeded = [], set()
    other, ada = settle(client), _admin(Ada(client))

    def ask(operation: Operation) -> tuple[Any, Any]:
        # Of what is an admin's own others decide.
        owner = other if operation.path.startswith("/v1/admin/") else ada
        case = schema[operation.path][operation.method].Case(
            path_parameters={name: str(owner.values[name]) for name in operation.named("path")},
            headers={**ada.caller.headers, **_required(operation)},
            **_body(operation, ada),
        )
        return case, case.call()

    for operation in sorted(operations(client), key=lambda each: each.method != "GET"):
        case, response = ask(operation)
        if response.status_code >= 300 and operation.name not in NO_SUCCESS:
            # What was asked before may have used up what Ada had.
            ada = _admin(Ada(client))
            case, response = ask(operation)
        if response.status_code < 300:
            succeeded.add(operation.name)
        try:
            case.validate_response(response)
        except FailureGroup as group:
            faults += [f"{operation.name}: {each}" for each in group.exceptions]
    assert not faults, "\n\n".join(faults)
    missing = {each.name for each in operations(client)} - succeeded - set(NO_SUCCESS)
    assert missing == set(), "these answered no success: say why in NO_SUCCESS, or give a good body in BODIES"


def test_two_models_of_one_name_stop_the_boot() -> None:
    """The document could only have one of them, and would be wrong about the other."""
    app = FrontDoor("doors", info=Info(title="Doors", version="1"), doc_ui=False)
    first, second = (APIBlueprint(f"doors{number}", __name__, url_prefix=f"/{number}") for number in range(2))
    first.get("/", responses={200: create_model("DoorView", wide=(int, ...))})(lambda: {})
    second.get("/", responses={200: create_model("DoorView", wide=(str, ...))})(lambda: {})
    app.register_api(first)
    with pytest.raises(ValueError, match="DoorView"):
        app.register_api(second)


def _admin(ada: Ada) -> Ada:
    with sessions() as session:
        session.execute(update(User).where(User.id == UUID(ada.values["user_id"])).values(role=Role.admin))
    return ada


def _required(operation: Operation) -> dict[str, str]:
    """The headers without which a call does nothing."""
    return {each["name"]: "k1" for each in operation.parameters if each["in"] == "header" and each["required"]}


def _body(operation: Operation, ada: Ada) -> dict[str, Any]:
    if operation.body is not None:
        known = {**ada.values, **FIELDS, "refresh_token": ada.caller.tokens["refresh_token"], "email": ada.caller.email}
        if operation.name in NEW_ADDRESS:
            known["email"] = f"{uuid4().hex}@example.com"
        return {"body": BODIES.get(operation.name) or sample(operation.body, known), "media_type": "application/json"}
    if operation.media_types:
        return {"body": picture(seed=5), "media_type": operation.media_types[0]}
    return {}
