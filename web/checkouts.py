"""Checkouts: buying a pack or a plan, on a page of the gateway or with a form of the front end's own."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask import Response, jsonify
from flask_openapi import APIBlueprint
from pydantic import AnyHttpUrl, BaseModel, Field, UrlConstraints

from config import settings
from models.api_keys import Scope
from models.catalog import Billing
from models.database import readings, sessions
from models.errors import AlreadySubscribed, Fault, InvalidInput
from models.payments import billing, checkouts, payments
from models.payments.checkouts import Wanted
from models.payments.tables import Checkout, CheckoutMode, CheckoutState
from web import tokens
from web.catalog import MoneyView
from web.problems import Problem
from web.requests import Body, idempotency_key
from web.shelf import shelf
from web.times import render_time
from web.waiting import wait_for

api = APIBlueprint(
    "checkouts", __name__, url_prefix="/v1", abp_tags=[{"name": "payments"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.credits_read))

POLL_AFTER_SECONDS = 1

PageUrl = Annotated[AnyHttpUrl, UrlConstraints(max_length=2_000), Field(strict=False)]
ItemName = Annotated[str, Field(min_length=1, max_length=50)]


class CheckoutRequest(Body):
    pack: ItemName | None = Field(None, description="The pack to buy; or else a plan.", examples=["starter"])
    plan: ItemName | None = None
    billing: Annotated[Billing, Field(strict=False)] | None = Field(None, description="How often a plan is paid.")
    success_url: PageUrl | None = Field(None, description="Where the customer goes after paying.")
    cancel_url: PageUrl | None = Field(None, description="Where the customer goes without paying.")


class IntentRequest(Body):
    pack: ItemName = Field(examples=["quick"])


class CheckoutPath(BaseModel):
    checkout_id: UUID


class CheckoutView(BaseModel):
    id: str
    object: str
    mode: str = Field(description="page: send the customer to `checkout_url`; intent: use the `client_secret`.")
    status: str = Field(description="creating, open, paid, failed or expired.")
    pack: str | None
    plan: str | None
    billing: str | None
    price: MoneyView
    checkout_url: str | None
    client_secret: str | None
    payment_id: str | None = Field(description="What `GET /v1/payments/{id}` tells more about, once there is one.")
    problem: str | None = Field(description="Why it failed: a stable code.")
    created_at: str


def render(checkout: Checkout, payment_id: UUID | None) -> dict[str, Any]:
    return {
        "id": str(checkout.id),
        "object": "checkout",
        "mode": checkout.mode,
        "status": checkout.state,
        "pack": checkout.pack,
        "plan": checkout.plan,
        "billing": checkout.billing,
        "price": {"amount": checkout.amount, "currency": checkout.currency},
        "checkout_url": checkout.url,
        "client_secret": checkout.client_secret,
        "payment_id": str(payment_id) if payment_id else None,
        "problem": checkout.problem,
        "created_at": render_time(checkout.created_at),
    }


@api.post(
    "/checkouts",
    responses={201: CheckoutView, 202: CheckoutView, 401: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def begin(body: CheckoutRequest) -> Response:
    """Buy a pack, or take up a plan, on a checkout page: send the customer to `checkout_url`.

    202 means that the page is still being made: poll `GET /v1/checkouts/{id}`. Send an `Idempotency-Key`, and a
    repeated request leads to the same page.
    """
    if (body.pack is None) == (body.plan is None):
        raise InvalidInput(Fault("pack", "expected either `pack` or `plan`"))
    if body.plan is not None and body.billing is None:
        raise InvalidInput(Fault("billing", "expected together with `plan`: monthly or yearly"))
    if body.pack is not None and body.billing is not None:
        raise InvalidInput(Fault("billing", "a pack is paid once"))
    home = settings().app_url or settings().public_url
    wanted = Wanted(
        mode=CheckoutMode.page, pack=body.pack, plan=body.plan, billing=body.billing,
        success_url=str(body.success_url) if body.success_url else f"{home}/checkout/success",
        cancel_url=str(body.cancel_url) if body.cancel_url else f"{home}/checkout/canceled",
    )  # fmt: skip
    return begin_and_wait(wanted)


@api.post(
    "/payment-intents",
    responses={201: CheckoutView, 202: CheckoutView, 401: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def begin_intent(body: IntentRequest) -> Response:
    """Buy a quick pack with a payment form of your own: give `client_secret` to the gateway's own form."""
    return begin_and_wait(Wanted(mode=CheckoutMode.intent, pack=body.pack))


def begin_and_wait(wanted: Wanted) -> Response:
    """Begin a checkout and wait a little for the gateway to know of it."""
    user_id, key = tokens.current_user_id(), idempotency_key()
    with readings() as session:
        catalog = shelf.catalog(session)
        if wanted.plan is not None and billing.going_on(session, user_id=user_id) is not None:
            raise AlreadySubscribed("You pay for a plan already: change it instead (PATCH /v1/subscription).")
    with sessions() as session:
        begun = checkouts.begin(session, catalog, wanted, user_id=user_id, idempotency_key=key)
    checkout = wait_for(
        lambda session: checkouts.get(session, user_id=user_id, checkout_id=begun.checkout.id),
        lambda seen: seen.state is not CheckoutState.creating,
    )
    response = _answer(checkout)
    response.status_code = 202 if checkout.state is CheckoutState.creating else 201
    response.headers["Location"] = f"/v1/checkouts/{checkout.id}"
    if begun.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@api.get("/checkouts/<checkout_id>", responses={200: CheckoutView, 401: Problem, 404: Problem})
def show(path: CheckoutPath) -> Response:
    """One of my checkouts."""
    with readings() as session:
        checkout = checkouts.get(session, user_id=tokens.current_user_id(), checkout_id=path.checkout_id)
    return _answer(checkout)


def _answer(checkout: Checkout) -> Response:
    with readings() as session:
        payment_id = payments.of_checkout(session, checkout.id)
    response = jsonify(render(checkout, payment_id))
    if checkout.state is CheckoutState.creating:
        response.headers["Retry-After"] = str(POLL_AFTER_SECONDS)
    return response
