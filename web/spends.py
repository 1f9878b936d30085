"""Spends: charges with no job."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask import Response, jsonify
from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from models import spends
from models.api_keys import Scope
from models.database import readings, sessions
from models.spends import Spend
from web import tokens
from web.pages import PageSize
from web.problems import Problem
from web.quotes import PartView, ask
from web.requests import Body, idempotency_key
from web.times import render_time

api = APIBlueprint(
    "spends", __name__, url_prefix="/v1/spends", abp_tags=[{"name": "credits"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.credits_read, write=Scope.credits_write))


class SpendRequest(Body):
    action: Annotated[str, Field(max_length=50, examples=["tip"])]
    input: dict[str, Any] = Field(default_factory=dict, examples=[{"quantity": 3}])


class SpendQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: UUID | None = Field(None, description="The `next` of the page before.")
    limit: PageSize = 20


class SpendCost(BaseModel):
    wallet: str
    charged: int
    breakdown: list[PartView]


class SpendView(BaseModel):
    id: str
    object: str
    action: str
    input: dict[str, Any]
    cost: SpendCost
    balance_after: int = Field(description="What the wallet could still use right after it.")
    created_at: str


class SpendList(BaseModel):
    spends: list[SpendView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


def render(spend: Spend) -> dict[str, Any]:
    return {
        "id": str(spend.id),
        "object": "spend",
        "action": spend.action,
        "input": spend.input,
        "cost": {"wallet": spend.wallet, "charged": spend.charged, "breakdown": spend.breakdown},
        "balance_after": spend.balance_after,
        "created_at": render_time(spend.created_at),
    }


@api.post("", responses={201: SpendView, 401: Problem, 402: Problem, 403: Problem, 422: Problem, 429: Problem})
def spend(body: SpendRequest) -> Response:
    """Charge for something that runs no job: a minute of chat, a tip, a level skipped.

    Send an `Idempotency-Key` and repeat the request as often as needed: it is charged once.
    """
    catalog, asked = ask(body.action, body.input)
    key = idempotency_key()
    with sessions() as session:
        receipt = spends.spend(session, catalog, asked, user_id=tokens.current_user_id(), idempotency_key=key)
    response = jsonify(render(receipt.spend))
    response.status_code = 201
    if receipt.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@api.get("", responses={200: SpendList, 401: Problem, 422: Problem})
def history(query: SpendQuery) -> dict[str, Any]:
    """My spends, newest first."""
    with readings() as session:
        found, following = spends.page(session, user_id=tokens.current_user_id(), limit=query.limit, after=query.after)
    return {"spends": [render(spend) for spend in found], "next": str(following) if following else None}
