"""Adjustments: credits that the house gives or takes away."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any

from flask import Response, jsonify
from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import adjustments
from models.adjustments import MOST, Adjustment
from models.catalog import Name
from models.database import sessions
from models.errors import Fault, InvalidInput
from web import tokens
from web.admin import doors
from web.admin.users import UserPath
from web.problems import Problem
from web.requests import Body, idempotency_key
from web.texts import Line
from web.times import render_time
from web.transactions import Moment

api = APIBlueprint(
    "admin_adjustments",
    __name__,
    url_prefix="/v1/admin/users",
    abp_tags=[{"name": "admin"}],
    abp_security=tokens.BY_ADMIN,
)
api.before_request(doors.admit)


class AdjustmentRequest(Body):
    wallet: Name
    amount: Annotated[int, Field(ge=-MOST, le=MOST)] = Field(
        description="Credits, not 0; below zero they are taken away, and never more than are available."
    )
    reason: Annotated[Line, Field(max_length=500)] = Field(
        description="For the audit log, which forgets nothing: nothing that tells who somebody is."
    )
    # A time comes as text, which strict models would not take for one.
    expires_at: Annotated[Moment, Field(strict=False)] | None = Field(
        None, description="When what is left of them goes, RFC 3339; never if not given."
    )


class AdjustmentView(BaseModel):
    id: str
    object: str
    user_id: str
    wallet: str
    amount: int
    expires_at: str | None
    available: int = Field(description="What the wallet could use right after it.")
    debt: int = Field(description="What the wallet owed right after it; what is given pays debt first.")
    reason: str | None
    created_at: str


def render(made: Adjustment) -> dict[str, Any]:
    return {
        "id": str(made.id),
        "object": "adjustment",
        "user_id": str(made.user_id),
        "wallet": made.wallet,
        "amount": made.amount,
        "expires_at": render_time(made.expires_at),
        "available": made.available,
        "debt": made.debt,
        "reason": made.reason,
        "created_at": render_time(made.created_at),
    }


@api.post(
    "/<user_id>/adjustments",
    responses={201: AdjustmentView, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def adjust(path: UserPath, body: AdjustmentRequest) -> Response:
    """Give a user credits, or take some away. It needs an `Idempotency-Key`: repeated with it, credits move once."""
    key = idempotency_key()
    if key is None:
        raise InvalidInput(Fault("Idempotency-Key", "expected one, so that a repeated request moves credits once"))
    with sessions() as session:
        made = adjustments.adjust(
            session,
            by=doors.acting(),
            user_id=path.user_id,
            wallet=body.wallet,
            amount=body.amount,
            reason=body.reason,
            key=key,
            expires_at=body.expires_at and body.expires_at.astimezone(UTC),
        )
    response = jsonify(render(made))
    response.status_code = 201
    if made.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response
