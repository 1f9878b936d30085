"""Spans of time, and how to find what was made in one without reading what was made before or after it.

The large tables have no index by time: it would cost every submission and every transfer. Their keys grow with time
instead, so a span is a range of keys, wider than itself by a day on each side for clocks that disagree; within it the
times decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.database import OUT_OF_ORDER, least_id
from models.ledger import Transfer


@dataclass(frozen=True)
class Span:
    """From `since` to just before `until`."""

    session: Session
    since: datetime
    until: datetime

    def holds(self, moment: InstrumentedAttribute[Any]) -> list[ColumnElement[bool]]:
        """That a moment is in it."""
        return [moment >= self.since, moment < self.until]

    def made(self, key: InstrumentedAttribute[UUID], created_at: InstrumentedAttribute[datetime]) -> list[Any]:
        """That a row whose key is a UUIDv7 was made in it."""
        early, late = least_id(self.since - OUT_OF_ORDER), least_id(self.until + OUT_OF_ORDER)
        return [key >= early, key < late, *self.holds(created_at)]

    @cached_property
    def moved(self) -> list[ColumnElement[bool]]:
        """That a transfer was made in it."""
        early = _last_before(self.session, self.since - OUT_OF_ORDER)
        late = _last_before(self.session, self.until + OUT_OF_ORDER)
        return [Transfer.id > early, Transfer.id <= late, *self.holds(Transfer.created_at)]


def _last_before(session: Session, at: datetime) -> int:
    """The id of a transfer from before `at` whose next is not, by halves: some thirty reads by key. 0 is none."""
    low, high = 0, int(session.scalar(select(func.max(Transfer.id))) or 0)
    while low < high:
        middle = (low + high) // 2
        following = select(Transfer.id, Transfer.created_at).where(Transfer.id > middle).order_by(Transfer.id).limit(1)
        row = session.execute(following).one()
        if row.created_at < at:
            low = row.id
        else:
            high = middle
    return low
