"""Cancellation: what the owner of a job may still stop."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models.errors import NotCancelable, NotFound
from models.jobs.runs import end
from models.jobs.snapshots import Snapshot, get
from models.jobs.tables import LIVE, Job, Status


def cancel_waiting(session: Session, *, user_id: UUID) -> int:
    """Cancel all of a user's jobs that nobody has begun, with a full refund, and return how many jobs are left to run.

    Locks the jobs, but for those that somebody else is busy with, then as `end` does.
    """
    # Those in line first, or each that ends would call one of them in vain.
    waiting = select(Job.id).where(Job.user_id == user_id, Job.status == Status.queued)
    waiting = waiting.order_by(Job.waits_for.is_(None), Job.id)
    for job_id in session.scalars(waiting.with_for_update(skip_locked=True, key_share=True)).all():
        end(session, job_id, Status.canceled, charge=0, token=None)
    live = select(func.count()).where(Job.user_id == user_id, Job.status.in_(LIVE))
    return session.execute(live).scalar_one()


def request_cancel(session: Session, *, user_id: UUID, job_id: UUID) -> Snapshot:
    """Cancel a job of this user.

    A queued job ends at once with a full refund. A running one becomes `canceling`: its worker stops it and settles by
    how far it came. Asking again changes nothing. Locks the job, then as `end` does. Raises `NotFound`, also for jobs
    of others, and `NotCancelable` once the job has ended in another way.
    """
    status = session.scalar(
        select(Job.status).where(Job.id == job_id, Job.user_id == user_id).with_for_update(key_share=True)
    )
    if status is None:
        raise NotFound("There is no such job.")
    if status is Status.queued:
        end(session, job_id, Status.canceled, charge=0, token=None)
    elif status is Status.running:
        session.execute(
            update(Job)
            .where(Job.id == job_id)
            .values(status=Status.canceling, version=Job.version + 1)
            .execution_options(synchronize_session=False)
        )
    elif status not in (Status.canceling, Status.canceled):
        how = "ended" if status is Status.expired else status
        raise NotCancelable(f"This job has already {how}.", job_status=status)
    return get(session, user_id=user_id, job_id=job_id)
