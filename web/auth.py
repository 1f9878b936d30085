"""Sign-up, log-in, refresh, log-out; and what is told by e-mail: that an address is one's own, a new password.

None of it tells whether an address is known: status, body, statements and time are the same.
"""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask import request
from flask_openapi import APIBlueprint
from pydantic import BaseModel, EmailStr, Field

from models import logins, passwords, signup, users
from models.database import readings, sessions
from models.errors import Unauthorized
from models.users import User
from web import acting, limits, tokens
from web.me import OnItsWay, UserView, render_user
from web.problems import Problem
from web.requests import Body
from web.shelf import shelf
from web.texts import LONGEST_PASSWORD, Password
from web.wallets import owned

api = APIBlueprint("auth", __name__, url_prefix="/v1/auth", abp_tags=[{"name": "auth"}])
api.before_request(acting.for_everyone)
api.before_request(limits.count_caller)

LinkToken = Annotated[str, Field(min_length=1, max_length=200, description="Out of the link in the e-mail.")]

ON_ITS_WAY = {"detail": "If there is something to send to this address, an e-mail is on its way."}


class Credentials(Body):
    email: EmailStr
    password: Annotated[str, Field(max_length=LONGEST_PASSWORD)]


class NewAccount(Body):
    email: EmailStr
    password: Password
    referral_code: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="The code of the user who brought this one."
    )


class RefreshRequest(Body):
    refresh_token: Annotated[str, Field(max_length=2_000)]


class LogoutRequest(RefreshRequest):
    everywhere: bool = Field(False, description="End all sessions of this user, not only this one.")


class Address(Body):
    email: EmailStr


class Verification(Body):
    token: LinkToken


class NewPassword(Body):
    token: LinkToken
    password: Password


class TokenPair(BaseModel):
    access_token: str
    refresh_token: str
    token_type: str
    expires_in: int = Field(description="Seconds until the access token expires.")
    user: UserView | None = None


@api.post("/signup", responses={201: TokenPair, 409: Problem, 422: Problem, 429: Problem})
def sign_up(body: NewAccount) -> tuple[dict[str, Any], int]:
    """Open an account. A link to verify the address is sent to it; whether it was known already is not told here.

    The sign-up credits are in the wallets at once, or when the address is verified, as the product has it.
    """
    limits.count_mail(body.email)
    password_hash = users.hash_password(body.password)
    with readings() as session:
        catalog = shelf.catalog(session)
    with sessions() as session:
        user = signup.sign_up(
            session, catalog, email=body.email, password_hash=password_hash, referral_code=body.referral_code
        )
        login_id, refresh_id = logins.begin(session, user_id=user.id, **_device())
    return _signed_in(user, login_id, refresh_id), 201


@api.post("/login", responses={200: TokenPair, 401: Problem, 403: Problem, 422: Problem, 429: Problem})
def login(body: Credentials) -> dict[str, Any]:
    """Exchange e-mail address and password for tokens."""
    limits.count_password(body.email)
    with readings() as session:
        candidates = users.named(session, email=body.email)
    user = users.with_password(candidates, body.password)
    limits.take_back_password(body.email)
    with sessions() as session:
        users.admit(session, user)
        login_id, refresh_id = logins.begin(session, user_id=user.id, **_device())
    return _signed_in(user, login_id, refresh_id)


@api.post("/refresh", responses={200: TokenPair, 401: Problem, 422: Problem, 429: Problem})
def refresh(body: RefreshRequest) -> dict[str, Any]:
    """Exchange a refresh token for new tokens. Each works once; a second use ends all that descend from it."""
    user_id, token_id = tokens.read_refresh_token(body.refresh_token)
    with sessions() as session:
        exchanged = logins.exchange(session, token_id=token_id)
    if exchanged is None:
        tokens.look_again()
        raise Unauthorized("This refresh token was used or ended before: log in again.")
    return tokens.pair(user_id, *exchanged)


@api.post("/logout", responses={204: None, 401: Problem, 422: Problem, 429: Problem})
def logout(body: LogoutRequest) -> tuple[str, int]:
    """End the session that a refresh token belongs to, or with `everywhere` all sessions of its user."""
    _, token_id = tokens.read_refresh_token(body.refresh_token)
    with sessions() as session:
        logins.end_by_token(session, token_id=token_id, everywhere=body.everywhere)
    tokens.look_again()
    return "", 204


@api.post("/verify-email", responses={204: None, 410: Problem, 422: Problem, 429: Problem})
def verify_email(body: Verification) -> tuple[str, int]:
    """Prove by the link in an e-mail that its address is mine. Of many accounts that named it, one can have it."""
    verify_address(body.token)
    return "", 204


@api.post("/resend-verification", responses={202: OnItsWay, 422: Problem, 429: Problem})
def resend_verification(body: Address) -> tuple[dict[str, Any], int]:
    """Have the link to verify an address sent again. The answer is the same whether anybody has named it or not."""
    limits.count_mail(body.email)
    with sessions() as session:
        signup.ask_again(session, email=body.email)
    return ON_ITS_WAY, 202


@api.post("/forgot-password", responses={202: OnItsWay, 422: Problem, 429: Problem})
def forgot_password(body: Address) -> tuple[dict[str, Any], int]:
    """Have a link for a new password sent. The answer is the same whether anybody has the address or not."""
    limits.count_mail(body.email)
    with sessions() as session:
        passwords.ask(session, email=body.email)
    return ON_ITS_WAY, 202


@api.post("/reset-password", responses={204: None, 410: Problem, 422: Problem, 429: Problem})
def reset_password(body: NewPassword) -> tuple[str, int]:
    """Set a new password by the link in an e-mail. All sessions end, and all other links."""
    set_password(body.token, body.password)
    return "", 204


def verify_address(token: str) -> None:
    """What both the API and the page do with a link to verify an address."""
    with readings() as session:
        catalog = shelf.catalog(session)
    with sessions() as session:
        signup.verify_by_token(session, catalog, token=token)


def set_password(token: str, password: str) -> None:
    """What both the API and the page do with a link for a new password."""
    password_hash = users.hash_password(password)
    with readings() as session:
        catalog = shelf.catalog(session)
    with sessions() as session:
        passwords.reset(session, catalog, token=token, password_hash=password_hash)
    tokens.look_again()


def _device() -> dict[str, str | None]:
    return {"user_agent": request.headers.get("User-Agent"), "address": request.remote_addr}


def _signed_in(user: User, login_id: UUID, refresh_id: UUID) -> dict[str, Any]:
    return {**tokens.pair(user.id, login_id, refresh_id), "user": render_user(user, owned(user.id))}
