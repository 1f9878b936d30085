"""The caller's subscription: the plan that is paid for, changing it, ending it, taking the end back."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from uuid import UUID

from flask import Response, jsonify
from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from config import settings
from models.api_keys import Scope
from models.catalog import Billing
from models.database import readings, sessions
from models.errors import GatewayRefused, NotFound, PaymentDeclined
from models.payments import billing, errands, subscribing
from models.payments.billing import BilledSubscription
from models.payments.checkouts import Wanted
from models.payments.errands import Errand, ErrandState
from models.payments.tables import CheckoutMode
from web import tokens
from web.checkouts import CheckoutView, ItemName, PageUrl, begin_and_wait
from web.problems import Problem
from web.requests import Body
from web.shelf import shelf
from web.times import render_time
from web.waiting import wait_for

api = APIBlueprint(
    "subscription",
    __name__,
    url_prefix="/v1/subscription",
    abp_tags=[{"name": "payments"}],
    abp_security=tokens.BY_TOKEN_OR_KEY,
)
api.before_request(tokens.callers(read=Scope.credits_read))

AnyBilling = Annotated[Billing, Field(strict=False)]


class SubscribeRequest(Body):
    plan: ItemName = Field(examples=["premium"])
    billing: AnyBilling = Billing.monthly
    success_url: PageUrl | None = None
    cancel_url: PageUrl | None = None


class ChangeRequest(Body):
    plan: ItemName | None = Field(None, description="The plan to change to.")
    billing: AnyBilling | None = Field(None, description="How often it is paid from then on.")
    cancel_at_period_end: bool | None = Field(None, description="false takes a cancellation back; true is one.")


class EndQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    at: Literal["period_end", "now"] = Field("period_end", description="When it ends.")


class SubscriptionView(BaseModel):
    id: str
    object: str
    status: str = Field(description="trialing, active, past_due, unpaid, paused or canceled.")
    plan: str
    billing: str
    next_plan: str | None = Field(description="What follows when the period ends, after a downgrade.")
    next_billing: str | None
    period_starts_at: str
    period_ends_at: str
    paid_until: str
    trial_ends_at: str | None
    cancels_at: str | None
    past_due_since: str | None
    underway: bool = Field(description="Whether a change is still on its way to the gateway.")


def render(row: BilledSubscription, *, underway: bool = False) -> dict[str, Any]:
    def time_of(name: str) -> str | None:
        moment = getattr(row, name)
        return render_time(moment) if moment else None

    return {
        "id": row.id,
        "object": "subscription",
        "status": row.status,
        "plan": row.plan,
        "billing": row.billing,
        "next_plan": row.next_plan,
        "next_billing": row.next_billing,
        **{
            name: time_of(name)
            for name in (
                "period_starts_at", "period_ends_at", "paid_until", "trial_ends_at", "cancels_at", "past_due_since",
            )
        },
        "underway": underway,
    }  # fmt: skip


@api.get("", responses={200: SubscriptionView, 401: Problem, 404: Problem})
def show() -> dict[str, Any]:
    """The subscription I pay for. What my plan lets me do is at `GET /v1/entitlements`."""
    return render(_mine(tokens.current_user_id()))


@api.post("", responses={201: CheckoutView, 202: CheckoutView, 401: Problem, 404: Problem, 409: Problem, 422: Problem})
def subscribe(body: SubscribeRequest) -> Response:
    """Take up a plan: leads to a checkout page, as `POST /v1/checkouts` does."""
    home = settings().app_url or settings().public_url
    return begin_and_wait(
        Wanted(
            mode=CheckoutMode.page, plan=body.plan, billing=body.billing,
            success_url=str(body.success_url) if body.success_url else f"{home}/checkout/success",
            cancel_url=str(body.cancel_url) if body.cancel_url else f"{home}/checkout/canceled",
        )
    )  # fmt: skip


@api.patch(
    "",
    responses={
        200: SubscriptionView, 202: SubscriptionView, 401: Problem, 402: Problem, 404: Problem, 409: Problem,
        422: Problem, 502: Problem,
    },
)  # fmt: skip
def change(body: ChangeRequest) -> Response:
    """Change the plan, or cancel at the end of the period, or take that back.

    A larger plan counts at once: the difference is paid now, and its credits for the rest of the cycle come with it. A
    smaller one counts from the next period. A 202 is still on its way: poll `GET /v1/subscription`.
    """
    user_id = tokens.current_user_id()
    with sessions() as session:
        errand = subscribing.change(
            session, shelf.catalog(session), user_id=user_id, plan=body.plan, billing=body.billing,
            cancel_at_period_end=body.cancel_at_period_end,
        )  # fmt: skip
    return _outcome(user_id, errand)


@api.delete(
    "",
    responses={
        200: SubscriptionView, 202: SubscriptionView, 204: None, 401: Problem, 404: Problem, 409: Problem,
        422: Problem, 502: Problem,
    },
)  # fmt: skip
def end(query: EndQuery) -> Response:
    """Cancel, at the end of the period, or `?at=now`: then the features end at once and nothing is paid back."""
    user_id = tokens.current_user_id()
    with sessions() as session:
        errand = subscribing.cancel(session, user_id=user_id, at_period_end=query.at == "period_end")
    return _outcome(user_id, errand)


def _mine(user_id: UUID) -> BilledSubscription:
    with readings() as session:
        row = billing.going_on(session, user_id=user_id)
    if row is None:
        raise NotFound("You pay for no plan.")
    return row


def _outcome(user_id: UUID, errand: Errand) -> Response:
    seen = wait_for(
        lambda session: errands.get(session, user_id=user_id, errand_id=errand.id),
        lambda each: each.state is not ErrandState.waiting,
    )
    if seen.problem in billing.DECLINES:
        raise PaymentDeclined("The bank declined the payment; nothing has changed.", problem=seen.problem)
    if seen.problem:
        raise GatewayRefused("The change was not made. Nothing has changed.", problem=seen.problem)
    with readings() as session:
        row = billing.billed(session, errand.about)
    if row is None or row.ended_at is not None:
        return Response(status=204)
    waiting = seen.state is ErrandState.waiting
    response = jsonify(render(row, underway=waiting))
    response.status_code = 202 if waiting else 200
    return response
