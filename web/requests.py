"""Requests: what is checked and set on every one of them, before and after its view."""

from __future__ import annotations

import random
import re
from typing import Any

import structlog
from flask import Flask, Request, Response, g, request
from flask.sessions import SessionInterface
from pydantic import BaseModel, ConfigDict
from werkzeug.exceptions import BadRequest

from models.errors import Fault, InvalidInput

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")


class Body(BaseModel):
    """A request body: no unknown fields, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NoCookies(SessionInterface):
    """No sessions in cookies: callers carry tokens, and signing a cookie for each request costs time."""

    def open_session(self, app: Flask, request: Request) -> None:
        return None


def register(app: Flask) -> None:
    app.session_interface = NoCookies()
    app.before_request(_name_request)
    app.before_request(_refuse_broken_json)
    app.after_request(_close_doors)


def idempotency_key() -> str | None:
    """The `Idempotency-Key` of this request. Raises `InvalidInput` when it is empty, too long or not plain ASCII."""
    key = request.headers.get("Idempotency-Key")
    if key is not None and not IDEMPOTENCY_KEY.fullmatch(key):
        raise InvalidInput(Fault("Idempotency-Key", "expected 1 to 255 visible ASCII characters"))
    return key


def _name_request() -> None:
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _refuse_broken_json() -> None:
    """Read the body once, here: a later reader would take broken JSON for no body at all."""
    if request.method in ("POST", "PUT", "PATCH") and (request.content_length or request.is_json):
        try:
            parsed: Any = request.get_json()
        except RecursionError:
            raise BadRequest("The body is nested too deeply.") from None
        if not isinstance(parsed, dict):
            raise InvalidInput(Fault("body", "expected a JSON object"))


def _close_doors(response: Response) -> Response:
    response.headers["X-Request-Id"] = g.get("request_id", "")
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")
    return response
