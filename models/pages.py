"""Pages: long lists, read in pieces by their key rather than by counting, so that new rows shift nothing."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.errors import Fault, InvalidInput

MOST_PER_PAGE = 100

Row = TypeVar("Row")
Key = TypeVar("Key", int, str)


def newest_first(
    session: Session,
    query: Select[Row],
    key: InstrumentedAttribute[int],
    *,
    limit: int,
    after: int | None = None,
) -> tuple[list[Row], int | None]:
    """Rows in falling order of `key` from just below `after`; with the key to go on from, None at the end."""
    if after is not None:
        query = query.where(key < after)
    return _page(session, query.order_by(key.desc()), key, limit)


def by_name(
    session: Session,
    query: Select[Row],
    key: InstrumentedAttribute[str],
    *,
    limit: int,
    after: str | None = None,
) -> tuple[list[Row], str | None]:
    """Rows in rising order of `key` from just above `after`; with the key to go on from, None at the end."""
    if after is not None:
        query = query.where(key > after)
    return _page(session, query.order_by(key), key, limit)


def _page(
    session: Session, query: Select[Row], key: InstrumentedAttribute[Key], limit: int
) -> tuple[list[Row], Key | None]:
    if not 1 <= limit <= MOST_PER_PAGE:
        raise InvalidInput(Fault("limit", f"expected 1 to {MOST_PER_PAGE}"))
    rows: Any = session.scalars(query.limit(limit + 1)).all()
    found = list(rows[:limit])
    return found, getattr(found[-1], key.key) if len(rows) > limit else None
