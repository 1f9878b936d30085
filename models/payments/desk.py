"""The desk: what the gateway has told, as the people of the house see it, and telling it again."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import Session

from models import audit_log, pages
from models.audit_log import By
from models.errors import Fault, InvalidInput, NotFound
from models.payments import inbox
from models.payments.inbox import EventState, GatewayEvent

WHEN = tuple_(GatewayEvent.received_at, GatewayEvent.id)
NEWEST_FIRST = GatewayEvent.received_at.desc(), GatewayEvent.id.desc()


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

    Their ids are the gateway's and in no order, so that the time goes before them. A page with a state or a type can be
    short, or empty, before the end (`pages.newest`). Raises `InvalidInput` when there is no event `after`.
    """
    pages.check(limit)
    place: list[ColumnElement[bool]] = []
    if after is not None:
        at = session.scalar(select(GatewayEvent.received_at).where(GatewayEvent.id == after))
        if at is None:
            raise InvalidInput(Fault("after", "there is no such event"))
        place.append((at, after) > WHEN)
    filters = [
        column == value
        for column, value in ((GatewayEvent.state, wanted.state), (GatewayEvent.type, wanted.type))
        if value is not None
    ]
    last = None
    if wanted.object_id is not None:
        # An object has a few events, and its index finds them wherever they are.
        place.append(GatewayEvent.object_id == wanted.object_id)
    elif filters:
        looked_at = select(GatewayEvent.received_at, GatewayEvent.id).where(*place).order_by(*NEWEST_FIRST)
        last = session.execute(looked_at.offset(pages.MOST_LOOKED_AT - 1).limit(1)).one_or_none()
        if last is not None:
            place.append((last.received_at, last.id) <= WHEN)
    query = select(GatewayEvent).where(*place, *filters).order_by(*NEWEST_FIRST).limit(limit + 1)
    rows = session.scalars(query).all()
    if len(rows) > limit:
        return list(rows[:limit]), rows[limit - 1].id
    return list(rows), None if last is None else last.id


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
