"""What the mock gateway keeps: its own customers, pages, intents and so on, as real-shaped JSON.

They are the mock's, as Stripe's are Stripe's: no verb of the product reads them. `worker/payments/mock/` does, and the
page on which people pay with test cards (`web/mock_checkout.py`).

Members of `data` whose names begin with `_` are nobody's business but the mock's, and left out of what it shows:
`_due` is when something is to be done about the object, in seconds of the epoch.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import outbox
from models.database import AwareDateTime, Base, Json, insert_into, moment, now
from models.errors import NotFound
from models.payments.tables import GATEWAY_ID

POST_TASK = "payments.post_mock_event"
CHECKOUT_TASK = "payments.mock_checkout"
QUEUE = "payments"

REQUEST = "request"
"""The kind of a row that remembers what a call with an idempotency key came to."""

EVENT = "event"

FORGOTTEN_AFTER_SECONDS = (60, 3600)
"""From when until when an event is looked after: before, its own task may have it; later, the reconciliation."""


class MockObject(Base):
    """One object of the mock gateway, or what came of a call with the idempotency key `key`."""

    __tablename__ = "mock_objects"
    __table_args__ = (Index("ix_mock_objects_kind_changed_at", "kind", "changed_at"),)

    id: Mapped[str] = mapped_column(String(GATEWAY_ID), primary_key=True)
    kind: Mapped[str] = mapped_column(String(50))
    key: Mapped[str | None] = mapped_column(String(GATEWAY_ID), unique=True)
    data: Mapped[dict[str, Any]] = mapped_column(Json)
    changed_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


class KeyReused(Exception):
    """An idempotency key came with another call before."""


def claim_key(session: Session, *, request_id: str, key: str, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Take an idempotency key, or return what the call came to that took it before.

    One that is at work at this moment is waited for. Raises `KeyReused` when that call asked for something else.
    """
    statement = insert_into(session, MockObject).values(
        id=request_id, kind=REQUEST, key=key, data={"asked": dict(asked)}, changed_at=now()
    )
    if session.scalar(statement.on_conflict_do_nothing(index_elements=[MockObject.key]).returning(MockObject.id)):
        return None
    earlier = session.execute(select(MockObject.data).where(MockObject.key == key)).scalar_one()
    if earlier["asked"] != dict(asked):
        raise KeyReused(key)
    answer: dict[str, Any] = earlier["answer"]
    return answer


def answer_key(session: Session, *, key: str, asked: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """Remember what the call that took a key came to."""
    session.execute(
        update(MockObject)
        .where(MockObject.key == key)
        .values(data={"asked": dict(asked), "answer": dict(answer)})
        .execution_options(synchronize_session=False)
    )


def add(session: Session, *, object_id: str, kind: str, data: Mapping[str, Any]) -> None:
    session.execute(insert(MockObject).values(id=object_id, kind=kind, data=dict(data), changed_at=now()))


def find(session: Session, object_id: str, *, lock: bool = False) -> dict[str, Any] | None:
    """An object by its id; locked, if it is going to be changed."""
    query = select(MockObject.data).where(MockObject.id == object_id)
    return session.scalar(query.with_for_update() if lock else query)


def get(session: Session, object_id: str) -> dict[str, Any]:
    """An object by its id. Raises `NotFound`."""
    found = find(session, object_id)
    if found is None or "object" not in found:
        raise NotFound("There is no such page.")
    return found


def version(session: Session, object_id: str) -> datetime | None:
    """When an object last changed; None while there is none."""
    return session.scalar(select(MockObject.changed_at).where(MockObject.id == object_id))


def change(session: Session, *, object_id: str, data: Mapping[str, Any]) -> None:
    session.execute(
        update(MockObject)
        .where(MockObject.id == object_id)
        .values(data=dict(data), changed_at=now())
        .execution_options(synchronize_session=False)
    )


def where(session: Session, kind: str, **members: str) -> list[dict[str, Any]]:
    """The objects of a kind whose members have these values, oldest first."""
    query = select(MockObject.data).where(MockObject.kind == kind)
    for name, value in members.items():
        query = query.where(MockObject.data[name].as_string() == value)
    return sorted(session.scalars(query).all(), key=lambda data: (data["created"], data["id"]))


def changed_since(session: Session, since: datetime, *, kinds: Collection[str]) -> Sequence[tuple[str, str]]:
    """Kind and id of the objects that changed since then."""
    rows = session.execute(
        select(MockObject.kind, MockObject.id)
        .where(MockObject.kind.in_(kinds), MockObject.changed_at >= since)
        .order_by(MockObject.changed_at, MockObject.id)
    ).all()
    return [(kind, object_id) for kind, object_id in rows]


def due(session: Session, *, limit: int) -> Sequence[tuple[str, str]]:
    """Kind and id of objects about which something is to be done by now, those first that wait longest."""
    at = MockObject.data["_due"].as_float()
    rows = session.execute(
        select(MockObject.kind, MockObject.id).where(at <= moment(session).timestamp()).order_by(at).limit(limit)
    ).all()
    return [(kind, object_id) for kind, object_id in rows]


def emit(session: Session, event: Mapping[str, Any]) -> None:
    """Keep an event, and have it posted to the webhook once this transaction commits."""
    add(session, object_id=event["id"], kind=EVENT, data=event)
    have_posted(session, event["id"])


def have_posted(session: Session, event_id: str, *, delay: float = 0) -> None:
    """Have an event posted to the webhook, after `delay` seconds."""
    posting = outbox.message(task=POST_TASK, queue=QUEUE, args=[event_id], task_id=f"post-{event_id}"[:64])
    outbox.stage(session, posting, delay=delay)


def undelivered(session: Session) -> list[dict[str, Any]]:
    """The events that no webhook has taken yet, oldest first."""
    return [event for event in where(session, EVENT) if event["pending_webhooks"]]


def forgotten(session: Session, *, limit: int) -> Sequence[str]:
    """The ids of events whose post was lost with the worker that had it: kept for a minute, and not yet tried."""
    tried = MockObject.data["_attempts"].as_integer()
    recently = MockObject.changed_at.between(now(-FORGOTTEN_AFTER_SECONDS[1]), now(-FORGOTTEN_AFTER_SECONDS[0]))
    waits = MockObject.data["pending_webhooks"].as_integer() == 1
    query = select(MockObject.id).where(MockObject.kind == EVENT, recently, waits, tried.is_(None))
    return session.scalars(query.order_by(MockObject.changed_at, MockObject.id).limit(limit)).all()


def press(session: Session, *, object_id: str, outcome: str, card: str = "") -> None:
    """Have done what somebody did on the page of `id`; a worker plays the bank."""
    message = outbox.message(
        task=CHECKOUT_TASK, queue=QUEUE, args=[object_id, outcome, card], task_id=f"pressed-{object_id}"[:64]
    )
    outbox.stage(session, message)
