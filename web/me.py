"""The caller's own account."""

from __future__ import annotations

from typing import Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import users
from models.database import readings
from models.ledger import Balance
from models.users import User
from web import tokens
from web.problems import Problem
from web.times import render_time
from web.wallets import owned

api = APIBlueprint("me", __name__, url_prefix="/v1", abp_tags=[{"name": "me"}], abp_security=[{"jwt": []}])
api.before_request(tokens.require_user)


class BalanceView(BaseModel):
    available: int = Field(description="Credits that can be used now.")
    held: int = Field(description="Credits reserved by unfinished jobs.")
    debt: int = Field(description="Credits that refunds took back after they were spent; the next ones pay it first.")


class UserView(BaseModel):
    id: str
    email: str
    created_at: str
    balances: dict[str, BalanceView]


def render_balances(balances: dict[str, Balance]) -> dict[str, Any]:
    return {
        kind: {"available": balance.available, "held": balance.held, "debt": balance.debt}
        for kind, balance in balances.items()
    }


def render_user(user: User, balances: dict[str, Balance]) -> dict[str, Any]:
    return {
        "id": str(user.id),
        "email": user.email,
        "created_at": render_time(user.created_at),
        "balances": render_balances(balances),
    }


@api.get("/me", responses={200: UserView, 401: Problem, 404: Problem})
def show() -> dict[str, Any]:
    """Who am I, and how many credits do I have?"""
    with readings() as session:
        user = users.get(session, tokens.current_user_id())
    return render_user(user, owned(user.id))
