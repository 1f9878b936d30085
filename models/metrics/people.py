"""Users: how many there are, come, do something, begin to pay and stop."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, case, exists, func, or_, select, union

from models.jobs import Job, Status
from models.metrics.spans import Span
from models.payments.tables import Payment, PaymentState
from models.plans import Origin, Subscription
from models.spends import Spend
from models.users import User


@dataclass(frozen=True, slots=True)
class Users:
    """`total` had an account when the span ended, `new` signed up in it, `active` submitted a job or spent in it."""

    total: int
    new: int
    active: int


@dataclass(frozen=True, slots=True)
class Conversion:
    """Of those who `signed_up` in the span, how many have ever `paid`, by now: a payment of more than nothing came,
    whatever went back later."""

    signed_up: int
    paid: int

    @property
    def rate(self) -> float | None:
        return ratio(self.paid, self.signed_up)


@dataclass(frozen=True, slots=True)
class Churn:
    """Users with a plan that is paid for: `at_start` and `at_end` of the span; `lost` had one at its start and have
    none at its end, `gained` the other way round. Whoever changes plans, or leaves and is back before the end, is not
    lost. `rate` is `lost` of `at_start`."""

    at_start: int
    lost: int
    gained: int
    at_end: int

    @property
    def rate(self) -> float | None:
        return ratio(self.lost, self.at_start)


def ratio(part: int, whole: int) -> float | None:
    """A part of a whole, to four places; None of nothing."""
    return round(part / whole, 4) if whole else None


def users(span: Span) -> Users:
    there = select(func.count()).where(
        User.created_at < span.until, or_(User.closed_at.is_(None), User.closed_at >= span.until)
    )
    new = select(func.count()).where(*span.made(User.id, User.created_at))
    busy = union(
        select(Job.user_id).where(*span.made(Job.id, Job.created_at)),
        select(Spend.user_id).where(*span.made(Spend.id, Spend.created_at)),
    ).subquery()
    counted = (there, new, select(func.count()).select_from(busy))
    total, newcomers, active = (int(span.session.execute(each).scalar_one()) for each in counted)
    return Users(total=total, new=newcomers, active=active)


def conversion(span: Span) -> Conversion:
    has_paid = exists().where(Payment.user_id == User.id, Payment.state == PaymentState.succeeded, Payment.amount > 0)
    row = span.session.execute(
        select(func.count(), func.count().filter(has_paid)).where(*span.made(User.id, User.created_at))
    ).one()
    return Conversion(signed_up=int(row[0]), paid=int(row[1]))


def churn(span: Span) -> Churn:
    first, last = (
        func.max(
            case(
                (
                    and_(
                        Subscription.started_at < at,
                        or_(Subscription.ended_at.is_(None), Subscription.ended_at >= at),
                    ),
                    1,
                ),
                else_=0,
            )
        )
        for at in (span.since, span.until)
    )
    had = (
        select(first.label("first"), last.label("last"))
        .where(Subscription.origin == Origin.payment)
        .group_by(Subscription.user_id)
        .subquery()
    )
    sums = (func.sum(had.c.first), func.sum(had.c.last), func.sum(had.c.first * had.c.last))
    at_start, at_end, both = (int(total or 0) for total in span.session.execute(select(*sums)).one())
    return Churn(at_start=at_start, lost=at_start - both, gained=at_end - both, at_end=at_end)


def outcomes(span: Span) -> dict[str, dict[Status, int]]:
    """How many of the jobs that were submitted in the span stand how by now, by action."""
    rows = span.session.execute(
        select(Job.action, Job.status, func.count())
        .where(*span.made(Job.id, Job.created_at))
        .group_by(Job.action, Job.status)
        .order_by(Job.action)
    )
    found: dict[str, dict[Status, int]] = {}
    for action, status, number in rows:
        found.setdefault(action, {})[status] = number
    return found


def spends(span: Span) -> dict[str, int]:
    """How many spends there were in the span, by action."""
    rows = span.session.execute(
        select(Spend.action, func.count())
        .where(*span.made(Spend.id, Spend.created_at))
        .group_by(Spend.action)
        .order_by(Spend.action)
    )
    return {action: int(number) for action, number in rows}
