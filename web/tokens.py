"""Tokens: who is calling. Access tokens live 15 minutes; refresh tokens are used once (`models/logins.py`)."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from flask import Flask, Response, g, request
from flask_jwt_extended import (
    JWTManager,
    create_access_token,
    create_refresh_token,
    decode_token,
    get_jwt,
    get_jwt_identity,
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from config import settings
from models import logins
from models.errors import Unauthorized
from web.problems import from_refusal

ACCESS_SECONDS = 15 * 60
ISSUER = "coinop"


def register(app: Flask) -> None:
    app.config.update(
        JWT_SECRET_KEY=settings().jwt_secret_key.get_secret_value(),
        JWT_ALGORITHM="HS256",
        JWT_ACCESS_TOKEN_EXPIRES=timedelta(seconds=ACCESS_SECONDS),
        JWT_REFRESH_TOKEN_EXPIRES=timedelta(seconds=logins.LIFETIME_SECONDS),
        JWT_TOKEN_LOCATION=["headers"],
        JWT_ENCODE_ISSUER=ISSUER,
        JWT_DECODE_ISSUER=ISSUER,
    )
    manager = JWTManager(app)
    manager.unauthorized_loader(_not_signed_in)
    manager.invalid_token_loader(_not_signed_in)
    manager.expired_token_loader(_expired)


MOST_REMEMBERED = 10_000
"""Tokens whose signature a process remembers to be good, some 5 MB; then it starts afresh."""

_verified: dict[str, tuple[UUID, float]] = {}


def require_user() -> None:
    """For `before_request`: the token is checked before the body, so a stranger learns nothing about either.

    A client polls with one token many times a second, and checking its signature costs as much as the rest of the
    poll: so a token that was good is remembered, with its user and its expiry, which is looked at each time.
    """
    header = request.headers.get("Authorization", "")
    known = _verified.get(header)
    if known is None or known[1] <= time.time():
        verify_jwt_in_request()
        known = UUID(get_jwt_identity()), float(get_jwt()["exp"])
        if len(_verified) >= MOST_REMEMBERED:
            _verified.clear()
        _verified[header] = known
    g.user_id = known[0]


def admit_anybody() -> None:
    """For `before_request` of what is open to all, and shows a caller with a token more. A bad token is refused."""
    g.user_id = None
    if request.headers.get("Authorization"):
        require_user()


def user_id_if_known() -> UUID | None:
    """The user whose access token came with this request, if one did."""
    user_id: UUID | None = g.user_id
    return user_id


def current_user_id() -> UUID:
    """The user whose access token came with this request."""
    user_id: UUID = g.user_id
    return user_id


def pair(user_id: UUID, login_id: UUID, refresh_id: UUID) -> dict[str, Any]:
    """An access token of this log-in and the refresh token with this id, as they are sent to the client."""
    return {
        "access_token": create_access_token(str(user_id), additional_claims={"login": str(login_id)}),
        "refresh_token": create_refresh_token(str(user_id), additional_claims={"jti": str(refresh_id)}),
        "token_type": "Bearer",
        "expires_in": ACCESS_SECONDS,
    }


def read_refresh_token(token: str) -> tuple[UUID, UUID]:
    """The user and the id of a refresh token. Raises `Unauthorized` when it is not one of ours or its time is over."""
    try:
        claims = decode_token(token)
        if claims["type"] != "refresh":
            raise Unauthorized("This is not a refresh token.")
        return UUID(claims["sub"]), UUID(claims["jti"])
    except (JWTExtendedException, PyJWTError, ValueError):
        raise Unauthorized("This refresh token is not valid.") from None


def _not_signed_in(*_: Any) -> Response:
    return from_refusal(Unauthorized("A valid access token is needed."))


def _expired(*_: Any) -> Response:
    return from_refusal(Unauthorized("The access token has expired: refresh it."))
