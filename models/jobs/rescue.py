"""Rescue: jobs whose worker fell silent, whose wake-up got lost, or who waited past their own deadline.

Each verb takes a page and says how many it found, so a caller goes on until there are none. Rows that another rescuer
is busy with are skipped. Jobs are ended user by user in one order, or two sweeps would wait for each other's users.
"""

from __future__ import annotations

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from models import outbox
from models.database import now
from models.jobs.attempts import Ending
from models.jobs.runs import backoff, end, requeue
from models.jobs.tables import Job, Queue, Status
from models.jobs.wakeups import wake_up

PAGE = 200
FORGOTTEN_SECONDS = 30
"""How long a job may be ready and unclaimed before we ask whether its wake-up was lost."""


def rescue_silent(session: Session, *, base_seconds: float) -> int:
    """Deal with jobs whose lease has run out: queue them again, or end them when they may not run any more. Their
    attempts are lost.

    The first loss is nobody's fault and is queued at once; after that the job may be what kills its worker, so it
    waits longer each time (`base_seconds` as in `retry`).
    """
    silent = session.execute(
        select(
            Job.id, Job.user_id, Job.status, Job.queue, Job.attempt, Job.max_attempts, Job.lease_token, Job.held,
            Job.cancel_charge, Job.provider_request_id, (Job.expires_at < now()).label("too_late"),
        )
        .where(Job.status.in_([Status.running, Status.canceling]), Job.lease_until < now())
        .order_by(Job.lease_until)
        .limit(PAGE)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()  # fmt: skip
    for job in sorted(silent, key=lambda job: job.user_id):
        if job.status is Status.canceling:
            charge = job.held * job.cancel_charge // 100 if job.provider_request_id else 0
            end(session, job.id, Status.canceled, charge=charge, token=job.lease_token, ending=Ending.lost)
        elif job.attempt >= job.max_attempts:
            end(
                session, job.id, Status.failed, charge=0, token=job.lease_token, ending=Ending.lost,
                error_code="worker_lost",
                error_message="The work was interrupted too often. Nothing was charged.",
            )  # fmt: skip
        elif job.too_late:
            end(
                session, job.id, Status.failed, charge=0, token=job.lease_token, ending=Ending.lost,
                error_code="deadline_passed",
                error_message="The work was interrupted, and its deadline has passed. Nothing was charged.",
            )  # fmt: skip
        else:
            delay = 0.0 if job.attempt == 1 else backoff(job.attempt, base_seconds)
            requeue(session, job.id, job.queue, token=job.lease_token, delay=delay, ending=Ending.lost)
    return len(silent)


def expire_waiting(session: Session) -> int:
    """End queued jobs that waited past their own deadline, with a full refund."""
    waiting = session.execute(
        select(Job.id, Job.user_id, Job.waits_for)
        .where(Job.status == Status.queued, Job.expires_at <= now())
        .order_by(Job.expires_at)
        .limit(PAGE)
        .with_for_update(skip_locked=True, key_share=True)
    ).all()
    # A user's jobs in line first, or each that ends would call one of them in vain.
    for job in sorted(waiting, key=lambda job: (job.user_id, job.waits_for is None)):
        end(
            session, job.id, Status.expired, charge=0, token=None, error_code="expired",
            error_message="No worker was free in time. Nothing was charged.",
        )  # fmt: skip
    return len(waiting)


def waiting(session: Session, queue: Queue) -> int:
    """How many jobs of a queue have been ready for so long that their wake-up may have got lost."""
    return session.execute(
        select(func.count()).where(
            Job.status == Status.queued,
            Job.queue == queue,
            Job.waits_for.is_(None),
            Job.run_after < now(-FORGOTTEN_SECONDS),
        )
    ).scalar_one()


def wake_again(session: Session, queue: Queue) -> int:
    """Stage a new wake-up for jobs of a queue that were called and are waiting for too long.

    A spare wake-up does no harm. Who waits in line has none yet, and is `line.call_waiting`'s.
    """
    forgotten = (
        select(Job.id)
        .where(
            Job.status == Status.queued,
            Job.queue == queue,
            Job.waits_for.is_(None),
            Job.run_after < now(-FORGOTTEN_SECONDS),
        )
        .order_by(Job.run_after)
        .limit(PAGE)
        .with_for_update(skip_locked=True, key_share=True)
        .cte("forgotten")
    )
    woken = session.scalars(
        update(Job)
        .where(Job.id.in_(select(forgotten.c.id)))
        .values(run_after=now())
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).all()
    outbox.stage(session, *(wake_up(job_id, queue) for job_id in woken))
    return len(woken)
