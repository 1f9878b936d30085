"""Metrics: how the business went in any span of time, each figure defined where it is counted.

Everything is read as it is now, so the same span asked later can tell more: jobs end, users pay, refunds fail.
Figures of a span cost what happened in it, but for those of money, plans and what is outstanding, which read all
payments, subscriptions, wallets and lots with credits left, and the margins, which read all jobs
(docs/metrics.md). Reading only; locks nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from models.database import moment
from models.errors import Fault, InvalidInput
from models.jobs import Status
from models.margins import Margin, margins
from models.metrics.credits import Moved, Outstanding, moved, outstanding
from models.metrics.days import Day, days
from models.metrics.people import Churn, Conversion, Users, churn, conversion, outcomes, spends, users
from models.metrics.revenue import Attempts, Purchases, Revenue, attempts, purchases, revenue
from models.metrics.spans import Span

__all__ = ["Day", "Metrics", "Moved", "Outstanding", "Revenue", "by_day", "metrics"]

USUAL = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Metrics:
    """All figures of a span from `since` to just before `until`, read `at` a moment."""

    since: datetime
    until: datetime
    at: datetime
    users: Users
    conversion: Conversion
    churn: Churn
    jobs: Mapping[str, Mapping[Status, int]]
    spends: Mapping[str, int]
    credits: Mapping[str, Moved]
    outstanding: Mapping[str, Outstanding]
    revenue: Mapping[str, Revenue]
    purchases: Purchases
    payments: Attempts
    margins: list[Margin]


def metrics(session: Session, *, since: datetime | None = None, until: datetime | None = None) -> Metrics:
    """The figures of a span; up to now and for 30 days unless told. Raises `InvalidInput` naming `until`."""
    span, at = _span(session, since, until)
    return Metrics(
        since=span.since,
        until=span.until,
        at=at,
        users=users(span),
        conversion=conversion(span),
        churn=churn(span),
        jobs=outcomes(span),
        spends=spends(span),
        credits=moved(span),
        outstanding=outstanding(session),
        revenue=revenue(span),
        purchases=purchases(span),
        payments=attempts(span),
        margins=margins(session, since=span.since, until=span.until),
    )


def by_day(session: Session, *, since: datetime | None = None, until: datetime | None = None) -> list[Day]:
    """Some figures of the same span, day by day. Raises `InvalidInput` naming `until`, or `by` for too many days."""
    return days(_span(session, since, until)[0])


def _span(session: Session, since: datetime | None, until: datetime | None) -> tuple[Span, datetime]:
    at = moment(session)
    until = until or at
    since = since or until - USUAL
    if since >= until:
        raise InvalidInput(Fault("until", "expected after `from`"))
    return Span(session, since, until), at
