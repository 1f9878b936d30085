"""Metrics: how the business goes, over any span of time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from models import metrics as books
from models.database import readings
from models.margins import Margin
from models.metrics import Day, Metrics, Outstanding, Revenue
from web import tokens
from web.admin import doors
from web.problems import Problem
from web.times import render_time
from web.transactions import Moment

api = APIBlueprint(
    "admin_metrics", __name__, url_prefix="/v1/admin", abp_tags=[{"name": "admin"}], abp_security=tokens.BY_ADMIN
)
api.before_request(doors.admit)

Rate = Annotated[float, Field(ge=0, description="A part of a whole, to four places.")]


class MetricsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    since: Moment | None = Field(
        None, alias="from", description="The first moment, RFC 3339; 30 days before the end if not given."
    )
    until: Moment | None = Field(None, description="The moment before which the span ends; now if not given.")
    by: Literal["day"] | None = Field(None, description="Also some figures day by day, in UTC.")


class UsersFigures(BaseModel):
    total: int = Field(description="Accounts there were when the span ended.")
    new: int = Field(description="Signed up in the span.")
    active: int = Field(description="Submitted a job or spent in the span.")


class ConversionFigures(BaseModel):
    signed_up: int
    paid: int = Field(description="Of these, how many have ever paid.")
    rate: Rate | None


class ChurnFigures(BaseModel):
    at_start: int = Field(description="Users with a plan that is paid for when the span began.")
    lost: int = Field(description="Of these, how many had none when it ended.")
    gained: int
    at_end: int
    rate: Rate | None


class MovedFigures(BaseModel):
    granted: dict[str, int] = Field(description="By source.")
    spent: int
    released: int = Field(description="Held by jobs, and given back.")
    expired: int
    clawed_back: int
    restored: int


class OutstandingFigures(BaseModel):
    available: int
    held: int
    bought: int = Field(description="Of `available` and `held`, what was paid for.")
    debt: int


class RevenueFigures(BaseModel):
    payments: int
    payers: int
    gross: int = Field(description="In minor units, as all money here.")
    refunds: int
    refunded: int
    disputes: int
    disputed: int
    net: int
    per_paying_user: int | None
    per_user: int | None


class PurchaseFigures(BaseModel):
    payments: int
    payers: int
    frequency: Rate | None = Field(description="Payments for each payer.")


class PaymentFigures(BaseModel):
    succeeded: int
    failed: int
    failed_rate: Rate | None


class MarginFigures(BaseModel):
    action: str
    wallet: str
    jobs: int
    charged: int
    bought: int
    worth: dict[str, int]
    attempts: int
    unknown: int
    cost_micros: int = Field(description="In millionths of a US dollar.")


class DayFigures(BaseModel):
    day: str
    users: int
    jobs: int
    spent: dict[str, int] = Field(description="Credits charged, by wallet.")
    gross: dict[str, int] = Field(description="Money that came, by currency.")


class MetricsView(BaseModel):
    object: str
    since: str = Field(alias="from")
    until: str
    at: str = Field(description="When this was read.")
    users: UsersFigures
    conversion: ConversionFigures
    churn: ChurnFigures
    jobs: dict[str, dict[str, int]] = Field(description="Jobs submitted in the span, by action and status by now.")
    spends: dict[str, int]
    credits: dict[str, MovedFigures] = Field(description="By wallet.")
    outstanding: dict[str, OutstandingFigures] = Field(description="By wallet, now.")
    revenue: dict[str, RevenueFigures] = Field(description="By currency.")
    purchases: PurchaseFigures
    payments: PaymentFigures
    margins: list[MarginFigures]
    days: list[DayFigures] | None


def render(found: Metrics, days: list[Day] | None) -> dict[str, Any]:
    """The figures as they are sent, and as `flask metrics --json` prints them."""
    return {
        "object": "metrics",
        "from": render_time(found.since),
        "until": render_time(found.until),
        "at": render_time(found.at),
        "users": {"total": found.users.total, "new": found.users.new, "active": found.users.active},
        "conversion": {
            "signed_up": found.conversion.signed_up, "paid": found.conversion.paid, "rate": found.conversion.rate,
        },
        "churn": {
            "at_start": found.churn.at_start, "lost": found.churn.lost, "gained": found.churn.gained,
            "at_end": found.churn.at_end, "rate": found.churn.rate,
        },
        "jobs": {
            action: {str(status): number for status, number in counts.items()}
            for action, counts in found.jobs.items()
        },
        "spends": dict(found.spends),
        "credits": {
            kind: {
                "granted": {str(source): amount for source, amount in moved.granted.items()}, "spent": moved.spent,
                "released": moved.released, "expired": moved.expired, "clawed_back": moved.clawed_back,
                "restored": moved.restored,
            }
            for kind, moved in found.credits.items()
        },
        "outstanding": {kind: _outstanding(each) for kind, each in found.outstanding.items()},
        "revenue": {currency: _revenue(each, found.users.total) for currency, each in found.revenue.items()},
        "purchases": {
            "payments": found.purchases.payments, "payers": found.purchases.payers,
            "frequency": found.purchases.frequency,
        },
        "payments": {
            "succeeded": found.payments.succeeded, "failed": found.payments.failed,
            "failed_rate": found.payments.failed_rate,
        },
        "margins": [_margin(each) for each in found.margins],
        "days": None if days is None else [_day(each) for each in days],
    }  # fmt: skip


def _outstanding(owed: Outstanding) -> dict[str, int]:
    return {"available": owed.available, "held": owed.held, "bought": owed.bought, "debt": owed.debt}


def _revenue(money: Revenue, users: int) -> dict[str, int | None]:
    return {
        "payments": money.payments, "payers": money.payers, "gross": money.gross, "refunds": money.refunds,
        "refunded": money.refunded, "disputes": money.disputes, "disputed": money.disputed, "net": money.net,
        "per_paying_user": money.per_paying_user, "per_user": money.per_user(users),
    }  # fmt: skip


def _margin(row: Margin) -> dict[str, Any]:
    return {
        "action": row.action, "wallet": row.wallet, "jobs": row.jobs, "charged": row.charged, "bought": row.bought,
        "worth": dict(row.worth), "attempts": row.attempts, "unknown": row.unknown, "cost_micros": row.cost_micros,
    }  # fmt: skip


def _day(each: Day) -> dict[str, Any]:
    return {
        "day": str(each.day), "users": each.users, "jobs": each.jobs, "spent": each.spent, "gross": each.gross,
    }  # fmt: skip


def asked(since: datetime | None, until: datetime | None, *, by_day: bool) -> dict[str, Any]:
    """Read the figures of a span and render them."""
    span = {"since": since and since.astimezone(UTC), "until": until and until.astimezone(UTC)}
    with readings() as session:
        found = books.metrics(session, **span)
        days = books.by_day(session, since=found.since, until=found.until) if by_day else None
    return render(found, days)


@api.get("/metrics", responses={200: MetricsView, 401: Problem, 403: Problem, 422: Problem})
def show(query: MetricsQuery) -> dict[str, Any]:
    """How the business went: users, jobs, credits and money of a span, and what users could still use up now."""
    return asked(query.since, query.until, by_day=query.by == "day")
