"""The outbox: messages that a transaction wants sent, stored with it so that neither can be lost without the other.

A message is only a wake-up: a task's name and ids. `due_at` is when the sweep may take a row: a fresh row leaves the
process that staged it a few seconds to publish it itself, a retry sleeps until its back-off is over, and a row that a
sweep has taken is out of the way of other sweeps meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, CTE, String, Uuid, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column
from structlog.contextvars import get_contextvars

from models.database import AwareDateTime, Base, Json, Lone, Prepared, Sender, is_postgresql, new_id, now

LONGEST_REQUEST_ID = 64

GRACE_SECONDS = 10
"""How long the process that staged a message has to publish it before a sweep does."""

STAGED = "staged_messages"
"""Where a session keeps the messages it staged, for the relay to take once they are committed."""


class Outbox(Base):
    """One message to be published at least once."""

    __tablename__ = "outbox"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    task: Mapped[str] = mapped_column(String(100))
    task_id: Mapped[str] = mapped_column(String(64))
    queue: Mapped[str] = mapped_column(String(50))
    args: Mapped[list[str]] = mapped_column(Json)
    request_id: Mapped[str | None] = mapped_column(String(LONGEST_REQUEST_ID))
    due_at: Mapped[datetime] = mapped_column(AwareDateTime, index=True)


@dataclass(frozen=True, slots=True)
class Message:
    """A wake-up on its way to the broker. `task_id` is what Flower shows, `request_id` what log lines say that go back
    to the same request."""

    id: UUID
    task: str
    task_id: str
    queue: str
    args: tuple[str, ...]
    request_id: str | None = None


def message(*, task: str, queue: str, args: Sequence[str], task_id: str) -> Message:
    """A message with an id of its own, not stored yet; it goes back to the request that this code works for."""
    return Message(new_id(), task, task_id, queue, tuple(args), current_request())


def current_request() -> str | None:
    """The request that this code works for, as its log lines name it; None when it works for none."""
    bound = get_contextvars().get("request_id")
    return str(bound)[:LONGEST_REQUEST_ID] if bound else None


def stage(session: Session, *messages: Message, delay: float = 0) -> None:
    """Store messages with the caller's transaction; with a `delay`, in seconds, they sleep until a sweep finds them."""
    if not messages:
        return
    rows = [
        {
            "id": m.id, "task": m.task, "task_id": m.task_id, "queue": m.queue, "args": list(m.args),
            "request_id": m.request_id,
        }
        for m in messages
    ]  # fmt: skip
    session.execute(insert(Outbox).values(due_at=now(delay or GRACE_SECONDS)), rows)
    if not delay:
        staged(session, *messages)


def staged(session: Sender, *messages: Message) -> None:
    """Note messages for the relay to publish right after this session commits."""
    session.info.setdefault(STAGED, []).extend(messages)


def staging(after: CTE) -> CTE:
    """Store one message as a step of a larger statement, once for each row of `after`; parameters start `message_`."""
    columns = ("id", "task", "task_id", "queue", "args", "request_id", "due_at")
    values = select(
        *(bindparam(f"message_{name}", type_=Outbox.__table__.c[name].type) for name in columns[:-1]),
        now(GRACE_SECONDS),
    ).select_from(after)
    return insert(Outbox).from_select(columns, values).cte("staged")


def take_due(session: Session, *, limit: int) -> list[Message]:
    """Take up to `limit` due messages for publishing, and keep other sweeps off them for the grace period."""
    due = (
        select(Outbox.id)
        .where(Outbox.due_at <= now())
        .order_by(Outbox.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    rows: Sequence[Any] = session.execute(
        update(Outbox)
        .where(Outbox.id.in_(select(due.c.id)))
        .values(due_at=now(GRACE_SECONDS))
        .returning(Outbox.id, Outbox.task, Outbox.task_id, Outbox.queue, Outbox.args, Outbox.request_id)
    ).all()
    return [Message(row.id, row.task, row.task_id, row.queue, tuple(row.args), row.request_id) for row in rows]


def published(session: Sender, ids: Sequence[UUID]) -> None:
    """Forget messages that the broker has accepted. One statement."""
    if isinstance(session, Lone) or is_postgresql(session):
        _PUBLISHED.run(session, ids=ids)
    else:
        session.execute(delete(Outbox).where(Outbox.id.in_(ids)))


# One statement for any number of ids, or each number would be worked out and planned anew.
_PUBLISHED = Prepared(delete(Outbox).where(Outbox.id == func.any(bindparam("ids", type_=ARRAY(Uuid())))))


def overdue(session: Session) -> bool:
    """Whether something is due that no sweep has published yet. Locks nothing."""
    return session.scalar(select(Outbox.id).where(Outbox.due_at <= now(-GRACE_SECONDS)).limit(1)) is not None
