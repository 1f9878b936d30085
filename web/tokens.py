"""Who is calling: a user with an access token, or a server of theirs with an API key.

Access tokens live 15 minutes, or until their log-in ends (`web/ended.py`); refresh tokens are used once
(`models/logins.py`). API keys open what their scopes say, and nothing where a blueprint names no scope.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Set
from dataclasses import dataclass
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
    verify_jwt_in_request,
)
from flask_jwt_extended.exceptions import JWTExtendedException
from jwt.exceptions import PyJWTError

from config import settings
from models import acting, api_keys, logins
from models.api_keys import Scope
from models.database import sessions
from models.errors import ScopeRequired, Unauthorized
from web.ended import REFRESH_SECONDS, Ended
from web.problems import from_refusal

ACCESS_SECONDS = 15 * 60
ISSUER = "coinop"

SECURITY_SCHEMES: dict[str, Any] = {
    "jwt": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An access token."},
    "api_key": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": f"{api_keys.PREFIX}…",
        "description": "An API key that has the scope of the call.",
    },
    "admin_key": {"type": "http", "scheme": "bearer", "description": "The ADMIN_API_KEY of this installation."},
}
BY_TOKEN: list[dict[str, list[str]]] = [{"jwt": []}]
BY_TOKEN_OR_KEY: list[dict[str, list[str]]] = [{"jwt": []}, {"api_key": []}]
BY_ANYBODY: list[dict[str, list[str]]] = [{}, *BY_TOKEN_OR_KEY]
BY_ADMIN: list[dict[str, list[str]]] = [{"jwt": []}, {"admin_key": []}]

BY_KEY = f"Bearer {api_keys.PREFIX}"
"""How the header of a request with an API key begins."""

READING = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever calls: with the access token of a log-in, or with an API key of these scopes."""

    user_id: UUID
    login_id: UUID | None = None
    scopes: frozenset[str] | None = None


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
"""Tokens whose signature a process remembers to be good, some 5 MB; then it starts afresh. As many keys."""

_verified: dict[str, tuple[Caller, float]] = {}
"""Access tokens by the header they came in, with when they expire."""

_keys: dict[str, tuple[Caller, float]] = {}
"""API keys, likewise, with until when what the database said of them is good; by the clock that only goes on."""

_ended = Ended(ACCESS_SECONDS)


def callers(*, read: Scope | None = None, write: Scope | None = None) -> Callable[[], None]:
    """For `before_request`: lets users in, and API keys with the scope `read` for a GET, `write` for anything else.

    Where there is no scope, no key has it. The caller is asked before the body, so a stranger learns nothing about
    either.
    """

    def admit() -> None:
        caller = _caller()
        if caller.scopes is not None:
            _require(read if request.method in READING else write, caller.scopes)
        _admit(caller)

    return admit


require_user = callers()
"""For `before_request` of what is the user's alone: their account, log-ins and keys."""


def admit_anybody() -> None:
    """For `before_request` of what is open to all, and shows more to a user. A bad token is refused.

    An API key that may not read its user's credits sees what everybody sees.
    """
    g.caller = None
    if request.headers.get("Authorization"):
        caller = _caller()
        if caller.scopes is None or Scope.credits_read in caller.scopes:
            _admit(caller)


def identify() -> Caller:
    """The user whose access token came with this request. Raises `Unauthorized`, and `ScopeRequired` for API keys."""
    caller = _caller()
    if caller.scopes is not None:
        _require(None, caller.scopes)
    return caller


def _require(needed: Scope | None, scopes: Set[str]) -> None:
    if needed not in scopes:
        raise ScopeRequired(
            f"This API key lacks the scope {needed}." if needed else "No API key opens this: log in.", scope=needed
        )


def _admit(caller: Caller) -> None:
    """The one place where the caller of a request becomes known to everything after it."""
    g.caller = caller
    acting.act_for(caller.user_id)


def _caller() -> Caller:
    """A client polls with one token many times a second, and checking its signature costs as much as the rest of the
    poll: so a token that was good is remembered, with its caller and its expiry. The expiry is looked at each time, and
    so is whether its log-in has ended.
    """
    header = request.headers.get("Authorization", "")
    known = _verified.get(header)
    if known is None or known[1] <= time.time():
        if header.startswith(BY_KEY):
            return _by_key(header)
        known = _by_token()
        _remember(_verified, header, known)
    caller = known[0]
    if caller.login_id is None or _ended.has(caller.login_id):
        raise Unauthorized("This session has ended: log in again.")
    return caller


def _by_token() -> tuple[Caller, float]:
    verify_jwt_in_request()
    claims = get_jwt()
    try:
        return Caller(UUID(claims["sub"]), login_id=UUID(claims["login"])), float(claims["exp"])
    except (KeyError, ValueError, TypeError, AttributeError):
        raise Unauthorized("A valid access token is needed.") from None


def _by_key(header: str) -> Caller:
    known = _keys.get(header)
    if known is not None and known[1] > time.monotonic():
        return known[0]
    # As long as a log-in that was ended elsewhere may go on, and no longer: a key may be revoked.
    good_until = time.monotonic() + REFRESH_SECONDS
    with acting.everyone():
        found = api_keys.find(header.removeprefix("Bearer "))
    if found is None:
        _keys.pop(header, None)
        raise Unauthorized("This API key is not good: it is unknown, was revoked, or its time is over.")
    if found.unnoted:
        with acting.everyone(), sessions() as session:
            api_keys.note_use(session, key_id=found.id)
    caller = Caller(found.user_id, scopes=frozenset(found.scopes))
    _remember(_keys, header, (caller, good_until))
    return caller


def _remember(known: dict[str, tuple[Caller, float]], header: str, caller: tuple[Caller, float]) -> None:
    if len(known) >= MOST_REMEMBERED:
        known.clear()
    known[header] = caller


def look_again() -> None:
    """Forget what is known of log-ins and keys: one has just been ended by this process, and ends here at once."""
    _keys.clear()
    _ended.look_again()


def user_id_if_known() -> UUID | None:
    """The user whose access token came with this request, if one did."""
    caller: Caller | None = g.caller
    return None if caller is None else caller.user_id


def current_user_id() -> UUID:
    """The user whose access token or API key came with this request."""
    caller: Caller = g.caller
    return caller.user_id


def current_login_id() -> UUID:
    """The log-in whose access token came with this request; there is one wherever API keys are not let in."""
    caller: Caller = g.caller
    if caller.login_id is None:
        raise ScopeRequired("No API key opens this: log in.", scope=None)
    return caller.login_id


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
