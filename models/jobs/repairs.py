"""Repairs: what the people of the house do about a job of somebody, each with its entry in the audit log.

A job has one outcome. So one that has ended is not opened again: it can be given back, and its user can submit another.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import update
from sqlalchemy.orm import Session

from models import audit_log, ledger, outbox, users
from models.audit_log import By
from models.database import now
from models.errors import AccountClosing, Fault, InvalidInput, JobNotRefundable, JobNotWaiting, OwnAccount
from models.jobs.cancellation import request_cancel
from models.jobs.desk import find, given_back, refund_ref
from models.jobs.tables import FINAL, Job, Status
from models.jobs.wakeups import wake_up
from models.ledger import Source


@dataclass(frozen=True, slots=True)
class Refund:
    """`amount` credits of a job's charge that went back; `replayed` says that this had been decided before."""

    job: Job
    amount: int
    replayed: bool


def run_now(session: Session, *, by: By, job_id: UUID, reason: str | None) -> Job:
    """Have a queued job run now, whatever it waits for: a pause after an error, its user's share, or a provider.

    If the provider is still down or full, the job waits for it again. Locks the job. Raises `NotFound`, and
    `JobNotWaiting` when it runs or has ended.
    """
    job = find(session, job_id, lock=True)
    if job.status is not Status.queued:
        what = (
            "It has ended, and its credits have moved. Give back what was charged, and let its user submit it again."
            if job.status in FINAL
            else "It is at work. If its worker is dead, it is queued again by itself once its lease has run out."
        )
        raise JobNotWaiting(f"This job is {job.status}. {what}", job_status=job.status)
    before = {"run_after": job.run_after.isoformat(), "waits_for": job.waits_for}
    called = update(Job).where(Job.id == job_id).values(run_after=now(), waits_for=None)
    session.execute(called.execution_options(synchronize_session=False))
    outbox.stage(session, wake_up(job_id, job.queue))
    job = find(session, job_id)
    after = {"run_after": job.run_after.isoformat(), "waits_for": None}
    audit_log.record(session, by=by, verb="job.retry", target=target(job_id), before=before, after=after, reason=reason)
    return job


def cancel(session: Session, *, by: By, job_id: UUID, reason: str | None) -> Job:
    """Cancel anybody's job as its user could: what it has charged or gives back is the same.

    What is being canceled already is no change and no entry. Locks and raises as `request_cancel` does.
    """
    job = find(session, job_id, lock=True)
    before = job.status
    after = request_cancel(session, user_id=job.user_id, job_id=job_id).status
    if after is not before:
        audit_log.record(
            session, by=by, verb="job.cancel", target=target(job_id), before={"status": before},
            after={"status": after}, reason=reason,
        )  # fmt: skip
    return find(session, job_id)


def refund(session: Session, *, by: By, job_id: UUID, reason: str | None, amount: int | None = None) -> Refund:
    """Give back `amount` credits of what a job was charged, or all of it; once for each job.

    The job keeps its outcome: what goes back is a grant, which does not expire and pays debt first. Asked for the same
    again, nothing more moves. Locks the job, then the wallet. Raises `NotFound`, `OwnAccount`, `AccountClosing`,
    `InvalidInput` naming `amount`, and `JobNotRefundable` when it was charged nothing or another amount went back.
    """
    job = find(session, job_id, lock=True)
    if by.actor_id == job.user_id:
        raise OwnAccount("Nobody gives back what they paid themselves: ask another admin.")
    if not job.charged:
        raise JobNotRefundable("This job was charged nothing.", charged=0, given_back=0)
    wanted, earlier = job.charged if amount is None else amount, given_back(session, job_id)
    if not 1 <= wanted <= job.charged:
        raise InvalidInput(Fault("amount", f"expected 1 to {job.charged}, which is what was charged"))
    if earlier and earlier != wanted:
        raise JobNotRefundable(
            f"{earlier} of {job.charged} credits were given back before, and a job's charge goes back once.",
            charged=job.charged, given_back=earlier,
        )  # fmt: skip
    if earlier:
        return Refund(job, earlier, replayed=True)
    if users.get(session, job.user_id).closing_at is not None:
        raise AccountClosing("This account is being closed: there is nobody to give anything back to.")
    ledger.grant(
        session,
        wallet_id=ledger.open_wallet(session, user_id=job.user_id, kind=job.wallet),
        amount=wanted,
        source=Source.admin,
        ref=refund_ref(job_id),
        details={"title": "Refund", "job_id": str(job_id)},
    )
    audit_log.record(
        session, by=by, verb="job.refund", target=target(job_id), before={"given_back": 0},
        after={"given_back": wanted, "wallet": job.wallet, "charged": job.charged}, reason=reason,
    )  # fmt: skip
    return Refund(job, wanted, replayed=False)


def target(job_id: UUID) -> str:
    """How the audit log names a job."""
    return f"job:{job_id}"
