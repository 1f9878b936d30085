"""The desk: what the gateway has told, as the people of the house see it, and telling it again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import and_, or_, select
from sqlalchemy.orm import Session

from models import audit_log
from models.audit_log import By
from models.errors import Fault, InvalidInput, NotFound
from models.pages import MOST_PER_PAGE
from models.payments import inbox
from models.payments.inbox import EventState, GatewayEvent


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events are asked for; None is all."""

    state: EventState | None = None
    type: str | None = None
    object_id: str | None = None


def page(
    session: Session, *, wanted: Wanted, limit: int, after: str | None = None
) -> tuple[list[GatewayEvent], str | None]:
    """Events, the last received first, from just after the event `after`; with the id to go on from, None at the end.

    Their ids are the gateway's and in no order, so that the time goes before them. Raises `InvalidInput` when there is
    no event `after`.
    """
    if not 1 <= limit <= MOST_PER_PAGE:
        raise InvalidInput(Fault("limit", f"expected 1 to {MOST_PER_PAGE}"))
    query = select(GatewayEvent)
    for column, value in (
        (GatewayEvent.state, wanted.state), (GatewayEvent.type, wanted.type),
        (GatewayEvent.object_id, wanted.object_id),
    ):  # fmt: skip
        if value is not None:
            query = query.where(column == value)
    if after is not None:
        at = session.scalar(select(GatewayEvent.received_at).where(GatewayEvent.id == after))
        if at is None:
            raise InvalidInput(Fault("after", "there is no such event"))
        same = and_(GatewayEvent.received_at == at, GatewayEvent.id < after)
        query = query.where(or_(GatewayEvent.received_at < at, same))
    ordered = query.order_by(GatewayEvent.received_at.desc(), GatewayEvent.id.desc())
    rows = session.scalars(ordered.limit(limit + 1)).all()
    return list(rows[:limit]), rows[limit - 1].id if len(rows) > limit else None


def replay(session: Session, *, by: By, event_id: str, reason: str | None) -> GatewayEvent:
    """Have an event handled once more, whatever became of it, and write down who wanted that.

    An event is only a hint where to look: what has been done about its object is not done again. Locks the event.
    Raises `NotFound`.
    """
    event = _find(session, event_id)
    before = {"state": event.state, "attempts": event.attempts, "trouble": event.trouble}
    inbox.replay(session, event_id)
    session.refresh(event)
    audit_log.record(
        session, by=by, verb="event.replay", target=f"event:{event_id}", before=before,
        after={"state": event.state, "attempts": event.attempts}, reason=reason,
    )  # fmt: skip
    return event


def _find(session: Session, event_id: str) -> GatewayEvent:
    event = session.scalar(select(GatewayEvent).where(GatewayEvent.id == event_id).with_for_update())
    if event is None:
        raise NotFound("There is no such event.")
    return event
