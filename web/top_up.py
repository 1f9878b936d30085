"""Auto top-up: whether, when and for how much a pack is bought by itself."""

from __future__ import annotations

from typing import Annotated, Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from models.api_keys import Scope
from models.database import readings, sessions
from models.payments import top_ups
from models.payments.top_ups import TopUp
from web import tokens
from web.checkouts import ItemName
from web.problems import Problem
from web.requests import Body
from web.shelf import shelf
from web.times import render_time

api = APIBlueprint(
    "top_up", __name__, url_prefix="/v1/top-up", abp_tags=[{"name": "payments"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.credits_read))

MOST_MINOR_UNITS = 100_000_000


class TopUpRequest(Body):
    wallet: ItemName = Field(description="Which balance is watched.", examples=["credits"])
    pack: ItemName = Field(description="What is bought.", examples=["starter"])
    threshold: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(description="Below so many credits.")
    monthly_cap: Annotated[int, Field(ge=1, le=MOST_MINOR_UNITS)] = Field(
        description="The most it may cost in thirty days, in minor units of the pack's currency."
    )


class TopUpView(BaseModel):
    object: str
    wallet: str
    pack: str
    threshold: int
    monthly_cap: int
    currency: str
    spent: int = Field(description="What it has cost in the last thirty days, in minor units.")
    status: str = Field(description="on, buying, paused (a card was declined) or stopped (too often).")
    paused_until: str | None


def render(session: Session, mine: TopUp) -> dict[str, Any]:
    buying = "buying" if top_ups.is_buying(session, mine) else "paused" if mine.paused_until else "on"
    return {
        "object": "top_up",
        "wallet": mine.wallet,
        "pack": mine.pack,
        "threshold": mine.threshold,
        "monthly_cap": mine.monthly_cap,
        "currency": mine.currency,
        "spent": top_ups.spent(session, user_id=mine.user_id),
        "status": "stopped" if mine.stopped_at else buying,
        "paused_until": render_time(mine.paused_until) if mine.paused_until else None,
    }


@api.get("", responses={200: TopUpView, 401: Problem, 404: Problem})
def show() -> dict[str, Any]:
    """My top-up."""
    with readings() as session:
        return render(session, top_ups.get(session, user_id=tokens.current_user_id()))


@api.put("", responses={200: TopUpView, 401: Problem, 404: Problem, 422: Problem})
def set_up(body: TopUpRequest) -> dict[str, Any]:
    """Buy a pack by itself whenever a balance falls low, from the card of the last purchase.

    A declined card rests for a day, then for two; declined a third time, it stops until it is set up anew.
    """
    with sessions() as session:
        mine = top_ups.set_up(
            session, shelf.catalog(session), user_id=tokens.current_user_id(), wallet=body.wallet, pack=body.pack,
            threshold=body.threshold, monthly_cap=body.monthly_cap,
        )  # fmt: skip
        return render(session, mine)


@api.delete("", responses={204: None, 401: Problem})
def switch_off() -> tuple[str, int]:
    """Buy nothing by itself any more."""
    with sessions() as session:
        top_ups.switch_off(session, user_id=tokens.current_user_id())
    return "", 204
