"""Referrals: the caller's code to hand on, and who brought the caller."""

from __future__ import annotations

from typing import Annotated, Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import referrals
from models.acting import everyone
from models.api_keys import Scope
from models.database import readings, sessions
from web import tokens
from web.problems import Problem
from web.requests import Body
from web.shelf import shelf
from web.times import render_time

api = APIBlueprint(
    "referrals",
    __name__,
    url_prefix="/v1/referrals",
    abp_tags=[{"name": "credits"}],
    abp_security=tokens.BY_TOKEN_OR_KEY,
)
api.before_request(tokens.callers(read=Scope.credits_read, write=Scope.credits_write))


class ReferralRequest(Body):
    code: Annotated[str, Field(min_length=1, max_length=100, examples=["7KQ2MX9B"])]


class TermsView(BaseModel):
    wallet: str
    referrer: int = Field(description="Credits for who brings a new user.")
    referred: int = Field(description="Credits for the new user.")
    on: str = Field(description="What the new user has to do first: `verification` or `purchase`.")
    cap: int = Field(description="For how many new users one user is rewarded at most.")
    expires_days: int | None


class StandingView(BaseModel):
    code: str
    referred: int = Field(description="Users who named my code.")
    rewarded: int = Field(description="Those of them who have done what counts.")
    earned: dict[str, int] = Field(description="Credits that I got for them, by wallet.")
    terms: TermsView


class ReferralView(BaseModel):
    object: str
    rewarded_at: str | None
    created_at: str


@api.get("", responses={200: StandingView, 401: Problem, 404: Problem})
def show() -> dict[str, Any]:
    """My code to hand on, what it has led to, and what there is to gain."""
    with readings() as session:
        catalog = shelf.catalog(session)
    with sessions() as session:
        mine = referrals.standing(session, catalog, user_id=tokens.current_user_id())
    return {
        "code": mine.code,
        "referred": mine.referred,
        "rewarded": mine.rewarded,
        "earned": mine.earned,
        "terms": mine.terms.model_dump(mode="json"),
    }


@api.post("", responses={201: ReferralView, 401: Problem, 404: Problem, 409: Problem, 422: Problem})
def refer(body: ReferralRequest) -> tuple[dict[str, Any], int]:
    """Say who brought me, by their code; once, and before I buy anything."""
    with readings() as session:
        catalog = shelf.catalog(session)
    with everyone(), sessions() as session:  # the owner of the code has a part in it
        made = referrals.refer(session, catalog, user_id=tokens.current_user_id(), code=body.code)
    return {
        "object": "referral",
        "rewarded_at": render_time(made.rewarded_at),
        "created_at": render_time(made.created_at),
    }, 201
