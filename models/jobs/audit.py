"""The jobs' audit: each ended job has exactly one outcome, each live one exactly its hold, slots add up, and
no attempt claims what another did."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import case, func, or_, select
from sqlalchemy.orm import Session

from models.jobs import attempts
from models.jobs.tables import LIVE, Job, JobSlots
from models.ledger import Reason, Transfer


def findings(session: Session) -> Iterator[str]:
    """Every disagreement between jobs and ledger, one sentence each. Run it in a transaction with one snapshot."""
    yield from _jobs_against_transfers(session)
    yield from _holds_without_jobs(session)
    yield from _slots_against_jobs(session)
    yield from attempts.findings(session)


def _jobs_against_transfers(session: Session) -> Iterator[str]:
    def moved(reason: Reason) -> object:
        return func.sum(case((Transfer.reason == reason, Transfer.amount), else_=0)).label(reason.value)

    sums = (
        select(Transfer.job_id, *(moved(r) for r in (Reason.hold, Reason.settle, Reason.release)))
        .where(Transfer.job_id.is_not(None))
        .group_by(Transfer.job_id)
        .subquery()
    )
    pairs = ((Job.held, sums.c.hold), (Job.charged, sums.c.settle), (Job.refunded, sums.c.release))
    for row in session.execute(
        select(Job.id, Job.status, Job.held, Job.charged, Job.refunded, sums.c.hold, sums.c.settle, sums.c.release)
        .outerjoin(sums, sums.c.job_id == Job.id)
        .where(or_(*(fact != func.coalesce(proof, 0) for fact, proof in pairs)))
    ):
        yield (
            f"job {row.id} ({row.status}) says held {row.held}, charged {row.charged}, refunded {row.refunded}; "
            f"its transfers say {row.hold or 0}, {row.settle or 0}, {row.release or 0}"
        )


def _holds_without_jobs(session: Session) -> Iterator[str]:
    for job_id in session.scalars(
        select(Transfer.job_id)
        .outerjoin(Job, Job.id == Transfer.job_id)
        .where(Transfer.job_id.is_not(None), Job.id.is_(None))
        .distinct()
    ):
        yield f"transfers name job {job_id}, which does not exist"


def _slots_against_jobs(session: Session) -> Iterator[str]:
    live = select(Job.user_id, func.count().label("jobs")).where(Job.status.in_(LIVE)).group_by(Job.user_id).subquery()
    for row in session.execute(
        select(JobSlots.user_id, JobSlots.taken, live.c.jobs)
        .outerjoin(live, live.c.user_id == JobSlots.user_id)
        .where(JobSlots.taken != func.coalesce(live.c.jobs, 0))
    ):
        yield f"user {row.user_id} has {row.taken} slots taken and {row.jobs or 0} unfinished jobs"
