"""The line: no more of one user's jobs are called at a time than is fair, so that another's first need not wait.

The queues of the broker are first in, first out. A user's jobs within the fair share (`FAIR_SHARE`, over both queues)
have their wake-up published when they are submitted; those beyond it wait in the database, with `waits_for` saying so,
and each one that ends calls the next: a priority one before others, then the oldest. So as many are called as the
share allows, or all there are, and `JobSlots.taken` alone tells whether others wait.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from config import settings
from models import outbox
from models.database import now
from models.jobs.tables import Job, JobSlots, Queue, Status
from models.jobs.wakeups import wake_up
from models.ledger.express import constant

SHARE = "share"
"""What a job beyond its user's share waits for."""

PAGE = 200


def share() -> int:
    """How many unfinished jobs of one user may be called at a time."""
    return settings().called_at_once


def call_next(session: Session, *, user_id: UUID, number: int = 1) -> int:
    """Call up to `number` of a user's jobs that wait for their share, and return how many there were.

    Locks those jobs, but for what somebody else is busy with.
    """
    called = 0
    for queue in (Queue.high, Queue.generation):
        found = (
            select(Job.id)
            .where(*_in_line(), Job.user_id == user_id, Job.queue == queue)
            .order_by(Job.id)
            .limit(number - called)
            .with_for_update(skip_locked=True, key_share=True)
            # Not within the UPDATE, where PostgreSQL may look anew for each row and so find more than the limit.
            .cte("found")
        )
        ids = session.scalars(
            update(Job)
            .where(Job.id.in_(select(found.c.id)))
            .values(waits_for=None, run_after=now())
            .returning(Job.id)
            .execution_options(synchronize_session=False)
        ).all()
        outbox.stage(session, *(wake_up(job_id, queue) for job_id in sorted(ids)))
        called += len(ids)
        if called >= number:
            break
    return called


def call_waiting(session: Session) -> int:
    """Call jobs of users who have fewer called than their share, and return for how many users: a page of them.

    The second net: there are such when a process died between a job's end and its call, or the share has grown. Locks
    those users' slots, but for what somebody else is busy with.
    """
    waiting = select(Job.user_id, func.count().label("jobs")).where(*_in_line()).group_by(Job.user_id).subquery()
    short = session.scalars(
        select(JobSlots.user_id)
        .join(waiting, waiting.c.user_id == JobSlots.user_id)
        .where(JobSlots.taken - waiting.c.jobs < share())
        .order_by(JobSlots.user_id)
        .limit(PAGE)
        .with_for_update(skip_locked=True, key_share=True, of=JobSlots)
    ).all()
    for user_id in short:
        # Counted again under the lock, behind which the user's jobs begin and end.
        called = select(JobSlots.taken).where(JobSlots.user_id == user_id).scalar_subquery()
        in_line = select(func.count()).where(*_in_line(), Job.user_id == user_id).scalar_subquery()
        room = share() - session.execute(select(called - in_line)).scalar_one()
        if room > 0:
            call_next(session, user_id=user_id, number=room)
    return len(short)


def in_line(session: Session) -> int:
    """How many jobs wait for their users' share. Locks nothing."""
    return session.execute(select(func.count()).select_from(Job).where(*_in_line())).scalar_one()


def _in_line() -> tuple[ColumnElement[bool], ...]:
    # Words written into the statement, for then PostgreSQL knows that the partial index will do.
    return Job.status == constant(Status.queued), Job.waits_for == constant(SHARE)
