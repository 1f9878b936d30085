"""Retention: how old rows are deleted by the batch, and how far the walks have come that pare down others.

A walk needs no index of its own: keys grow with time, so what is old lies at the front of the primary key. Rows
that are deleted are gone from there; of those that are pared down and stay, the mark says how many were seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, String, delete, select, update
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session, mapped_column

from models.database import DAY_SECONDS, Base, insert_into, least_id, moment

NOTHING_YET = UUID(int=0)


class RetentionMark(Base):
    """Every row of the walk called `name` up to the key `reached` has been seen."""

    __tablename__ = "retention_marks"

    name: Mapped[str] = mapped_column(String(50), primary_key=True)
    reached: Mapped[UUID]


def older_than(session: Session, days: int) -> UUID:
    """Below every key that was made in the last so many days."""
    return least_id(moment(session, plus=-days * DAY_SECONDS))


def delete_first(
    session: Session,
    key: InstrumentedAttribute[Any],
    *where: ColumnElement[bool],
    order: Sequence[InstrumentedAttribute[Any]],
    limit: int,
) -> int:
    """Delete the first `limit` rows, in this order, for which all of `where` holds, and return how many there were.

    Locks them; others skip them meanwhile. They are found in a CTE, as PostgreSQL may look for them more than once
    otherwise, and delete more.
    """
    found = select(key).where(*where).order_by(*order).limit(limit).with_for_update(skip_locked=True).cte("found")
    gone = delete(key.class_).where(key.in_(select(found.c[key.key]))).returning(key)
    return len(session.scalars(gone.execution_options(synchronize_session=False)).all())


def walk(session: Session, key: InstrumentedAttribute[UUID], *, name: str, days: int, limit: int) -> Sequence[UUID]:
    """The next `limit` keys that are at least so many days old, each once.

    The mark moves on with the caller's transaction. Locks it, so that two walks take turns.
    """
    begun = insert_into(session, RetentionMark).values(name=name, reached=NOTHING_YET)
    session.execute(begun.on_conflict_do_nothing(index_elements=[RetentionMark.name]))
    mark = select(RetentionMark.reached).where(RetentionMark.name == name).with_for_update()
    reached = session.execute(mark).scalar_one()
    old = select(key).where(key > reached, key < older_than(session, days)).order_by(key).limit(limit)
    found = session.scalars(old).all()
    if found:
        session.execute(
            update(RetentionMark)
            .where(RetentionMark.name == name)
            .values(reached=found[-1])
            .execution_options(synchronize_session=False)
        )
    return found
