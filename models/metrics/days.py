"""Days: a few of the figures for each day of a span, in UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, func, select

from models.errors import Fault, InvalidInput
from models.jobs import Job
from models.ledger import Reason, Transfer, Wallet
from models.metrics.spans import Span
from models.payments.tables import Payment
from models.users import User

MOST_DAYS = 366


@dataclass(slots=True)
class Day:
    """What happened on one day: sign-ups, jobs submitted, credits charged by wallet, and money that came by currency
    in minor units, before anything went back."""

    day: date
    users: int = 0
    jobs: int = 0
    spent: dict[str, int] = field(default_factory=dict)
    gross: dict[str, int] = field(default_factory=dict)


def days(span: Span) -> list[Day]:
    """Each day that the span touches, those on which nothing happened too. Raises `InvalidInput` naming `by` when
    there are more than `MOST_DAYS`."""
    first, last = span.since.date(), (span.until - timedelta(microseconds=1)).date()
    if (last - first).days >= MOST_DAYS:
        raise InvalidInput(Fault("by", f"expected {MOST_DAYS} days at most"))
    found = {str(day): Day(day) for day in (first + timedelta(days=n) for n in range((last - first).days + 1))}
    for day, number in _by_day(span, User.created_at, func.count(), span.made(User.id, User.created_at)):
        found[str(day)].users = number
    for day, number in _by_day(span, Job.created_at, func.count(), span.made(Job.id, Job.created_at)):
        found[str(day)].jobs = number
    charged = [Transfer.wallet_id == Wallet.id, Transfer.reason.in_([Reason.settle, Reason.spend]), *span.moved]
    for day, amount, kind in _by_day(span, Transfer.created_at, func.sum(Transfer.amount), charged, Wallet.kind):
        found[str(day)].spent[kind] = int(amount)
    paid = [Payment.amount > 0, *span.holds(Payment.paid_at)]
    for day, amount, currency in _by_day(span, Payment.paid_at, func.sum(Payment.amount), paid, Payment.currency):
        found[str(day)].gross[currency] = int(amount)
    return list(found.values())


def _by_day(span: Span, moment: Any, what: Any, where: list[ColumnElement[bool]], *by: Any) -> Any:
    # Connections to PostgreSQL are in UTC, and SQLite keeps times in it.
    day = func.date(moment)
    return span.session.execute(select(day, what, *by).where(*where).group_by(day, *by).order_by(day, *by))
