"""The caller's own account."""

from __future__ import annotations

from typing import Annotated, Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel, EmailStr, Field, field_validator

from models import addresses, closing, passwords, users
from models.acting import everyone
from models.api_keys import Scope
from models.database import readings, sessions
from models.ledger import Balance
from models.users import Role, User
from web import limits, tokens
from web.problems import Problem
from web.requests import Body
from web.texts import LONGEST_PASSWORD, Line, Password
from web.times import render_time
from web.wallets import owned

api = APIBlueprint("me", __name__, url_prefix="/v1/me", abp_tags=[{"name": "me"}], abp_security=tokens.BY_TOKEN)
api.before_request(tokens.callers(read=Scope.account_read))

CurrentPassword = Annotated[str, Field(max_length=LONGEST_PASSWORD, description="The one I log in with now.")]


class Changes(Body):
    name: Annotated[Line, Field(max_length=100)] | None = Field(None, description="Null is none.")
    notices_by_mail: bool | None = Field(None, description="Whether notices are sent by e-mail too.")

    @field_validator("notices_by_mail")
    @classmethod
    def _yes_or_no(cls, value: bool | None) -> bool | None:
        # Only what is sent is looked at: what is left out stays as it is.
        if value is None:
            raise ValueError("expected true or false")
        return value


class PasswordChange(Body):
    current_password: CurrentPassword
    new_password: Password


class AddressChange(Body):
    current_password: CurrentPassword
    email: EmailStr


class Farewell(Body):
    password: CurrentPassword


class BalanceView(BaseModel):
    available: int = Field(description="Credits that can be used now.")
    held: int = Field(description="Credits reserved by unfinished jobs.")
    debt: int = Field(description="Credits that refunds took back after they were spent; the next ones pay it first.")


class UserView(BaseModel):
    id: str
    email: str
    verified: bool = Field(description="Whether the address was proved to be mine.")
    name: str | None
    notices_by_mail: bool
    role: Role
    created_at: str
    balances: dict[str, BalanceView]


class OnItsWay(BaseModel):
    detail: str


class ClosingView(BaseModel):
    status: str
    detail: str


def render_balances(balances: dict[str, Balance]) -> dict[str, Any]:
    return {
        kind: {"available": balance.available, "held": balance.held, "debt": balance.debt}
        for kind, balance in balances.items()
    }


def render_user(user: User, balances: dict[str, Balance]) -> dict[str, Any]:
    return {
        "id": str(user.id),
        "email": user.email,
        "verified": user.verified_at is not None,
        "name": user.name,
        "notices_by_mail": user.notices_by_mail,
        "role": user.role,
        "created_at": render_time(user.created_at),
        "balances": render_balances(balances),
    }


@api.get("", responses={200: UserView, 401: Problem, 403: Problem, 404: Problem}, security=[{"api_key": []}])
def show() -> dict[str, Any]:
    """Who am I, and how many credits do I have?"""
    with readings() as session:
        user = users.get(session, tokens.current_user_id())
    return render_user(user, owned(user.id))


@api.patch("", responses={200: UserView, 401: Problem, 403: Problem, 404: Problem, 422: Problem})
def change(body: Changes) -> dict[str, Any]:
    """Change what I am called, or whether I am told things by e-mail. What is left out stays as it is."""
    with sessions() as session:
        user = users.describe(session, tokens.current_user_id(), **body.model_dump(exclude_unset=True))
    return render_user(user, owned(user.id))


@api.post("/password", responses={204: None, 401: Problem, 403: Problem, 404: Problem, 422: Problem, 429: Problem})
def change_password(body: PasswordChange) -> tuple[str, int]:
    """Change my password. All my other sessions end."""
    user = _proved(body.current_password)
    password_hash = users.hash_password(body.new_password)
    with sessions() as session:
        passwords.change(session, user, password_hash=password_hash, here=tokens.current_login_id())
    tokens.look_again()
    return "", 204


@api.post("/email", responses={202: OnItsWay, 401: Problem, 403: Problem, 404: Problem, 422: Problem, 429: Problem})
def change_address(body: AddressChange) -> tuple[dict[str, Any], int]:
    """Ask for a link to be sent to a new address; the account has it once the link is followed.

    The answer is the same whether the address is another account's or not.
    """
    user = _proved(body.current_password)
    limits.count_move(user.id)
    limits.count_mail(body.email)
    with sessions() as session:
        addresses.ask(session, user_id=user.id, email=body.email)
    return {"detail": "An e-mail with a link is on its way to this address."}, 202


@api.delete(
    "", responses={202: ClosingView, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem, 429: Problem}
)
def close(body: Farewell) -> tuple[dict[str, Any], int]:
    """Close my account for good: what it says about me is erased, and the credits that are left expire.

    I am logged out at once. Jobs that run are finished first; then an e-mail says that the account is closed.
    """
    user = _proved(body.password)
    with everyone(), sessions() as session:  # whether another admin is left is asked of all
        closing.begin(session, user)
    tokens.look_again()
    return {"status": "closing", "detail": "The account is being closed. An e-mail will say when that is done."}, 202


def _proved(password: str) -> User:
    """The caller, whose current password this is. Raises `WrongPassword` and `TooManyRequests`."""
    user_id = tokens.current_user_id()
    limits.count_proof(user_id)
    with readings() as session:
        user = users.get(session, user_id)
    users.check_password(user, password)
    limits.take_back_proof(user_id)
    return user
