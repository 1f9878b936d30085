"""The OpenAPI document: what the library writes from the views, and what is true of every call without being said.

Views name the answers that are their own. That a stranger is told 401, a body that is no JSON 400, and that every
problem is a problem document, is true of all of them and written here once.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from werkzeug.http import HTTP_STATUS_CODES

from web import example_problems, examples

PROBLEM = "#/components/schemas/Problem"
MEDIA_TYPE = "application/problem+json"

FOR_ALL = (HTTPStatus.SERVICE_UNAVAILABLE,)
"""The database is away."""

WITH_A_BODY = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)
FOR_KNOWN_CALLERS = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)
WITH_PARAMETERS = (HTTPStatus.UNPROCESSABLE_ENTITY,)
WITH_A_PATH = (HTTPStatus.NOT_FOUND,)

ALSO: dict[tuple[str, str], dict[str, dict[str, Any]]] = {
    ("get", "/v1/transactions"): {"200": {"text/csv": {"schema": {"type": "string"}}}},
}
"""Other forms that an answer comes in, by its status."""

HEADERS: dict[str, dict[str, Any]] = {
    "Idempotency-Key": {
        "description": "Repeat a request with the same key as often as needed: it is done once.",
        "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
    },
    "Prefer": {
        "description": "`wait=n`: have the answer as soon as the job has ended, or after n seconds. Other preferences, "
        "and what cannot be read, are ignored (RFC 7240).",
        "schema": {"type": "string", "examples": ["wait=10", "respond-async, wait=10"]},
    },
    "If-Match": {
        "description": "The version of the catalog that you have read, in quotes: its `ETag`. If another one is sold "
        "by now the answer is 412, and nothing is changed.",
        "schema": {"type": "string", "pattern": '^"[0-9]+"$', "examples": ['"7"']},
    },
}
"""What a request may say in its headers, and what that does."""

SAID: dict[tuple[str, str], tuple[str, ...]] = {
    ("post", "/v1/jobs"): ("Idempotency-Key", "Prefer"),
    ("get", "/v1/jobs/{job_id}"): ("Prefer",),
    ("post", "/v1/spends"): ("Idempotency-Key",),
    ("post", "/v1/checkouts"): ("Idempotency-Key",),
    ("post", "/v1/payment-intents"): ("Idempotency-Key",),
    ("post", "/v1/subscription"): ("Idempotency-Key",),
    ("post", "/v1/admin/payments/{any_payment_id}/refunds"): ("Idempotency-Key",),
    ("post", "/v1/admin/users/{user_id}/adjustments"): ("Idempotency-Key",),
    ("put", "/v1/admin/users/{user_id}/plan"): ("Idempotency-Key",),
    ("put", "/v1/admin/catalog"): ("If-Match",),
    ("post", "/v1/admin/catalog/versions/{catalog_version}/restore"): ("If-Match",),
    ("put", "/v1/admin/promotions/{promotion_code}"): ("If-Match",),
    ("delete", "/v1/admin/promotions/{promotion_code}"): ("If-Match",),
}
"""The calls that know these headers."""

REQUIRED = {("post", "/v1/admin/users/{user_id}/adjustments"), ("put", "/v1/admin/catalog")}
"""Those that do nothing without."""

ONCE = ("post", "/v1/admin/jobs/{job_id}/refund")
"""It is done once for each job, and needs no key to be known again."""

REPLAYED = {
    "Idempotency-Replayed": {
        "description": "This was asked for before, and the answer is about what was made then.",
        "schema": {"type": "string", "const": "true"},
    },
}

ANSWERED: dict[str, dict[str, dict[str, Any]]] = {
    "Idempotency-Key": REPLAYED,
    "If-Match": {
        "ETag": {
            "description": "The version that is sold now.",
            "schema": {"type": "string", "pattern": '^"[0-9]+"$'},
        },
    },
    "Prefer": {
        "Preference-Applied": {
            "description": "The answer was waited for, this long at most. It is not there when it was not: too many "
            "requests wait already.",
            "schema": {"type": "string", "pattern": "^wait=[0-9]+$", "examples": ["wait=10"]},
        },
    },
}
"""What successes may say in their headers to calls that know one."""


def file(*media_types: str) -> dict[str, Any]:
    """For `responses`: an answer that is a file."""
    return {"content": {each: {"schema": {"type": "string", "format": "binary"}} for each in media_types}}


def complete(document: dict[str, Any]) -> None:
    """Add to each call what is true of all."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            _complete(operation, f"{method} {path}")
            for code, forms in ALSO.get((method, path), {}).items():
                operation["responses"][code]["content"].update(forms)
            for name in SAID.get((method, path), ()):
                parameter = {"name": name, "in": "header", "required": (method, path) in REQUIRED, **HEADERS[name]}
                operation.setdefault("parameters", []).append(parameter)
                _say_in_headers(operation, ANSWERED[name])
            if (method, path) == ONCE:
                _say_in_headers(operation, REPLAYED)
            _give_examples(document, method, path)


def _say_in_headers(operation: dict[str, Any], headers: dict[str, dict[str, Any]]) -> None:
    for code, answer in operation["responses"].items():
        if code < "400":
            answer.setdefault("headers", {}).update(headers)


def _complete(operation: dict[str, Any], name: str) -> None:
    answers = operation["responses"]
    _forget_what_nobody_said(operation, answers)
    known = operation.get("security") or []
    wanted = {
        *FOR_ALL,
        *(WITH_A_BODY if "requestBody" in operation else ()),
        *(FOR_KNOWN_CALLERS if known else ()),
        *(WITH_PARAMETERS if operation.get("parameters") else ()),
        *(WITH_A_PATH if "{" in name else ()),
    }
    for status in wanted:
        answers.setdefault(str(status.value), _problem(status))
    for code, answer in answers.items():
        if PROBLEM in str(answer):
            answers[code] = _problem(HTTPStatus(int(code)))
    operation["responses"] = dict(sorted(answers.items()))


def _give_examples(document: dict[str, Any], method: str, path: str) -> None:
    """Each body that is JSON has an example, and each problem one for every code that it can have here."""
    operation = document["paths"][path][method]
    for name, form in operation.get("requestBody", {}).get("content", {}).items():
        if name == "application/json":
            form["example"] = examples.of(form["schema"], document)
    for code, answer in operation["responses"].items():
        for name, form in answer.get("content", {}).items():
            if name == MEDIA_TYPE:
                form["examples"] = example_problems.examples(method, path, int(code), operation)
            elif name == "application/json":
                known = examples.ANSWERS.get((method, path, code), {})
                form["example"] = examples.of(form["schema"], document, **known)
            elif (method, path) in examples.TEXTS:
                form["example"] = examples.TEXTS[method, path]


def _forget_what_nobody_said(operation: dict[str, Any], answers: dict[str, Any]) -> None:
    """The library adds a 422 with a list of problems to every call that names none; ours are no lists."""
    invalid = str(HTTPStatus.UNPROCESSABLE_ENTITY.value)
    for content in answers.get(invalid, {}).get("content", {}).values():
        if content.get("schema", {}).get("type") == "array":
            del answers[invalid]
            return


def _problem(status: HTTPStatus) -> dict[str, Any]:
    # Not the phrases of `http`: they differ between versions of Python.
    return {"description": HTTP_STATUS_CODES[status], "content": {MEDIA_TYPE: {"schema": {"$ref": PROBLEM}}}}
