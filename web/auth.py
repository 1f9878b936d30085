"""Sign-up, log-in, refresh, log-out."""

from __future__ import annotations

from typing import Annotated, Any

from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_openapi import APIBlueprint
from pydantic import BaseModel, EmailStr, Field

from config import settings
from models import logins, users
from models.database import readings, sessions
from models.errors import Unauthorized
from models.signup import sign_up
from web import tokens
from web.me import UserView, render_user
from web.problems import Problem
from web.requests import Body
from web.shelf import shelf
from web.wallets import owned

api = APIBlueprint("auth", __name__, url_prefix="/v1/auth", abp_tags=[{"name": "auth"}])

limiter = Limiter(
    get_remote_address,
    # Counted in each web process: it slows guessing down even when the broker is away.
    storage_uri="memory://",
    headers_enabled=True,
)
limiter.limit(lambda: settings().auth_rate_limit)(api)

Password = Annotated[str, Field(min_length=10, max_length=128, examples=["correct horse battery"])]


class Credentials(Body):
    email: EmailStr
    password: Annotated[str, Field(max_length=128)]


class NewAccount(Body):
    email: EmailStr
    password: Password
    referral_code: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="The code of the user who brought this one."
    )


class RefreshRequest(Body):
    refresh_token: Annotated[str, Field(max_length=2_000)]


class TokenPair(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int = Field(description="Seconds until the access token expires.")
    user: UserView | None = None


@api.post("/signup", responses={201: TokenPair, 422: Problem, 429: Problem})
def signup(body: NewAccount) -> tuple[dict[str, Any], int]:
    """Open an account; the sign-up credits are in its wallets at once."""
    password_hash = users.hash_password(body.password)
    with readings() as session:
        catalog = shelf.catalog(session)
    with sessions() as session:
        user = sign_up(
            session, catalog, email=body.email, password_hash=password_hash, referral_code=body.referral_code
        )
        login_id, refresh_id = logins.begin(session, user_id=user.id)
    return {**tokens.pair(user.id, login_id, refresh_id), "user": render_user(user, owned(user.id))}, 201


@api.post("/login", responses={200: TokenPair, 401: Problem, 422: Problem, 429: Problem})
def login(body: Credentials) -> dict[str, Any]:
    """Exchange e-mail address and password for tokens."""
    with readings() as session:
        candidates = users.named(session, email=body.email)
    user = users.with_password(candidates, body.password)
    with sessions() as session:
        login_id, refresh_id = logins.begin(session, user_id=user.id)
    return {**tokens.pair(user.id, login_id, refresh_id), "user": render_user(user, owned(user.id))}


@api.post("/refresh", responses={200: TokenPair, 401: Problem, 422: Problem, 429: Problem})
def refresh(body: RefreshRequest) -> dict[str, Any]:
    """Exchange a refresh token for new tokens. Each works once; a second use ends all that descend from it."""
    user_id, token_id = tokens.read_refresh_token(body.refresh_token)
    with sessions() as session:
        exchanged = logins.exchange(session, token_id=token_id)
    if exchanged is None:
        raise Unauthorized("This refresh token was used or ended before: log in again.")
    return tokens.pair(user_id, *exchanged)


@api.post("/logout", responses={204: None, 401: Problem, 422: Problem, 429: Problem})
def logout(body: RefreshRequest) -> tuple[str, int]:
    """End the session that a refresh token belongs to."""
    _, token_id = tokens.read_refresh_token(body.refresh_token)
    with sessions() as session:
        logins.end_by_token(session, token_id=token_id)
    return "", 204
