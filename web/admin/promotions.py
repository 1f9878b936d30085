"""Promotions: codes and what they are good for. Each edit of one is a new version of the catalog."""

from __future__ import annotations

from typing import Any

from flask import Response
from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import catalog, promotions
from models.catalog import Promotion, editing
from models.catalog.document import PromotionCode
from models.database import moment, readings
from models.errors import NotFound
from web import tokens
from web.admin import doors
from web.admin.catalog import DryRunQuery, EditRequest, EditView, edited
from web.problems import Problem

api = APIBlueprint(
    "admin_promotions",
    __name__,
    url_prefix="/v1/admin/promotions",
    abp_tags=[{"name": "admin"}],
    abp_security=tokens.BY_ADMIN,
)
api.before_request(doors.admit)


class PromotionPath(BaseModel):
    promotion_code: PromotionCode


class PromotionRequest(EditRequest):
    promotion: dict[str, Any] = Field(description="What the code is good for, as a preset says it (docs/catalog.md).")


class CampaignView(BaseModel):
    code: str
    object: str
    promotion: dict[str, Any] = Field(description="Without what is the default anyway.")
    open: bool = Field(description="Whether it can be redeemed at this time; its cap is another matter.")
    redeemed: int = Field(description="By how many users it has been redeemed, under whatever terms.")
    left: int | None = Field(description="How many more can redeem it; null without a cap.")


class CampaignList(BaseModel):
    promotions: list[CampaignView]


def found() -> list[dict[str, Any]]:
    """Every promotion that is sold, in the order of the catalog."""
    with readings() as session:
        sold = catalog.current(session).promotions
        counts, today = promotions.uses(session, list(sold)), moment(session)
        return [_campaign(code, each, counts[code], each.open_at(today)) for code, each in sold.items()]


def _campaign(code: str, sold: Promotion, redeemed: int, open_now: bool) -> dict[str, Any]:
    return {
        "code": code,
        "object": "promotion",
        "promotion": sold.model_dump(mode="json", exclude_defaults=True),
        "open": open_now,
        "redeemed": redeemed,
        "left": None if sold.cap is None else max(sold.cap - redeemed, 0),
    }


@api.get("", responses={200: CampaignList, 401: Problem, 403: Problem})
def everything() -> dict[str, Any]:
    """Every promotion there is, and how often each was redeemed."""
    return {"promotions": found()}


@api.get("/<promotion_code>", responses={200: CampaignView, 401: Problem, 403: Problem, 404: Problem, 422: Problem})
def show(path: PromotionPath) -> dict[str, Any]:
    """One promotion."""
    for each in found():
        if each["code"] == path.promotion_code:
            return each
    raise NotFound("There is no such promotion.")


@api.put("/<promotion_code>", responses={200: EditView, 401: Problem, 403: Problem, 412: Problem, 422: Problem})
def put(path: PromotionPath, query: DryRunQuery, body: PromotionRequest) -> Response:
    """Make a code good for something. Who has redeemed it before cannot do so again. `If-Match` is heeded."""
    edit = editing.putting(path.promotion_code, body.promotion)
    return edited(edit, reason=body.reason, dry_run=query.dry_run)


@api.delete(
    "/<promotion_code>", responses={200: EditView, 401: Problem, 403: Problem, 404: Problem, 412: Problem, 422: Problem}
)
def remove(path: PromotionPath, query: DryRunQuery, body: EditRequest) -> Response:
    """Make a code good for nothing from now on; what it has given stays. `If-Match` is heeded."""
    return edited(editing.removing(path.promotion_code), reason=body.reason, dry_run=query.dry_run)
