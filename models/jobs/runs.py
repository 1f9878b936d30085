"""Runs: claiming a job, keeping its lease, and finishing it, each fenced by the token of the attempt.

An attempt that lost its lease finds that nothing here works for it any more, so a job that runs twice ends once.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Float, Uuid, and_, bindparam, or_, select, update
from sqlalchemy.orm import Session

from models import ledger, outbox, settling
from models.database import Prepared, Sender, is_postgresql, now
from models.jobs import attempts, express, line
from models.jobs.attempts import NOBODY, Effort, Ending
from models.jobs.endings import ended
from models.jobs.tables import Job, JobSlots, Queue, Status
from models.jobs.wakeups import wake_up
from models.kinds import Kind

LONGEST_BACKOFF_SECONDS = 60.0
LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt's right to run a job. `held` is in credits; `token` is what fences the attempt; `settling` is how
    the charge follows what is made, if it does (`models/settling.py`)."""

    job_id: UUID
    token: UUID
    kind: Kind
    queue: Queue
    input: dict[str, Any]
    attempt: int
    max_attempts: int
    held: int
    cancel_charge: int
    provider_request_id: str | None
    settling: dict[str, Any] | None = None


def claim(session: Sender, job_id: UUID, *, lease_seconds: float) -> Claim | None:
    """Take a job to run it, or None: it has ended, waits for later, runs elsewhere, or has no attempts left.

    One statement; commit it before any work. `lease_seconds` is how long the attempt may stay silent.
    """
    token = uuid4()
    row = _CLAIM.one_or_none(session, claimed_id=job_id, claimed_token=token, lease=float(lease_seconds))
    if row is None:
        return None
    kind, queue, *rest = row
    return Claim(job_id, token, Kind(kind), Queue(queue), *rest)


def _claim() -> Prepared:
    free = or_(Job.status == Status.queued, and_(Job.status == Status.running, Job.lease_until < now()))
    return Prepared(
        update(Job)
        .where(
            Job.id == bindparam("claimed_id", type_=Uuid()),
            Job.attempt < Job.max_attempts,
            Job.run_after <= now(),
            or_(Job.expires_at.is_(None), Job.expires_at > now(), Job.attempt > 0),
            free,
        )
        .values(
            status=Status.running,
            version=Job.version + 1,
            attempt=Job.attempt + 1,
            lease_token=bindparam("claimed_token", type_=Uuid()),
            lease_until=now(bindparam("lease", type_=Float())),
            started_at=now(),
        )
        .returning(
            Job.kind, Job.queue, Job.input, Job.attempt, Job.max_attempts, Job.held, Job.cancel_charge,
            Job.provider_request_id, Job.settling,
        )
        .execution_options(synchronize_session=False)
    )  # fmt: skip


# Worked out when the module is loaded: a cold worker's first thousand threads would each do it for themselves.
_CLAIM = _claim()


def extend(session: Session, claims: Mapping[UUID, UUID], *, lease_seconds: float) -> dict[UUID, Status]:
    """Extend the leases of many running jobs in one statement.

    `claims` maps job to token. Returns the status of each job that is still owned; a job that is missing has been
    lost, one that is `canceling` should stop.
    """
    rows = session.execute(
        update(Job)
        .where(
            Job.id.in_(claims),
            Job.lease_token.in_(claims.values()),
            Job.status.in_([Status.running, Status.canceling]),
        )
        .values(lease_until=now(lease_seconds))
        .returning(Job.id, Job.status)
        .execution_options(synchronize_session=False)
    )
    return {row.id: row.status for row in rows}


def provider_began(session: Session, claim: Claim, request_id: str) -> bool:
    """Remember the provider's own id for the work, so that a later attempt resumes it. False when stale."""
    row = session.execute(
        update(Job)
        .where(Job.id == claim.job_id, Job.lease_token == claim.token)
        .values(provider_request_id=request_id)
        .returning(Job.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return row is not None


def complete(
    session: Session,
    claim: Claim,
    *,
    outputs: list[dict[str, Any]],
    usage: dict[str, int],
    delivered_percent: int,
    effort: Effort = NOBODY,
) -> Ending:
    """Store the result and charge for what was delivered, never more than was held; the rest goes back.

    `effort` is what the attempt took; it is written down with its ending, as by all verbs here that end one. A job that
    its user canceled meanwhile is settled as canceled instead. Locks job, slots, wallet, lots.
    """
    made: dict[str, Any] = {"outputs": outputs, "usage": usage, "effort": effort}
    if done := complete_at_once(session, claim, delivered_percent=delivered_percent, **made):
        if done.next_waits:
            line.call_next(session, user_id=done.user_id)
        return Ending.completed
    charge = _charge(claim, usage, delivered_percent)
    if end(session, claim.job_id, Status.completed, charge=charge, token=claim.token, **made):
        return Ending.completed
    return cancel(session, claim, provider_began=True, effort=effort)


def complete_free(
    session: Session,
    claim: Claim,
    *,
    outputs: list[dict[str, Any]],
    usage: dict[str, int],
    effort: Effort = NOBODY,
    fault: str,
) -> Ending:
    """Store a result that was made in place of the one that was ordered: nothing is charged, and all goes back.

    `fault` is the code of why the ordered one could not be made, and its attempt has failed. Locks as `complete`.
    """
    done = end(
        session, claim.job_id, Status.completed, charge=0, token=claim.token, outputs=outputs, usage=usage,
        fallback=True, effort=effort, ending=Ending.failed, fault=fault,
    )  # fmt: skip
    return Ending.completed if done else cancel(session, claim, provider_began=False, effort=effort, fault=fault)


def complete_at_once(
    session: Sender,
    claim: Claim,
    *,
    outputs: list[dict[str, Any]],
    usage: dict[str, int],
    delivered_percent: int,
    effort: Effort = NOBODY,
) -> express.Completed | None:
    """`complete` in one statement, if all that is held is charged, on PostgreSQL; else None, and no trace.

    The next job of the user's is the caller's to call, if one waits.
    """
    if not is_postgresql(session) or _charge(claim, usage, delivered_percent) != claim.held:
        return None
    return express.complete(
        session, job_id=claim.job_id, token=claim.token, outputs=outputs, usage=usage, effort=effort
    )


def _charge(claim: Claim, usage: Mapping[str, int], delivered_percent: int) -> int:
    return settling.charge(claim.settling, held=claim.held, usage=usage, delivered_percent=delivered_percent)


def cancel(
    session: Session, claim: Claim, *, provider_began: bool, effort: Effort = NOBODY, fault: str | None = None
) -> Ending:
    """End an attempt whose user canceled: charged by the action's share once the provider began, nothing before.

    `fault` is the code of what else was wrong with it. A stale attempt changes nothing but its own record.
    """
    charge = claim.held * claim.cancel_charge // 100 if provider_began else 0
    if end(session, claim.job_id, Status.canceled, charge=charge, token=claim.token, effort=effort, fault=fault):
        return Ending.canceled
    attempts.note_stale(session, job_id=claim.job_id, number=claim.attempt, effort=effort, fault=fault)
    return Ending.stale


def fail(session: Session, claim: Claim, *, code: str, message: str, effort: Effort = NOBODY) -> Ending:
    """End an attempt whose job cannot be done: all that was held goes back. A canceled job ends as canceled."""
    error: dict[str, Any] = {"error_code": code, "error_message": message[:LONGEST_MESSAGE]}
    if end(session, claim.job_id, Status.failed, charge=0, token=claim.token, effort=effort, fault=code, **error):
        return Ending.failed
    return cancel(session, claim, provider_began=False, effort=effort, fault=code)


def retry(
    session: Session,
    claim: Claim,
    *,
    code: str,
    message: str,
    base_seconds: float,
    retry_after: float | None = None,
    effort: Effort = NOBODY,
) -> Ending:
    """Queue a job again after a passing error, later each time; without attempts left it fails with this error.

    The wait is `base_seconds` doubled by each attempt, with jitter so that a crowd does not come back at once, and at
    least what the provider asked for.
    """
    if claim.attempt >= claim.max_attempts:
        return fail(session, claim, code=code, message=message, effort=effort)
    delay = max(backoff(claim.attempt, base_seconds), retry_after or 0)
    values: dict[str, Any] = {"error_code": code, "error_message": message[:LONGEST_MESSAGE]}
    if requeue(session, claim.job_id, claim.queue, token=claim.token, delay=delay, effort=effort, **values):
        return Ending.requeued
    return cancel(session, claim, provider_began=False, effort=effort, fault=code)


def backoff(attempt: int, base_seconds: float) -> float:
    """Seconds to wait after the given attempt: exponential, capped, spread by a half either way."""
    return min(base_seconds * 2.0 ** (attempt - 1), LONGEST_BACKOFF_SECONDS) * random.uniform(0.5, 1.5)  # noqa: S311


def requeue(
    session: Session,
    job_id: UUID,
    queue: Queue,
    *,
    token: UUID,
    delay: float,
    effort: Effort = NOBODY,
    ending: Ending = Ending.requeued,
    **values: Any,
) -> bool:
    """Put a running job back in its queue and stage its wake-up, after `delay` seconds. False when stale."""
    row = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status == Status.running, Job.lease_token == token)
        .values(
            status=Status.queued, version=Job.version + 1, lease_token=None, lease_until=None, run_after=now(delay),
            **values,
        )
        .returning(Job.attempt, Job.started_at)
        .execution_options(synchronize_session=False)
    ).one_or_none()  # fmt: skip
    if row is None:
        return False
    attempts.note(
        session, job_id=job_id, number=row.attempt, ending=ending, started_at=row.started_at, effort=effort,
        fault=values.get("error_code"),
    )  # fmt: skip
    outbox.stage(session, wake_up(job_id, queue, request_id=outbox.current_request()), delay=delay)
    return True


def end(
    session: Session,
    job_id: UUID,
    status: Status,
    *,
    charge: int,
    token: UUID | None,
    effort: Effort = NOBODY,
    ending: Ending | None = None,
    fault: str | None = None,
    **values: Any,
) -> bool:
    """Give a job its one outcome: final status, slot freed, `charge` credits settled and the rest released.

    With a `token` the job must be running under it (canceling, to become canceled), and its attempt ends as the job
    does, unless `ending` says how, because of `fault`; with none it must be queued.
    False, and nothing changed, when it is not. Calls the user's next job in line. Locks the job, its user's slots, the
    wallet, the lots.
    """
    before = {Status.canceled: Status.canceling}.get(status, Status.running) if token else Status.queued
    owner = Job.lease_token == token if token else Job.lease_token.is_(None)
    row = session.execute(
        update(Job)
        .where(Job.id == job_id, Job.status == before, owner)
        .values(
            **{"error_code": None, "error_message": None, **values},
            status=status,
            version=Job.version + 1,
            charged=charge,
            refunded=Job.held - charge,
            lease_token=None,
            lease_until=None,
            finished_at=now(),
        )
        .returning(Job.user_id, Job.waits_for, Job.attempt, Job.started_at)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        return False
    taken = session.execute(
        update(JobSlots)
        .where(JobSlots.user_id == row.user_id)
        .values(taken=JobSlots.taken - 1)
        .returning(JobSlots.taken)
        .execution_options(synchronize_session=False)
    ).scalar_one()
    if token:
        attempts.note(
            session, job_id=job_id, number=row.attempt, ending=ending or Ending(status), started_at=row.started_at,
            effort=effort, fault=fault,
        )  # fmt: skip
    ledger.settle(session, job_id=job_id, amount=charge)
    if row.waits_for != line.SHARE and taken >= line.share():
        line.call_next(session, user_id=row.user_id)
    ended(session, job_id)
    return True


def canceling(session: Session, job_ids: Iterable[UUID]) -> Sequence[UUID]:
    """Which of these jobs their users want stopped. Locks nothing."""
    return session.scalars(select(Job.id).where(Job.id.in_(job_ids), Job.status == Status.canceling)).all()
