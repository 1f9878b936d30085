"""Submission: one transaction that makes an order a job, with its credits held and its wake-up staged."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import insert, literal, select, update
from sqlalchemy.orm import Session

from models import ledger, outbox, plans, rates, uploads
from models.database import Sender, insert_into, is_postgresql, now
from models.errors import IdempotencyKeyReused, NotFound, TooManyJobs
from models.jobs import express
from models.jobs.line import SHARE, share
from models.jobs.orders import Order
from models.jobs.snapshots import Snapshot, fresh, get
from models.jobs.tables import Job, JobSlots, Status
from models.jobs.wakeups import wake_up
from models.users import User

SLOT_RETRY_AFTER_SECONDS = 2
"""When a user with too many jobs may ask again: about as long as a short job takes."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A job that was accepted, now or by an earlier request with the same idempotency key (`replayed`)."""

    job: Snapshot
    replayed: bool


def submit(session: Session, order: Order) -> Submission:
    """Accept an order: take a slot, hold its price, store the job, stage its wake-up. All of it, or nothing.

    A job beyond its user's fair share waits in line without a wake-up (`line.py`). Allowances that are due are granted
    first. Locks the user's slots, then the wallet, then its lots. The same idempotency key with the same request
    returns the first job. Raises `IdempotencyKeyReused` when the request differs, `InvalidInput` when it names an
    upload that is not good, `TooManyJobs`, `FairUseExceeded`, or `InsufficientCredits`.
    """
    return submit_at_once(session, order) or submit_step_by_step(session, order)


def submit_at_once(session: Sender, order: Order) -> Submission | None:
    """`submit` in one statement, if it is a usual order on PostgreSQL; None, and no trace, for any other.

    An order that names an upload takes one reading more, beforehand: see `uploads.GRACE_SECONDS`.
    """
    if not is_postgresql(session) or not uploads.is_good(session, user_id=order.user_id, upload_id=order.upload_id):
        return None
    accepted = express.submit(session, order)
    return Submission(accepted, replayed=False) if accepted else None


def submit_step_by_step(session: Session, order: Order) -> Submission:
    """`submit`, for any order and on any database."""
    taken = _lock_slots(session, order.user_id)
    earlier = _submitted_before(session, order)
    if earlier is not None:
        return Submission(earlier, replayed=True)
    uploads.require(session, user_id=order.user_id, upload_id=order.upload_id)
    if taken >= order.concurrent_jobs:
        raise TooManyJobs(
            f"You have {taken} unfinished jobs; {order.concurrent_jobs} at once are allowed.",
            limit=order.concurrent_jobs,
            retry_after=SLOT_RETRY_AFTER_SECONDS,
        )
    if order.fair_use:
        free = order.fair_use
        rates.count(session, user_id=order.user_id, name=free.name, rate=free.rate, fair_use=True)
    plans.grant_due(session, user_id=order.user_id)
    wallet_id = ledger.open_wallet(session, user_id=order.user_id, kind=order.wallet)
    ledger.hold(session, wallet_id=wallet_id, amount=order.price, job_id=order.id)
    called = taken < share()
    session.execute(update(JobSlots).where(JobSlots.user_id == order.user_id).values(taken=JobSlots.taken + 1))
    row = session.execute(
        insert(Job)
        .values(
            id=order.id,
            user_id=order.user_id,
            action=order.action,
            kind=order.kind,
            queue=order.queue,
            status=Status.queued,
            input=order.input,
            idempotency_key=order.idempotency_key,
            request_digest=order.digest,
            wallet=order.wallet,
            breakdown=order.breakdown,
            cancel_charge=order.cancel_charge,
            settling=order.settling,
            estimate=order.price,
            held=order.price,
            max_attempts=order.max_attempts,
            expires_at=None if order.expires_in is None else now(order.expires_in),
            waits_for=None if called else SHARE,
        )
        .returning(Job.created_at, Job.expires_at)
    ).one()
    if called:
        outbox.stage(session, wake_up(order.id, order.queue, request_id=outbox.current_request()))
    return Submission(fresh(order, created_at=row.created_at, expires_at=row.expires_at), replayed=False)


def _lock_slots(session: Session, user_id: UUID) -> int:
    """Queue up behind the user's other submissions and return how many unfinished jobs there are."""
    of_user = select(User.id, literal(0)).where(User.id == user_id)
    session.execute(insert_into(session, JobSlots).from_select(["user_id", "taken"], of_user).on_conflict_do_nothing())
    taken = session.execute(
        select(JobSlots.taken).where(JobSlots.user_id == user_id).with_for_update(key_share=True)
    ).scalar_one_or_none()
    if taken is None:
        raise NotFound("This account does not exist any more.")
    return taken


def _submitted_before(session: Session, order: Order) -> Snapshot | None:
    if order.idempotency_key is None:
        return None
    row = session.execute(
        select(Job.id, Job.request_digest).where(
            Job.user_id == order.user_id, Job.idempotency_key == order.idempotency_key
        )
    ).one_or_none()
    if row is None:
        return None
    if row.request_digest != order.digest:
        raise IdempotencyKeyReused("Idempotency-Key: this key came with another request before; use a new one.")
    return get(session, user_id=order.user_id, job_id=row.id).as_accepted()
