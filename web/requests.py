"""Requests: what is checked and set on every one of them, before and after its view."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.request import parse_http_list

import structlog
from flask import Flask, Request, Response, current_app, g, redirect, request
from flask.json.provider import DefaultJSONProvider
from flask.sessions import SessionInterface
from flask.typing import ResponseReturnValue
from flask_openapi import APIBlueprint, OpenAPI
from pydantic import BaseModel, ConfigDict
from werkzeug.exceptions import BadRequest, NotFound, RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

import tracing
from config import settings
from models.errors import Fault, InvalidInput
from web import document

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")

AROUND_A_FILE = 16 * 1024
"""Bytes that a form may have besides the file in it."""

LONGEST_FORM = 16 * 1024
"""Bytes of a form of one of our own pages."""

WAIT = re.compile(r"\s*wait\s*(?P<value>=[^;]*)?(;.*)?", re.IGNORECASE | re.DOTALL)
"""One preference of `Prefer`, if it is `wait` (RFC 7240), with any parameters that it may have."""

WAIT_SECONDS = re.compile(r"=\s*(\"?)([0-9]{1,4000})\1\s*")

NO_TEXT = re.compile("[\x00\ud800-\udfff]")
"""What JSON can write and no text has: NUL, which PostgreSQL cannot store, and halves of characters."""

DOCS = "/docs/swagger"

View = TypeVar("View", bound=Callable[..., Any])


class Body(BaseModel):
    """A request body: no unknown fields, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NoCookies(SessionInterface):
    """No sessions in cookies: callers carry tokens, and signing a cookie for each request costs time."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


class Json(DefaultJSONProvider):
    """JSON as RFC 8259 has it, which knows no NaN and no infinity; members in the order we write them."""

    sort_keys = False

    def loads(self, s: str | bytes, **kwargs: Any) -> Any:
        return json.loads(s, parse_constant=_no_number, **kwargs)


class FrontDoor(OpenAPI):
    """The app. It looks at a body once whoever brought it has been let in, and before the view does."""

    json_provider_class = Json

    def _init_doc(self) -> None:
        super()._init_doc()
        # There is one page about the document, so no page to choose from: /docs leads to it.
        self.view_functions["openapi.openapi"] = lambda: redirect(DOCS)

    def register_api(self, api: APIBlueprint, **options: Any) -> None:
        for name, schema in api.components_schemas.items():
            if self.components_schemas.get(name, schema) != schema:
                raise ValueError(f"two models are called {name}, and the document can only have one of them")
        super().register_api(api, **options)

    def generate_spec_json(self) -> None:
        super().generate_spec_json()  # type: ignore[no-untyped-call]  # the library does not say
        document.complete(self.spec_json)

    def dispatch_request(self) -> ResponseReturnValue:
        if request.routing_exception is None:
            _refuse_unreadable()
        return super().dispatch_request()


def register(app: Flask) -> None:
    app.config["MAX_CONTENT_LENGTH"] = settings().max_body_bytes
    app.session_interface = NoCookies()
    app.before_request(_name_request)
    app.after_request(_close)
    if proxies := settings().trusted_proxies:
        # The caller is whom the outermost of our proxies saw; what stands further left anybody can have written.
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies)  # type: ignore[method-assign]


def takes_a_file(view: View) -> View:
    """Mark a view whose body is no JSON and may be as long as an upload; it reads and judges the body itself, and
    until then nobody has."""
    view.takes_a_file = True  # type: ignore[attr-defined]
    return view


def takes_a_form(view: View) -> View:
    """Mark a view whose body is the form of a page of ours, short and with no file in it."""
    view.takes_a_form = True  # type: ignore[attr-defined]
    return view


def idempotency_key() -> str | None:
    """The `Idempotency-Key` of this request. Raises `InvalidInput` when it is empty, too long or not plain ASCII."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidInput(Fault("Idempotency-Key", "expected 1 to 255 visible ASCII characters"))
    return key


def preferred_wait() -> int:
    """How many seconds this request is to wait, by its `Prefer: wait=n`, WAIT_SECONDS_MAX at most; 0 is not at all.

    Whatever else is preferred, and what cannot be read, is ignored, as RFC 7240 has it; so is every `wait` but the
    first.
    """
    for header in request.headers.getlist("Prefer"):
        for preference in parse_http_list(header):
            if wait := WAIT.fullmatch(preference):
                seconds = WAIT_SECONDS.fullmatch(wait["value"] or "")
                return min(int(seconds[2]), settings().wait_seconds_max) if seconds else 0
    return 0


def _name_request() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else _new_id()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _new_id() -> str:
    if tracing.on():
        return tracing.new_request_id(request.headers.get(tracing.TRACEPARENT))
    return f"{random.getrandbits(64):016x}"


def _refuse_unreadable() -> None:
    """Read the body once, here: a later reader would take broken JSON for no body at all."""
    if "\x00" in request.path:
        raise NotFound
    if b"%00" in request.query_string:
        named = [name for name, value in request.args.items(multi=True) if "\x00" in value and "\x00" not in name]
        raise InvalidInput(Fault(named[0] if named else "query", "has a character that no text has"))
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    view = current_app.view_functions[request.endpoint or ""]
    if getattr(view, "takes_a_file", False):
        request.max_content_length = settings().max_upload_bytes + AROUND_A_FILE
        return
    if getattr(view, "takes_a_form", False):
        request.max_content_length = LONGEST_FORM
    chunked = "Transfer-Encoding" in request.headers
    if chunked:
        _refuse_endless()
    if hasattr(view, "takes_a_form"):
        return
    if request.content_length or request.is_json or chunked:
        _refuse_broken_json()


def _refuse_endless() -> None:
    """A body that does not say how long it is would be cut off at the limit without a word."""
    limit = request.max_content_length or 0
    request.max_content_length = limit + 1
    if len(request.get_data()) > limit:
        raise RequestEntityTooLarge


def _refuse_broken_json() -> None:
    try:
        parsed: Any = request.get_json()
        if not isinstance(parsed, dict):
            raise InvalidInput(Fault("body", "expected a JSON object"))
        data = request.get_data()
        if b"\\u" in data or b"\xed" in data or b"\x00" in data:  # the only ways to write what is no text
            faults = [Fault(path, "has a character that no text has") for path in _no_texts(parsed)]
            if faults:
                raise InvalidInput(*faults)
    except RecursionError:
        raise BadRequest("The body is nested too deeply.") from None


def _no_texts(value: Any, path: str = "") -> Iterator[str]:
    """The path of everything in a JSON value that is no text and should be."""
    if isinstance(value, str):
        if NO_TEXT.search(value):
            yield path
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from _no_texts(each, f"{path}.{number}")
    elif isinstance(value, dict):
        for name, each in value.items():
            if NO_TEXT.search(name):
                yield path or "body"
            else:
                yield from _no_texts(each, f"{path}.{name}" if path else name)


def _no_number(written: str) -> None:
    raise ValueError(f"{written} is no JSON")


def _close(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers.setdefault("Cache-Control", "no-store")
    return response
