"""Notices: what the caller should know: credits that are about to expire, a balance that has become low."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import notices
from models.api_keys import Scope
from models.database import readings
from models.notices import Notice, Topic
from web import tokens
from web.pages import PageQuery
from web.problems import Problem
from web.times import render_time

api = APIBlueprint(
    "notices", __name__, url_prefix="/v1/notices", abp_tags=[{"name": "credits"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.credits_read, write=Scope.credits_write))


class CreditsExpiringView(BaseModel):
    """Of `credits_expiring`."""

    wallet: str
    amount: int = Field(description="Credits that were left when the notice was made.")
    expires_at: str


class LowBalanceView(BaseModel):
    """Of `low_balance`."""

    wallet: str
    amount: int = Field(description="Credits that were left when the notice was made, those that jobs held included.")
    low_balance: int = Field(description="What the product calls low: less than this.")


class NoticeView(BaseModel):
    id: int
    object: str
    topic: Topic
    details: CreditsExpiringView | LowBalanceView
    created_at: str


class NoticeList(BaseModel):
    notices: list[NoticeView]
    next: int | None = Field(description="Give it as `after` for the next page; null on the last.")


def render(notice: Notice) -> dict[str, Any]:
    details = dict(notice.details)
    if "expires_at" in details:
        details["expires_at"] = render_time(datetime.fromisoformat(details["expires_at"]))
    return {
        "id": notice.id,
        "object": "notice",
        "topic": notice.topic,
        "details": details,
        "created_at": render_time(notice.created_at),
    }


@api.get("", responses={200: NoticeList, 401: Problem, 422: Problem})
def history(query: PageQuery) -> dict[str, Any]:
    """What I should know, newest first."""
    with readings() as session:
        found, following = notices.told(session, user_id=tokens.current_user_id(), limit=query.limit, after=query.after)
    return {"notices": [render(notice) for notice in found], "next": following}
