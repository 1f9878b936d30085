"""What is sold: actions, packs and plans. Open to all; a caller with a token also sees what it means for them."""

from __future__ import annotations

from typing import Any

from flask_openapi import APIBlueprint
from pydantic import BaseModel, Field

from models import catalog, plans
from models.catalog import Billing, Period
from models.database import readings
from models.errors import ActionUnavailable, FeatureRequired
from models.kinds import SPEND
from models.plans import NOTHING, Entitlements
from web import tokens
from web.me import BalanceView, render_balances
from web.problems import Problem
from web.shelf import shelf
from web.times import render_time
from web.wallets import owned
from worker.backends import offers

api = APIBlueprint(
    "catalog", __name__, url_prefix="/v1", abp_tags=[{"name": "catalog"}], abp_security=tokens.BY_ANYBODY
)
api.before_request(tokens.admit_anybody)


class MoneyView(BaseModel):
    amount: int = Field(description="In minor units of the currency: cents.")
    currency: str


class AddonView(BaseModel):
    name: str
    title: str
    amount: int


class ActionView(BaseModel):
    name: str
    title: str
    description: str
    kind: str = Field(description="`spend` runs no job: POST /v1/spends. Every other kind: POST /v1/jobs.")
    wallet: str
    price: dict[str, Any]
    addons: list[AddonView]
    requires: str | None = Field(description="The feature that a caller's plan must have.")
    available: bool = Field(description="Whether this caller may order it; without a token, whether anybody may.")
    unavailable_because: str | None = Field(
        description="The code of the error that ordering it would come to: `feature_required`, `action_unavailable`."
    )
    free: bool = Field(description="Whether the caller's plan includes it, within fair use.")
    charge: str = Field(
        description="What a completed job is charged for, never more than held: what was `ordered`, "
        "or the length that was really `delivered`."
    )


class ActionList(BaseModel):
    actions: list[ActionView]


class PackView(BaseModel):
    name: str
    title: str
    description: str
    price: MoneyView
    credits: dict[str, int] = Field(description="By wallet.")
    bonus: dict[str, int] = Field(description="On top, by wallet.")
    quick: bool = Field(description="Also sold without a checkout page.")
    expires_days: int | None


class PackList(BaseModel):
    packs: list[PackView]


class AllowanceView(BaseModel):
    wallet: str
    amount: int
    period: Period
    rollover: bool


class RateView(BaseModel):
    uses: int
    per: str


class UnlimitedView(BaseModel):
    action: str | None
    wallet: str | None
    fair_use: RateView


class PlanView(BaseModel):
    name: str
    title: str
    description: str
    rank: int
    prices: dict[Billing, MoneyView]
    features: list[str]
    limits: dict[str, int]
    allowances: list[AllowanceView]
    unlimited: list[UnlimitedView]
    priority: bool
    trial_days: int | None = Field(description="For nothing at first, for who was never billed for a plan.")
    current: bool


class CurrentPlanView(BaseModel):
    plan: str
    title: str
    billing: Billing | None
    started_at: str
    ends_at: str | None


class PlanList(BaseModel):
    plans: list[PlanView]
    current: CurrentPlanView | None = Field(description="The caller's own, on the terms on which it was taken up.")
    balances: dict[str, BalanceView] | None = Field(description="The caller's, by wallet.")


@api.get("/actions", responses={200: ActionList, 401: Problem})
def actions() -> dict[str, Any]:
    """Every action with its price."""
    sold, held = _sold_to_caller()
    return {"actions": [_action(name, action, held) for name, action in sold.actions.items()]}


@api.get("/packs", responses={200: PackList, 401: Problem})
def packs() -> dict[str, Any]:
    """Every pack of credits with its price."""
    with readings() as session:
        sold = shelf.catalog(session)
    return {"packs": [{"name": name, **pack.model_dump(mode="json")} for name, pack in sold.packs.items()]}


@api.get("/plans", responses={200: PlanList, 401: Problem})
def list_plans() -> dict[str, Any]:
    """Every plan that can be had, and the caller's own."""
    sold, entitled = _sold_to_caller()
    own = entitled.held
    return {
        "plans": [
            {"name": name, **plan.model_dump(mode="json"), "current": own is not None and own.plan == name}
            for name, plan in sold.plans.items()
        ],
        "current": own
        and {
            "plan": own.plan,
            "title": own.terms.title,
            "billing": own.billing,
            "started_at": render_time(own.started_at),
            "ends_at": render_time(own.ends_at),
        },
        "balances": render_balances(owned(user_id)) if (user_id := tokens.user_id_if_known()) else None,
    }


def _sold_to_caller() -> tuple[catalog.Catalog, Entitlements]:
    user_id = tokens.user_id_if_known()
    with readings() as session:
        sold = shelf.catalog(session)
        return sold, plans.entitlements(session, user_id=user_id) if user_id else NOTHING


def _action(name: str, action: catalog.Action, entitled: Entitlements) -> dict[str, Any]:
    missing = _missing(action, entitled)
    return {
        "name": name,
        "title": action.title,
        "description": action.description,
        "kind": action.kind,
        "wallet": action.wallet,
        "price": action.price.model_dump(mode="json"),
        "addons": [{"name": each, **addon.model_dump()} for each, addon in action.addons.items()],
        "requires": action.requires,
        "available": missing is None,
        "unavailable_because": missing,
        "free": entitled.unlimited(name, action.wallet) is not None,
        "charge": action.charge,
    }


def _missing(action: catalog.Action, entitled: Entitlements) -> str | None:
    if action.kind != SPEND and action.kind not in offers():
        return ActionUnavailable.code
    allowed = action.requires is None or entitled.has(action.requires)
    return None if allowed else FeatureRequired.code
