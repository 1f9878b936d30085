"""Redemptions: promotional codes that a user redeemed, and what they gave."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import promotions
from models.api_keys import Scope
from models.database import readings, sessions
from models.promotions import Redemption
from web import tokens
from web.pages import PageQuery
from web.problems import Problem
from web.requests import Body
from web.shelf import shelf
from web.times import render_time

api = APIBlueprint(
    "redemptions",
    __name__,
    url_prefix="/v1/redemptions",
    abp_tags=[{"name": "credits"}],
    abp_security=tokens.BY_TOKEN_OR_KEY,
)
api.before_request(tokens.callers(read=Scope.credits_read, write=Scope.credits_write))


class RedemptionRequest(Body):
    code: Annotated[str, Field(min_length=1, max_length=100, examples=["WELCOME"])]


class GivenPlan(BaseModel):
    name: str
    title: str
    ends_at: str | None


class RedemptionView(BaseModel):
    id: int
    object: str
    code: str
    title: str
    credits: dict[str, int] = Field(description="Credits that were given, by wallet.")
    expires_at: str | None = Field(description="When these credits expire; null is never.")
    plan: GivenPlan | None = Field(description="The plan that was given, and when it ends.")
    created_at: str


class RedemptionList(BaseModel):
    redemptions: list[RedemptionView]
    next: int | None = Field(description="Give it as `after` for the next page; null on the last.")


def render(redemption: Redemption) -> dict[str, Any]:
    given = redemption.given
    plan = None
    if "plan" in given:
        plan = {"name": given["plan"], "title": given["plan_title"], "ends_at": _time(given["plan_ends_at"])}
    return {
        "id": redemption.id,
        "object": "redemption",
        "code": redemption.code,
        "title": given["title"],
        "credits": given["credits"],
        "expires_at": _time(given.get("expires_at")),
        "plan": plan,
        "created_at": render_time(redemption.created_at),
    }


def _time(text: str | None) -> str | None:
    return render_time(datetime.fromisoformat(text)) if text else None


@api.post("", responses={201: RedemptionView, 401: Problem, 404: Problem, 409: Problem, 422: Problem, 429: Problem})
def redeem(body: RedemptionRequest) -> tuple[dict[str, Any], int]:
    """Redeem a promotional code. Each code works once for each user; `why` of a 409 says what is the matter with it."""
    user_id = tokens.current_user_id()
    with readings() as session:
        catalog = shelf.catalog(session)
    with sessions() as session:
        promotions.count_guess(session, user_id=user_id)
    with sessions() as session:
        redemption = promotions.redeem(session, catalog, user_id=user_id, code=body.code)
    return render(redemption), 201


@api.get("", responses={200: RedemptionList, 401: Problem, 422: Problem})
def history(query: PageQuery) -> dict[str, Any]:
    """The codes that I redeemed, newest first."""
    with readings() as session:
        found, following = promotions.redeemed(
            session, user_id=tokens.current_user_id(), limit=query.limit, after=query.after
        )
    return {"redemptions": [render(each) for each in found], "next": following}
