"""Errands: what a worker is to ask of the gateway for somebody, and what came of it.

Whoever asks stores an errand and waits a bounded time for it to end. Its id is in the key of every call it leads to, so
one that is run twice is done once.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, select, text, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import outbox, retention, users
from models.database import DAY_SECONDS, AwareDateTime, Base, Json, insert_into, least_id, moment, new_id, now, words
from models.errors import NotFound, Underway
from models.payments.tables import GATEWAY_ID

RUN_TASK = "payments.run_errand"
QUEUE = "payments"

PATIENCE_SECONDS = 15 * 60
"""How long an errand is tried while the gateway does not answer."""

KEPT_SECONDS = 30 * DAY_SECONDS

WAITING = "state = 'waiting'"
ONE_AT_A_TIME = "state = 'waiting' AND kind <> 'portal'"


class ErrandKind(StrEnum):
    """`portal`: the way to the customer's own page. `undo`: end and pay back a subscription that is one too many."""

    portal = "portal"
    change_plan = "change_plan"
    cancel = "cancel"
    resume = "resume"
    refund = "refund"
    undo = "undo"


class ErrandState(StrEnum):
    waiting = "waiting"
    done = "done"
    failed = "failed"


class Errand(Base):
    """One errand of a user. `about` is what it is about at the gateway, and one thing has one errand at a time.

    `answer` is what the gateway said; `problem` a stable code for why it was not done.
    """

    __tablename__ = "errands"
    __table_args__ = (
        CheckConstraint("(ended_at IS NULL) = (state = 'waiting')", name="ended_with_an_end"),
        Index("ix_errands_user_id_id", "user_id", "id"),
        Index("ix_errands_waiting", "created_at", postgresql_where=text(WAITING), sqlite_where=text(WAITING)),
        Index(
            "uq_errands_about_waiting", "about", unique=True,
            postgresql_where=text(ONE_AT_A_TIME), sqlite_where=text(ONE_AT_A_TIME),
        ),
    )  # fmt: skip

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    kind: Mapped[ErrandKind] = mapped_column(words(ErrandKind, "kind"))
    about: Mapped[str] = mapped_column(String(GATEWAY_ID))
    details: Mapped[dict[str, Any]] = mapped_column(Json)
    state: Mapped[ErrandState] = mapped_column(words(ErrandState, "state"), default=ErrandState.waiting)
    answer: Mapped[dict[str, Any] | None] = mapped_column(Json)
    problem: Mapped[str | None] = mapped_column(String(100))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    ended_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


def send(session: Session, kind: ErrandKind, *, user_id: UUID, about: str, **details: Any) -> Errand:
    """Store an errand and have a worker run it. Raises `Underway` while another one is about the same thing."""
    statement = insert_into(session, Errand).values(
        id=new_id(), user_id=user_id, kind=kind, about=about, details=details, state=ErrandState.waiting
    )
    one_at_a_time = statement.on_conflict_do_nothing(index_elements=[Errand.about], index_where=text(ONE_AT_A_TIME))
    made: Errand | None = session.scalar(one_at_a_time.returning(Errand))
    if made is None:
        raise Underway("The last change is still under way: wait for it to end.")
    _have_run(session, made.id)
    return made


def open_portal(session: Session, *, user_id: UUID, return_url: str) -> Errand:
    """Have the way to the customer's own page opened. Locks the user; raises `NotFound` when the account is gone."""
    users.lock_open(session, user_id)
    return send(session, ErrandKind.portal, user_id=user_id, about=f"portal:{user_id}", return_url=return_url)


def get(session: Session, *, user_id: UUID, errand_id: UUID) -> Errand:
    """A user's errand. Raises `NotFound`."""
    found = session.scalar(select(Errand).where(Errand.id == errand_id, Errand.user_id == user_id))
    if found is None:
        raise NotFound("There is nothing of this id.")
    return found


def find(session: Session, errand_id: UUID) -> Errand:
    """Anybody's errand. Raises `NotFound`."""
    found = session.get(Errand, errand_id, populate_existing=True)
    if found is None:
        raise NotFound("There is nothing of this id.")
    return found


def waiting(session: Session, errand_id: UUID) -> Errand | None:
    """The errand, if it is still to be run."""
    return session.scalar(select(Errand).where(Errand.id == errand_id, Errand.state == ErrandState.waiting))


def is_owed(session: Session, *, user_id: UUID) -> bool:
    """Whether the gateway is still to give something back to a user."""
    owed = (Errand.state == ErrandState.waiting, Errand.kind.in_([ErrandKind.refund, ErrandKind.undo]))
    return session.scalar(select(Errand.id).where(Errand.user_id == user_id, *owed).limit(1)) is not None


def end(session: Session, errand_id: UUID, *, answer: dict[str, Any] | None = None, problem: str | None = None) -> bool:
    """Note what came of an errand, done or with a `problem`, and say whether that is news."""
    state = ErrandState.failed if problem else ErrandState.done
    ended = (
        update(Errand)
        .where(Errand.id == errand_id, Errand.state == ErrandState.waiting)
        .values(state=state, answer=answer, problem=problem, ended_at=now())
        .returning(Errand.id)
    )
    return session.scalar(ended.execution_options(synchronize_session=False)) is not None


def forgotten(session: Session, *, limit: int, older_than: float) -> int:
    """Have the errands run that still wait after `older_than` seconds; those that waited too long fail.

    Returns how many there were, up to `limit`.
    """
    query = select(Errand.id, Errand.created_at <= now(-PATIENCE_SECONDS)).where(
        Errand.state == ErrandState.waiting, Errand.created_at <= now(-older_than)
    )
    found = session.execute(query.order_by(Errand.created_at).limit(limit)).all()
    for errand_id, too_late in found:
        if too_late:
            end(session, errand_id, problem="gateway_unavailable")
        else:
            _have_run(session, errand_id)
    return len(found)


def forget_old(session: Session, *, limit: int) -> int:
    """Delete up to `limit` errands that have ended and were sent long ago, the oldest first, and return how many."""
    old = (Errand.id < least_id(moment(session, plus=-KEPT_SECONDS)), Errand.ended_at.is_not(None))
    return retention.delete_first(session, Errand.id, *old, order=[Errand.id], limit=limit)


def _have_run(session: Session, errand_id: UUID) -> None:
    message = outbox.message(task=RUN_TASK, queue=QUEUE, args=[str(errand_id)], task_id=f"errand-{errand_id}")
    outbox.stage(session, message)
