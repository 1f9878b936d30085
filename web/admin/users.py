"""Accounts, as the people of the house see them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field, model_validator

from models import administration, directory, jobs, ledger, logins, plans, users
from models.catalog import Name
from models.database import readings, sessions
from models.directory import Wanted
from models.ledger import Balance
from models.logins import Login
from models.pages import MOST_PER_PAGE
from models.payments import billing
from models.payments.billing import BilledSubscription
from models.plans import Held
from models.users import LONGEST_EMAIL, Role, User
from web import tokens
from web.admin import doors
from web.logins import LoginView, render_login
from web.me import BalanceView, render_balances
from web.problems import Problem
from web.requests import Body
from web.subscription import SubscriptionView
from web.subscription import render as render_subscription
from web.texts import Line
from web.times import render_time

api = APIBlueprint(
    "admin_users", __name__, url_prefix="/v1/admin/users", abp_tags=[{"name": "admin"}], abp_security=tokens.BY_ADMIN
)
api.before_request(doors.admit)

RECENT_DAYS = 30
MOST_LOGINS = 20
"""How many log-ins are shown with an account, the newest of them."""


class UserPath(BaseModel):
    user_id: UUID


class UserQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    search: Annotated[Line, Field(max_length=LONGEST_EMAIL)] | None = Field(
        None, description="How the address begins, or an account's id."
    )
    contains: Annotated[Line, Field(max_length=LONGEST_EMAIL)] | None = Field(
        None, description="A part of the address or of the name."
    )
    role: Role | None = None
    suspended: bool | None = None
    plan: Name | None = Field(None, description="The plan that the user has now.")
    after: UUID | None = Field(None, description="The `next` of the page before.")
    limit: Annotated[int, Field(ge=1, le=MOST_PER_PAGE)] = 20


class UserChange(Body):
    # A role comes as text, which strict models would not take for one.
    role: Annotated[Role, Field(strict=False)] | None = None
    suspended: bool | None = None
    reason: Annotated[Line, Field(max_length=500)] = Field(
        description="For the audit log, which forgets nothing: nothing that tells who somebody is."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> UserChange:
        if self.role is None and self.suspended is None:
            raise ValueError("expected role or suspended")
        return self


class AccountView(BaseModel):
    id: str
    object: str
    email: str | None = Field(description="Null once the account is closed.")
    name: str | None
    role: Role
    verified_at: str | None
    suspended_at: str | None
    closing_at: str | None
    closed_at: str | None
    created_at: str


class AccountList(BaseModel):
    users: list[AccountView]
    next: str | None = Field(
        description="Give it as `after` for the next page; null on the last. A page before it may be short."
    )


class HeldPlanView(BaseModel):
    name: str
    title: str
    origin: str
    billing: str | None
    started_at: str
    ends_at: str | None


class AccountUrls(BaseModel):
    transactions: str
    payments: str
    audit_log: str = Field(description="What was decided about this account.")


class AccountDetails(AccountView):
    wallets: dict[str, BalanceView]
    plan: HeldPlanView | None
    subscription: SubscriptionView | None = Field(description="The plan that is paid for, if there is one.")
    sessions: list[LoginView] = Field(description=f"Where the user is logged in, the newest {MOST_LOGINS}.")
    jobs: dict[str, int] = Field(description=f"How many of the last {RECENT_DAYS} days, by status.")
    urls: AccountUrls


def render(user: User) -> dict[str, Any]:
    return {
        "id": str(user.id),
        "object": "user",
        "email": user.email,
        "name": user.name,
        "role": user.role,
        "verified_at": render_time(user.verified_at),
        "suspended_at": render_time(user.suspended_at),
        "closing_at": render_time(user.closing_at),
        "closed_at": render_time(user.closed_at),
        "created_at": render_time(user.created_at),
    }


def _details(
    user: User,
    balances: dict[str, Balance],
    held: Held | None,
    paid: BilledSubscription | None,
    going_on: Sequence[Login],
    counts: dict[Any, int],
) -> dict[str, Any]:
    here = f"/v1/admin/users/{user.id}"
    return {
        **render(user),
        "wallets": render_balances(balances),
        "plan": render_plan(held) if held else None,
        "subscription": render_subscription(paid) if paid else None,
        "sessions": [render_login(login) for login in going_on],
        "jobs": {str(status): number for status, number in counts.items()},
        "urls": {
            "transactions": f"{here}/transactions",
            "payments": f"{here}/payments",
            "audit_log": f"/v1/admin/audit-log?target={administration.target(user.id)}",
        },
    }


def render_plan(held: Held) -> dict[str, Any]:
    return {
        "name": held.plan,
        "title": held.terms.title,
        "origin": held.origin,
        "billing": held.billing,
        "started_at": render_time(held.started_at),
        "ends_at": render_time(held.ends_at),
    }


@api.get("", responses={200: AccountList, 401: Problem, 403: Problem, 422: Problem})
def search(query: UserQuery) -> dict[str, Any]:
    """Accounts, newest first; closed ones too, by their id."""
    wanted = Wanted(query.search, query.contains, query.role, query.suspended, query.plan)
    with readings() as session:
        found, following = directory.search(session, wanted=wanted, limit=query.limit, after=query.after)
    return {"users": [render(user) for user in found], "next": str(following) if following else None}


@api.get("/<user_id>", responses={200: AccountDetails, 401: Problem, 403: Problem, 404: Problem, 422: Problem})
def show(path: UserPath) -> dict[str, Any]:
    """One account, with its credits, plan, sessions, and how its jobs went lately."""
    with readings() as session:
        user = users.get(session, path.user_id)
        return _details(
            user,
            ledger.balances(session, user_id=user.id),
            plans.entitlements(session, user_id=user.id).held,
            billing.going_on(session, user_id=user.id),
            logins.going_on(session, user_id=user.id, limit=MOST_LOGINS)[0],
            jobs.counts(session, user_id=user.id, days=RECENT_DAYS),
        )


@api.patch(
    "/<user_id>",
    responses={200: AccountView, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def change(path: UserPath, body: UserChange) -> dict[str, Any]:
    """Give an account another role, suspend it, or let it come back. Suspended, it is logged out everywhere."""
    with sessions() as session:
        user = administration.change(
            session,
            by=doors.acting(),
            user_id=path.user_id,
            role=body.role,
            suspended=body.suspended,
            reason=body.reason,
        )
        shown = render(user)
    tokens.look_again()
    return shown
