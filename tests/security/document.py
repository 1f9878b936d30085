"""The API as its own OpenAPI document tells it: every operation, and requests made from what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

METHODS = ("get", "post", "put", "patch", "delete")

PUBLIC = {
    "POST /v1/auth/signup": "nobody has an account before",
    "POST /v1/auth/login": "who knows the password is let in",
    "POST /v1/auth/refresh": "who has a refresh token is let in",
    "POST /v1/auth/logout": "who has a refresh token may end its log-in",
    "POST /v1/auth/verify-email": "who reads the mailbox has the token",
    "POST /v1/auth/resend-verification": "answers the same to everybody",
    "POST /v1/auth/forgot-password": "answers the same to everybody",
    "POST /v1/auth/reset-password": "who reads the mailbox has the token",
    "POST /v1/auth/confirm-email": "who reads the mailbox has the token",
    "POST /v1/webhooks/stripe": "who has the secret signs what is said",
    "GET /healthz": "says that this process answers, and nothing else",
    "GET /readyz": "says that jobs can be accepted, and nothing else",
}
"""What nobody needs to be known for, and why. A bad token is not even looked at."""

FOR_ANYBODY = {
    "GET /v1/actions": "what is sold",
    "GET /v1/packs": "what is sold",
    "GET /v1/plans": "what is sold",
}
"""What everybody may read and shows more to a user. A bad token is refused."""

UNDOCUMENTED = {
    "/openapi.json": "the document itself",
    "/metrics": "for Prometheus, which has a token (tests/watching/test_metrics.py)",
    "/docs/swagger": "a page about the document",
    "/verify-email": "a page for people",
    "/reset-password": "a page for people",
    "/confirm-email": "a page for people",
    "/mock-checkout/<object_id>": "a page for people, of the mock gateway",
    "/mock-checkout/<object_id>/<outcome>": "a page for people, of the mock gateway",
    "/checkout/success": "a page for people",
    "/checkout/canceled": "a page for people",
    "/v1/outputs/<link>": "whoever has a link may fetch what it is to (tests/outputs/test_links.py)",
}
"""Paths of the app that are in no document, and why."""


@dataclass(frozen=True)
class Operation:
    """One call of the API."""

    method: str
    path: str
    parameters: tuple[dict[str, Any], ...]
    body: dict[str, Any] | None
    """The schema of its JSON body."""
    media_types: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    def named(self, where: str) -> dict[str, dict[str, Any]]:
        """Its parameters in the path or in the query, by name."""
        return {each["name"]: each.get("schema", {}) for each in self.parameters if each["in"] == where}

    def url(self, values: Mapping[str, Any]) -> str:
        path = self.path
        for name in self.named("path"):
            path = path.replace(f"{{{name}}}", quote(str(values[name]), safe=""))
        return path

    def ask(
        self,
        client: FlaskClient,
        headers: Mapping[str, str],
        values: Mapping[str, Any],
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
    ) -> TestResponse:
        """Make this call, with a JSON body if it takes one."""
        given: dict[str, Any] = {}
        if body is not None:
            given["json"] = body
        elif self.media_types:
            given = {"data": values["picture"], "content_type": self.media_types[0]}
        return client.open(
            self.url(values), method=self.method, headers=dict(headers), query_string=dict(query or {}), **given
        )


def operations(client: FlaskClient) -> list[Operation]:
    """Every operation of the document, in its order."""
    document: dict[str, Any] = client.get("/openapi.json").json or {}
    found = []
    for path, item in document["paths"].items():
        for method in METHODS:
            if method in item:
                content = item[method].get("requestBody", {}).get("content", {})
                schema = content.get("application/json", {}).get("schema")
                found.append(
                    Operation(
                        method.upper(), path, tuple(item[method].get("parameters", ())),
                        whole(schema, document) if schema else None, tuple(content),
                    )
                )  # fmt: skip
    return found


def whole(schema: Any, document: dict[str, Any]) -> Any:
    """A schema with what it refers to in it."""
    if isinstance(schema, list):
        return [whole(each, document) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return whole(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document)
    return {name: whole(each, document) for name, each in schema.items()}


def sample(schema: Mapping[str, Any], values: Mapping[str, Any], name: str = "") -> Any:
    """A value that a schema allows: the one of `values` by that name, or the least there is."""
    if name in values:
        return values[name]
    for way in ("anyOf", "oneOf", "allOf"):
        if way in schema:
            return sample(schema[way][0], values)
    for given in ("examples", "enum"):
        if schema.get(given):
            return schema[given][0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "object":
            needed = schema.get("required", ())
            fields = schema.get("properties", {})
            return {each: sample(fields[each], values, each) for each in fields if each in needed or each in values}
        case "array":
            return [sample(schema["items"], values)] * schema.get("minItems", 0)
        case "integer" | "number":
            return int(schema.get("minimum", 1))
        case "boolean":
            return True
        case _:
            return "x" * schema.get("minLength", 1)


def references(schema: Any, name: str = "") -> Iterator[str]:
    """The names of fields that seem to name somebody's object: ids."""
    if isinstance(schema, list):
        for each in schema:
            yield from references(each, name)
    elif isinstance(schema, dict):
        if name and (schema.get("format") == "uuid" or name == "id" or name.endswith("_id")):
            yield name
        for key, each in schema.items():
            if key == "properties":
                for field, inner in each.items():
                    yield from references(inner, field)
            elif key in ("anyOf", "oneOf", "allOf", "items", "additionalProperties"):
                yield from references(each, name)
