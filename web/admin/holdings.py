"""What a user has, for the people of the house: the statement, the payments, the plan; and allowances that are due."""

from __future__ import annotations

import hashlib
from datetime import UTC
from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import administration, transactions, users
from models.catalog import Billing, Name
from models.database import readings, sessions
from models.payments import payments
from models.plans import Held
from models.transactions import Type, Wanted
from web import tokens
from web.admin import doors
from web.admin.users import HeldPlanView, UserPath, render_plan
from web.pages import PageQuery
from web.payments import PaymentList, PaymentQuery
from web.payments import render as render_payment
from web.problems import Problem
from web.requests import Body, idempotency_key
from web.texts import Line
from web.transactions import Moment, TransactionList
from web.transactions import render as render_transaction

api = APIBlueprint(
    "admin_holdings", __name__, url_prefix="/v1/admin", abp_tags=[{"name": "admin"}], abp_security=tokens.BY_ADMIN
)
api.before_request(doors.admit)

MOST_SECONDS = 10.0
"""How long one request grants allowances: well within what proxies wait. What is left is still due."""

Reason = Annotated[
    Line,
    Field(max_length=500, description="For the audit log, which forgets nothing: nothing that tells who somebody is."),
]


class StatementQuery(PageQuery):
    wallet: Name | None = None
    type: Type | None = None
    since: Moment | None = Field(None, alias="from", description="The first moment, RFC 3339.")
    until: Moment | None = Field(None, alias="to", description="The moment before which they were made, RFC 3339.")
    job_id: UUID | None = None


class PlanRequest(Body):
    plan: Name
    billing: Annotated[Billing, Field(strict=False)] | None = Field(None, description="How often it is paid elsewhere.")
    months: Annotated[int, Field(ge=1, le=120)] | None = Field(
        None, description="End it by itself after so many; for good if not given."
    )
    reason: Reason


class EndPlanRequest(Body):
    reason: Reason


class HeldPlan(BaseModel):
    plan: HeldPlanView | None = Field(description="The plan that the user has now.")


class ResetRequest(Body):
    user_id: UUID | None = Field(None, strict=False, description="Whose allowances; everybody's if not given.")
    reason: Reason


class ResetView(BaseModel):
    object: str
    seen: int = Field(description="Wallets and users into which something was due.")
    done: bool = Field(description="Whether nothing is left that is due; if not, ask again.")


@api.get(
    "/users/<user_id>/transactions",
    responses={200: TransactionList, 401: Problem, 403: Problem, 404: Problem, 422: Problem},
)
def statement(path: UserPath, query: StatementQuery) -> dict[str, Any]:
    """A user's statement, newest first: every change of what they can use."""
    wanted = Wanted(
        wallet=query.wallet,
        type=query.type,
        since=query.since and query.since.astimezone(UTC),
        until=query.until and query.until.astimezone(UTC),
        job_id=query.job_id,
    )
    with readings() as session:
        user = users.get(session, path.user_id)
        found, following = transactions.page(
            session, user_id=user.id, limit=query.limit, after=query.after, wanted=wanted
        )
    return {"transactions": [render_transaction(made) for made in found], "next": str(following) if following else None}


@api.get(
    "/users/<user_id>/payments", responses={200: PaymentList, 401: Problem, 403: Problem, 404: Problem, 422: Problem}
)
def list_payments(path: UserPath, query: PaymentQuery) -> dict[str, Any]:
    """A user's payments, newest first."""
    with readings() as session:
        user = users.get(session, path.user_id)
        found, following = payments.page(session, user_id=user.id, limit=query.limit, after=query.after)
        return {
            "payments": [render_payment(each) for each in found],
            "next": str(following) if following else None,
        }


@api.put(
    "/users/<user_id>/plan",
    responses={200: HeldPlan, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def assign(path: UserPath, body: PlanRequest) -> dict[str, Any]:
    """Give a user a plan, as it is sold now, in place of the one they have; it is billed to nobody.

    With an `Idempotency-Key` the same request assigns once, so that `months` are not counted anew.
    """
    key = idempotency_key()
    with sessions() as session:
        held = administration.assign_plan(
            session,
            by=doors.acting(),
            user_id=path.user_id,
            plan=body.plan,
            billing=body.billing,
            months=body.months,
            ref=f"{path.user_id.hex}:{hashlib.sha256(key.encode()).hexdigest()}" if key else None,
            reason=body.reason,
        )
    return _held(held)


@api.delete(
    "/users/<user_id>/plan",
    responses={200: HeldPlan, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def end(path: UserPath, body: EndPlanRequest) -> dict[str, Any]:
    """End a user's plan; they fall back to that of sign-up, if there is one. What it gave stays until it expires."""
    with sessions() as session:
        return _held(administration.end_plan(session, by=doors.acting(), user_id=path.user_id, reason=body.reason))


def _held(held: Held | None) -> dict[str, Any]:
    return {"plan": render_plan(held) if held else None}


@api.post("/resets", responses={200: ResetView, 401: Problem, 403: Problem, 404: Problem, 422: Problem})
def reset(body: ResetRequest) -> dict[str, Any]:
    """Grant the allowances that are due, without waiting for beat; each period is granted once, whoever asks."""
    if body.user_id is not None:
        with sessions() as session:
            due = administration.reset(session, by=doors.acting(), user_id=body.user_id, reason=body.reason)
        return {"object": "reset", "seen": int(due), "done": True}
    ended = administration.reset_all(sessions, by=doors.acting(), seconds=MOST_SECONDS, reason=body.reason)
    return {"object": "reset", "seen": ended.seen, "done": ended.done}
