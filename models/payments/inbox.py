"""The inbox: events of the gateway, each stored once before anything is done about it.

An event is only a hint where to look: a task looks at the object itself, brings our rows in line with it and marks the
event done in the same transaction. What else it said is not kept: it may be out of date, and has names and addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, Index, String, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import outbox, retention
from models.database import DAY_SECONDS, AwareDateTime, Base, insert_into, now, words
from models.errors import NotFound
from models.payments.tables import GATEWAY_ID

HANDLE_TASK = "payments.handle_event"
QUEUE = "payments"

FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 3600.0
MOST_ATTEMPTS = 40
"""Some 30 hours of trying, with these pauses; then somebody has to look."""

MOST_LOOKS = 12
"""Attempts, some three hours, after which what nobody here knows is somebody else's."""

GRACE_SECONDS = 60
"""How long the task of a new event has before the sweep stages it again."""

UNKNOWN = "unknown_object"
"""What is the matter with an event about nothing that is known here, or not yet."""

WAITING = "state = 'received'"


class EventState(StrEnum):
    """`ignored`: of a type that says nothing to us. `failed`: given up; somebody should look, and may replay it."""

    received = "received"
    done = "done"
    ignored = "ignored"
    failed = "failed"


class GatewayEvent(Base):
    """One event, by its id at the gateway. `due_at` is when it may be tried next."""

    __tablename__ = "gateway_events"
    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (state = 'received')", name="ended_with_an_end"),
        Index("ix_gateway_events_due_at", "due_at", postgresql_where=text(WAITING), sqlite_where=text(WAITING)),
        Index("ix_gateway_events_object_id", "object_id"),
        Index("ix_gateway_events_received_at_id", "received_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(GATEWAY_ID), primary_key=True)
    type: Mapped[str] = mapped_column(String(100))
    object_id: Mapped[str] = mapped_column(String(GATEWAY_ID))
    state: Mapped[EventState] = mapped_column(words(EventState, "state"), default=EventState.received)
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    trouble: Mapped[str | None] = mapped_column(String(200))
    received_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


def receive(session: Session, *, event_id: str, event_type: str, object_id: str) -> bool:
    """Store an event and have it handled, and say whether it is new. Locks nothing; again changes nothing."""
    statement = insert_into(session, GatewayEvent).values(
        id=event_id, type=event_type, object_id=object_id, state=EventState.received, attempts=0,
        due_at=now(GRACE_SECONDS),
    )  # fmt: skip
    new = session.scalar(statement.on_conflict_do_nothing(index_elements=[GatewayEvent.id]).returning(GatewayEvent.id))
    if new is None:
        return False
    _have_handled(session, [event_id])
    return True


def waiting(session: Session, event_id: str) -> GatewayEvent | None:
    """The event, if it is still to be handled."""
    return session.scalar(
        select(GatewayEvent).where(GatewayEvent.id == event_id, GatewayEvent.state == EventState.received)
    )


def end(session: Session, event_id: str, state: EventState, *, trouble: str | None = None) -> bool:
    """Note what has become of an event, with the effects it had, and say whether that is news."""
    ended = update(GatewayEvent).where(GatewayEvent.id == event_id, GatewayEvent.state == EventState.received)
    ended = ended.values(state=state, trouble=trouble, attempts=GatewayEvent.attempts + 1, ended_at=now())
    return session.scalar(ended.returning(GatewayEvent.id).execution_options(synchronize_session=False)) is not None


def put_off(session: Session, event_id: str, *, trouble: str, retry_after: float | None = None) -> None:
    """Try an event again later, each time after a longer pause; after `MOST_ATTEMPTS` it has failed, or if nothing
    here is known of what it is about, after `MOST_LOOKS` it is ignored.

    `trouble` is a stable code for what was the matter; `retry_after`, in seconds, is what the gateway asked for.
    """
    event = waiting(session, event_id)
    if event is None:
        return
    if trouble == UNKNOWN and event.attempts + 1 >= MOST_LOOKS:
        end(session, event_id, EventState.ignored, trouble=trouble)
        return
    if event.attempts + 1 >= MOST_ATTEMPTS:
        end(session, event_id, EventState.failed, trouble=trouble)
        return
    pause = max(min(FIRST_PAUSE_SECONDS * 2**event.attempts, LONGEST_PAUSE_SECONDS), retry_after or 0.0)
    later = update(GatewayEvent).where(GatewayEvent.id == event_id, GatewayEvent.state == EventState.received)
    session.execute(
        later.values(attempts=GatewayEvent.attempts + 1, trouble=trouble, due_at=now(pause)).execution_options(
            synchronize_session=False
        )
    )


def handle_due(session: Session, *, limit: int) -> int:
    """Have up to `limit` events handled whose time has come, and return how many. Others skip the rows meanwhile."""
    due = (
        select(GatewayEvent.id)
        .where(GatewayEvent.state == EventState.received, GatewayEvent.due_at <= now())
        .order_by(GatewayEvent.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    later = update(GatewayEvent).where(GatewayEvent.id.in_(select(due.c.id))).values(due_at=now(GRACE_SECONDS))
    found = session.scalars(later.returning(GatewayEvent.id).execution_options(synchronize_session=False)).all()
    _have_handled(session, found)
    return len(found)


def forget_old(session: Session, *, days: int, limit: int) -> int:
    """Delete up to `limit` events that came at least so many days ago and were handled or ignored, the oldest first,
    and return how many. Those that failed stay until somebody has looked. Others skip the rows meanwhile."""
    past = GatewayEvent.received_at < now(-days * DAY_SECONDS)
    handled = GatewayEvent.state.in_([EventState.done, EventState.ignored])
    first = [GatewayEvent.received_at, GatewayEvent.id]
    return retention.delete_first(session, GatewayEvent.id, past, handled, order=first, limit=limit)


def replay(session: Session, event_id: str) -> None:
    """Have an event handled once more, whatever became of it. Raises `NotFound`."""
    again = update(GatewayEvent).where(GatewayEvent.id == event_id)
    again = again.values(state=EventState.received, attempts=0, ended_at=None, due_at=now(GRACE_SECONDS))
    if session.scalar(again.returning(GatewayEvent.id).execution_options(synchronize_session=False)) is None:
        raise NotFound("There is no such event.")
    _have_handled(session, [event_id])


def _have_handled(session: Session, ids: Sequence[str]) -> None:
    # The broker shows the id to whoever watches, which is the gateway's and says nothing about anybody.
    outbox.stage(
        session, *(outbox.message(task=HANDLE_TASK, queue=QUEUE, args=[each], task_id=_task_id(each)) for each in ids)
    )


def _task_id(event_id: str) -> str:
    return f"event-{event_id}"[:64]
