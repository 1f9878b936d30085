"""Places: jobs at a provider, and jobs that wait for one that is down or full.

A job that cannot be let in is put back: queued again, its attempt given back, with `waits_for` naming the provider and
no message on its way. It still counts to its user's share of those called. Whoever sees that there is room calls it.
`models/providers/` decides; here is what becomes of the job.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, true, update
from sqlalchemy.orm import Session

from models import outbox
from models.database import now
from models.jobs.attempts import Ending
from models.jobs.line import SHARE
from models.jobs.runs import Claim, cancel
from models.jobs.tables import Job, Queue, Status
from models.jobs.wakeups import wake_up
from models.ledger.express import constant

MARGIN_SECONDS = 10.0
"""How long before its deadline a job in line is called for the last time."""


def put_back(session: Session, claim: Claim, *, waits_for: str, error: tuple[str, str] | None = None) -> Ending:
    """Queue a running job again, to wait for a provider until it is called; its attempt did not count.

    `error` is the code and the message that its user sees meanwhile. A canceled job ends as canceled.
    """
    said = {"error_code": error[0], "error_message": error[1]} if error else {}
    row = session.execute(
        update(Job)
        .where(Job.id == claim.job_id, Job.status == Status.running, Job.lease_token == claim.token)
        .values(
            status=Status.queued,
            version=Job.version + 1,
            attempt=Job.attempt - 1,
            started_at=case((Job.attempt > 1, Job.started_at), else_=None),
            lease_token=None,
            lease_until=None,
            run_after=now(),
            waits_for=waits_for,
            put_back_at=func.coalesce(Job.put_back_at, now()),
            **said,
        )
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        return cancel(session, claim, provider_began=claim.provider_request_id is not None)
    return Ending.requeued


def too_late(session: Session, claim: Claim, *, seconds: float, longest: float) -> bool:
    """Whether a job may not wait another `seconds`: its deadline is before that, or it has waited for `longest`."""
    return session.execute(select(_hopeless(seconds, longest)).where(Job.id == claim.job_id)).scalar_one()


def occupy(session: Session, claim: Claim, provider: str) -> bool:
    """Take a place at a limited provider for as long as this attempt's lease holds. False when it is stale."""
    row = session.execute(
        update(Job)
        .where(Job.id == claim.job_id, Job.lease_token == claim.token)
        .values(at_provider=provider, put_back_at=None)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return row is not None


def occupied(session: Session, provider: str, *, but: Claim | None = None) -> int:
    """How many places at a provider are taken, not counting `but`'s. One whose worker died is free with its lease."""
    at_work = Job.status.in_([constant(Status.running), constant(Status.canceling)])
    others = Job.id != but.job_id if but else true()
    taken = select(func.count()).where(Job.at_provider == provider, at_work, Job.lease_until > now(), others)
    return session.execute(taken).scalar_one()


def was_in_line(session: Session, claim: Claim) -> bool:
    """Whether a job has been put back before and was called since."""
    return session.execute(select(Job.put_back_at.is_not(None)).where(Job.id == claim.job_id)).scalar_one()


def anybody_waits(session: Session, provider: str) -> bool:
    """Whether jobs wait for a provider. Locks nothing."""
    return session.execute(select(exists().where(*_in_line(), Job.waits_for == provider))).scalar_one()


def waiting_for(session: Session, provider: str) -> int:
    """How many jobs wait for a provider. Locks nothing."""
    return session.execute(select(func.count()).where(*_in_line(), Job.waits_for == provider)).scalar_one()


def awaited(session: Session) -> Sequence[str]:
    """The providers that jobs wait for. Locks nothing."""
    waiting = select(Job.waits_for).where(*_in_line(), Job.waits_for != SHARE).distinct().order_by(Job.waits_for)
    return [provider for provider in session.scalars(waiting) if provider]


def call_for(session: Session, provider: str, *, number: int) -> int:
    """Call up to `number` of the jobs that wait for a provider, and return how many there were: those of the priority
    queue before others, then the oldest. Skips what somebody else is busy with."""
    return _call(session, Job.waits_for == provider, number=number)


def call_hopeless(session: Session, provider: str, *, longest: float, number: int) -> int:
    """Call jobs that cannot wait for a provider any longer, so that they end; up to `number`."""
    return _call(session, and_(Job.waits_for == provider, _hopeless(0.0, longest)), number=number)


def _call(session: Session, which: ColumnElement[bool], *, number: int) -> int:
    if number < 1:
        return 0
    found = (
        select(Job.id)
        .where(*_in_line(), which)
        .order_by(Job.queue.desc(), Job.id)
        .limit(number)
        .with_for_update(skip_locked=True, key_share=True)
        .cte("found")
    )
    rows = session.execute(
        update(Job)
        .where(Job.id.in_(select(found.c.id)))
        .values(waits_for=None, run_after=now())
        .returning(Job.id, Job.queue)
        .execution_options(synchronize_session=False)
    ).all()
    ordered = sorted(rows, key=lambda row: (row.queue is not Queue.high, row.id))
    outbox.stage(session, *(wake_up(row.id, row.queue) for row in ordered))
    return len(rows)


def _hopeless(seconds: float, longest: float) -> ColumnElement[bool]:
    ends = and_(Job.expires_at.is_not(None), Job.expires_at <= now(max(seconds, MARGIN_SECONDS)))
    return or_(ends, and_(Job.put_back_at.is_not(None), Job.put_back_at <= now(-longest)))


def _in_line() -> tuple[ColumnElement[bool], ...]:
    return Job.status == constant(Status.queued), Job.waits_for.is_not(None)
