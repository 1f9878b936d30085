"""Pages: long lists, read in pieces by their key rather than by counting, so that new rows shift nothing.

A page costs the same however long its list is and however deep it lies: its rows are next to each other in an index, in
the order in which they are shown. Filters that no index knows are looked at row by row, so many to a page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.database import is_postgresql
from models.errors import Fault, InvalidInput

MOST_PER_PAGE = 100

MOST_LOOKED_AT = 10_000
"""Rows that one page looks through where no index helps: what fits nothing costs no more than that."""

ENDS: dict[type, tuple[Any, Any]] = {int: (0, 2**63 - 1), UUID: (UUID(int=0), UUID(int=2**128 - 1))}
"""Below and above every key there is, by its type."""

Row = TypeVar("Row")
Key = TypeVar("Key", int, str)
Id = TypeVar("Id", int, UUID)


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


def check(limit: int) -> None:
    """Raise `InvalidInput` unless a page may have so many rows."""
    if not 1 <= limit <= MOST_PER_PAGE:
        raise InvalidInput(Fault("limit", f"expected 1 to {MOST_PER_PAGE}"))


def newest(
    session: Session,
    query: Select[Any],
    key: InstrumentedAttribute[Id],
    *,
    owner: tuple[InstrumentedAttribute[Any], Any] | None = None,
    filters: Sequence[ColumnElement[bool]] = (),
    limit: int,
    after: Id | None = None,
) -> tuple[list[Any], Id | None]:
    """Rows in falling order of `key` from just below `after`; with the key to go on from, None at the end.

    `owner` is a column and whose rows in it, which an index finds together with the key. `filters` are looked at row by
    row: a page with some can be shorter than `limit`, or empty, before the end, where they let little through, and
    looking goes on with the next page.
    """
    check(limit)
    down_to = _down_to(session, key, owner, after) if filters else None
    where, order = _place(session, key, owner, after, down_to)
    if owner is not None and is_postgresql(session):
        # The keys first, which the index alone tells where vacuum keeps up: for whole rows PostgreSQL may rather fetch
        # all of the owner's and sort them.
        keys = select(key).where(*where, *filters).order_by(*order).limit(limit + 1)
        query = query.where(key.in_(keys)).order_by(key.desc())
    else:
        query = query.where(*where, *filters).order_by(*order).limit(limit + 1)
    rows = session.execute(query).all()
    found = [row[0] if len(row) == 1 else row for row in rows]
    if len(found) > limit:
        return found[:limit], getattr(found[limit - 1], key.key)
    return found, down_to


def _down_to(
    session: Session,
    key: InstrumentedAttribute[Id],
    owner: tuple[InstrumentedAttribute[Any], Any] | None,
    after: Id | None,
) -> Id | None:
    """The last key that a page with filters looks at, None when it looks at all that are left."""
    where, order = _place(session, key, owner, after, None)
    return session.scalar(select(key).where(*where).order_by(*order).offset(MOST_LOOKED_AT - 1).limit(1))


def _place(
    session: Session,
    key: InstrumentedAttribute[Id],
    owner: tuple[InstrumentedAttribute[Any], Any] | None,
    after: Id | None,
    down_to: Id | None,
) -> tuple[list[ColumnElement[bool]], list[ColumnElement[Any]]]:
    """The rows between two keys, and their order, newest first."""
    if owner is None or not is_postgresql(session):
        where: list[ColumnElement[bool]] = []
        if owner is not None:
            where.append(owner[0] == owner[1])
        if after is not None:
            where.append(key < after)
        if down_to is not None:
            where.append(key >= down_to)
        return where, [key.desc()]
    # With an equal sign PostgreSQL may walk the whole table by its key instead, which looks cheap to it for an owner of
    # many rows, and is not when all of them are long ago.
    column, whose = owner
    pair, (least, highest) = tuple_(column, key), ENDS[key.type.python_type]
    lower = pair >= (whose, least if down_to is None else down_to)
    upper = pair < (whose, highest if after is None else after)
    return [lower, upper], [column.desc(), key.desc()]


def _page(
    session: Session, query: Select[Row], key: InstrumentedAttribute[Key], limit: int
) -> tuple[list[Row], Key | None]:
    check(limit)
    rows: Any = session.scalars(query.limit(limit + 1)).all()
    found = list(rows[:limit])
    return found, getattr(found[-1], key.key) if len(rows) > limit else None
