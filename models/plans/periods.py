"""Periods: which day, week or cycle a moment belongs to, and when it ends.

Days and weeks are the product's: they begin at its reset time in its time zone, so a day that daylight saving makes 23
or 25 hours long is still one day. A reset time that a clock skips counts from when it would have been; one that a clock
shows twice is the first of the two. Cycles are a subscription's: months counted from its start, and a month that lacks
the day has its last one instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from dateutil.relativedelta import relativedelta

from models.catalog import Period, Reset

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Window:
    """One period: `key` names it and never returns; it ends when the next one begins."""

    key: str
    starts_at: datetime
    ends_at: datetime


def window(period: Period, reset: Reset, moment: datetime, *, anchor: datetime) -> Window:
    """The period that `moment` belongs to; `anchor` is when the subscription began."""
    if period is Period.cycle:
        return _cycle(anchor, moment)
    first = _first_day(reset, moment)
    if period is Period.daily:
        return Window(first.isoformat(), _begins(reset, first), _begins(reset, first + timedelta(days=1)))
    first -= timedelta(days=(first.weekday() - WEEKDAYS.index(reset.weekday)) % 7)
    return Window(first.isoformat(), _begins(reset, first), _begins(reset, first + timedelta(days=7)))


def months_after(anchor: datetime, months: int) -> datetime:
    """So many months later, on the same day or the month's last."""
    return anchor + relativedelta(months=months)


def _begins(reset: Reset, day: date) -> datetime:
    return datetime.combine(day, reset.time, ZoneInfo(reset.zone)).astimezone(UTC)


def _first_day(reset: Reset, moment: datetime) -> date:
    # Where clocks go back over midnight, a date is shown again after its day has ended; zones have left out whole days.
    day = moment.astimezone(ZoneInfo(reset.zone)).date() + timedelta(days=1)
    while _begins(reset, day) > moment:
        day -= timedelta(days=1)
    return day


def _cycle(anchor: datetime, moment: datetime) -> Window:
    months = max((moment.year - anchor.year) * 12 + moment.month - anchor.month, 0)
    if months and months_after(anchor, months) > moment:
        months -= 1
    return Window(str(months), months_after(anchor, months), months_after(anchor, months + 1))
