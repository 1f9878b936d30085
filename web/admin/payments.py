"""Payments, as the people of the house see them: one payment, and giving its money back."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from flask import Response, jsonify
from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models.database import readings, sessions
from models.payments import payments, refunding
from models.payments.errands import ErrandState
from web import tokens
from web.admin import doors
from web.payments import PaymentView, render
from web.problems import Problem
from web.requests import Body, idempotency_key
from web.texts import Line
from web.times import render_time
from web.waiting import wait_for

api = APIBlueprint(
    "admin_payments",
    __name__,
    url_prefix="/v1/admin/payments",
    abp_tags=[{"name": "admin"}],
    abp_security=tokens.BY_ADMIN,
)
api.before_request(doors.admit)


class AnyPaymentPath(BaseModel):
    any_payment_id: UUID


class RefundRequest(Body):
    amount: Annotated[int, Field(ge=1, le=100_000_000)] | None = Field(
        None, description="In minor units of the payment's currency; all that is left of it if not given."
    )
    reason: Annotated[Line, Field(max_length=500)] = Field(
        description="For the audit log, which forgets nothing: nothing that tells who somebody is."
    )


class RefundView(BaseModel):
    id: str
    object: str
    payment_id: str
    amount: int = Field(description="In minor units of the payment's currency.")
    status: str = Field(description="waiting, done or failed: whether the gateway has done it.")
    problem: str | None
    created_at: str


@api.get("/<any_payment_id>", responses={200: PaymentView, 401: Problem, 403: Problem, 404: Problem, 422: Problem})
def show(path: AnyPaymentPath) -> dict[str, Any]:
    """Anybody's payment."""
    with readings() as session:
        return render(payments.find(session, path.any_payment_id))


@api.post(
    "/<any_payment_id>/refunds",
    responses={201: RefundView, 202: RefundView, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def give_back(path: AnyPaymentPath, body: RefundRequest) -> Response:
    """Give a payment's money back, in whole or in part. The credits it bought follow once the gateway has done it.

    Send an `Idempotency-Key` and repeat the request as often as needed: the money goes back once.
    """
    key = idempotency_key()
    with sessions() as session:
        decided = refunding.give_back(
            session, by=doors.acting(), payment_id=path.any_payment_id, amount=body.amount, reason=body.reason,
            idempotency_key=key,
        )  # fmt: skip
        errand_id = decided.errand.id
    seen = wait_for(
        lambda session: refunding.get(session, errand_id), lambda each: each.state is not ErrandState.waiting
    )
    response = jsonify(
        {
            "id": str(seen.id),
            "object": "refund",
            "payment_id": str(path.any_payment_id),
            "amount": seen.details["amount"],
            "status": seen.state,
            "problem": seen.problem,
            "created_at": render_time(seen.created_at),
        }
    )
    response.status_code = 202 if seen.state is ErrandState.waiting else 201
    if decided.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response
