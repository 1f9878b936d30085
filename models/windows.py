"""Windows: counting how often something happens in a stretch of time, in one statement of the database.

The first use begins a window; the first one after it is over begins the next.
"""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import Any

from sqlalchemy import case, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from models.database import insert_into, moment, now


def count(
    session: Session,
    counter: InstrumentedAttribute[int],
    *,
    who: dict[str, Any],
    most: int,
    seconds: float,
    **more: Any,
) -> int | None:
    """Count one use in `who`'s window. None, or when the window is full, in how many seconds it will be over.

    `counter` is the column that counts; its table has `started_at` beside it, and `who` for its key. `more` are columns
    that are set when a window begins. Locks the window until the transaction ends, so uses of one queue up.
    """
    table: Any = counter.class_
    # A window that is to begin after another one would be over is from a clock that was set back. One that begins a
    # little later than now is not: who waited here for another use began before it.
    over = or_(table.started_at <= now(-seconds), table.started_at > now(seconds))
    beginning = {"started_at": now(), **more}
    counted = session.scalar(
        insert_into(session, table)
        .values({**who, counter.key: 1, **beginning})
        .on_conflict_do_update(
            index_elements=list(who),
            set_={
                counter.key: case((over, 1), else_=counter + 1),
                **{name: case((over, value), else_=getattr(table, name)) for name, value in beginning.items()},
            },
            where=over | (counter < most),
        )
        .returning(counter)
    )
    if counted is not None:
        return None
    began: datetime = session.execute(select(table.started_at).filter_by(**who)).scalar_one()
    return max(ceil(seconds - (moment(session) - began).total_seconds()), 1)
