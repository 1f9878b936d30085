"""Problems: every error as one document (RFC 9457), with a stable `code`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import structlog
from flask import Flask, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sqlalchemy.exc import DisconnectionError, OperationalError, TimeoutError
from werkzeug.exceptions import HTTPException

from models.errors import InvalidInput, Refusal
from worker.storage import StorageUnavailable

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
DATABASE_RETRY_AFTER_SECONDS = 2
STORAGE_RETRY_AFTER_SECONDS = 10


class FieldFault(BaseModel):
    """One wrong value."""

    field: str = Field(examples=["input.prompt"])
    message: str


class Problem(BaseModel):
    """What went wrong. Some problems have more members, such as `required` and `available` of a 402."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    code: str = Field(description="Stable; made for programs.")
    detail: str = Field(description="For people; may change.")
    errors: list[FieldFault] | None = None


def problem(status: int, code: str, title: str, detail: str, /, **members: Any) -> Response:
    """A problem document. A member `retry_after`, in seconds, is sent as a header too."""
    document = {
        "type": f"urn:coinop:problem:{code}",
        "title": title,
        "status": status,
        "code": code,
        "detail": detail,
        **members,
    }
    response = jsonify(document)
    response.status_code = status
    response.content_type = MEDIA_TYPE
    if "retry_after" in members:
        response.headers["Retry-After"] = str(members["retry_after"])
    if status == HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def from_refusal(refusal: Refusal) -> Response:
    """What a verb declined, in its own words."""
    return problem(refusal.status, refusal.code, refusal.title, refusal.detail, **refusal.members)


def from_validation(error: ValidationError) -> Response:
    """What a request model refused, field by field."""
    return from_refusal(InvalidInput.from_pydantic(error))


def register(app: Flask) -> None:
    """Turn every exception that can leave a view into a problem document."""
    app.register_error_handler(Refusal, from_refusal)
    app.register_error_handler(HTTPException, _from_http)
    app.register_error_handler(OperationalError, _from_database)
    app.register_error_handler(DisconnectionError, _from_database)
    app.register_error_handler(TimeoutError, _from_database)
    app.register_error_handler(StorageUnavailable, _from_storage)
    app.register_error_handler(Exception, _from_bug)


def _from_http(error: HTTPException) -> Response:
    if error.response is not None:
        return error.response  # type: ignore[return-value]
    # The library's names: those of `http` differ between versions of Python, and codes are stable.
    code = error.name.lower().replace(" ", "_")
    response = problem(error.code or 500, code, error.name, error.description or "")
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after", "content-range"):
            response.headers[name] = value
    return response


def _from_database(error: Exception) -> Response:
    # The message of the driver can hold the address of the database and parts of a query: it goes nowhere.
    log.error("database_unavailable", error=type(error).__name__)
    return problem(
        503, "database_unavailable", "The database is not available", "Nothing was changed. Try again in a moment.",
        retry_after=DATABASE_RETRY_AFTER_SECONDS,
    )  # fmt: skip


def _from_storage(error: StorageUnavailable) -> Response:
    log.error("storage_unavailable", error=str(error))
    return problem(
        503, "storage_unavailable", "The storage of files is not available", "Try again in a moment.",
        retry_after=STORAGE_RETRY_AFTER_SECONDS,
    )  # fmt: skip


def _from_bug(error: Exception) -> Response:
    log.exception("view_broke", error=type(error).__name__)
    return problem(500, "internal_error", "Something went wrong on our side", "Nothing was changed. We have a record.")
