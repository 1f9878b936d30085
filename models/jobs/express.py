"""The express lane: a usual submission and a usual completion, each as one statement on PostgreSQL.

These two are what the system does all day. Step by step each makes some ten trips to the database; here each makes
one (docs/adr/0005). Only the usual case rides: anything else changes nothing, answers None or False, and takes the
steps in `submission.py` and `runs.py`, which say what both mean. The same locks are taken in the same order, and
tests run both ways and compare the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Float,
    Uuid,
    bindparam,
    case,
    exists,
    literal_column,
    null,
    select,
    update,
)
from sqlalchemy.dialects import postgresql

from models import outbox
from models.database import Json, Prepared, Sender, now
from models.jobs.attempts import Attempt, Effort, Ending
from models.jobs.endings import ended
from models.jobs.line import SHARE, share
from models.jobs.orders import Order
from models.jobs.snapshots import Snapshot, fresh
from models.jobs.tables import Job, JobSlots, Status
from models.jobs.wakeups import wake_up
from models.ledger import express as ledger
from models.ledger.express import constant

STORED_AS_ORDERED = (
    "id", "user_id", "action", "kind", "queue", "input", "idempotency_key", "wallet", "breakdown", "cancel_charge",
    "settling", "max_attempts",
)  # fmt: skip
"""What a job's row takes over from its order under the same name."""

EFFORT = tuple(Effort().columns)
"""The columns of an attempt that say what it took."""

ONE: ColumnElement[int] = literal_column("1")


@dataclass(frozen=True, slots=True)
class Completed:
    """A job that was completed; with `next_waits` its user has jobs in line, the next of which is to be called."""

    user_id: UUID
    next_waits: bool


def submit(session: Sender, order: Order) -> Snapshot | None:
    """Accept an order whose price one lot of a healthy wallet covers; None, and no trace, for any other."""
    if order.price == 0:
        return None
    message = wake_up(order.id, order.queue, request_id=outbox.current_request())
    row = _SUBMISSION.one_or_none(
        session,
        **{f"order_{name}": getattr(order, name) for name in STORED_AS_ORDERED},
        order_request_digest=order.digest,
        price=order.price,
        wait=order.expires_in,
        most_jobs=order.concurrent_jobs,
        share=share(),
        message_id=message.id,
        message_task=message.task,
        message_task_id=message.task_id,
        message_queue=message.queue,
        message_args=list(message.args),
        message_request_id=message.request_id,
    )
    if row is None:
        return None
    created_at, expires_at, waits_for = row
    if waits_for is None:
        outbox.staged(session, message)
    return fresh(order, created_at=created_at, expires_at=expires_at)


def complete(
    session: Sender,
    *,
    job_id: UUID,
    token: UUID,
    outputs: list[dict[str, Any]],
    usage: dict[str, int],
    effort: Effort,
) -> Completed | None:
    """Complete a running job that this attempt owns and charge all that it holds; None, and no trace, otherwise."""
    row = _COMPLETION.one_or_none(
        session,
        claimed_id=job_id,
        claimed_token=token,
        made_outputs=outputs,
        made_usage=usage,
        **{f"effort_{name}": value for name, value in effort.columns.items()},
    )
    if row is None:
        return None
    ended(session, job_id)
    user_id, taken = row
    return Completed(user_id, next_waits=taken is not None and taken >= share())


def _submission() -> Prepared:
    value = {
        # Were a parameter called as a column is, SQLAlchemy would set that column in every UPDATE here.
        name: bindparam(f"order_{name}", type_=Job.__table__.c[name].type)
        for name in (*STORED_AS_ORDERED, "request_digest")
    }
    price = bindparam("price", type_=BigInteger())
    # Were the key's first job found only by the INSERT, it would wait there for whoever is ending that job, who in turn
    # waits for the slot: jobs are locked before slots. Nor may this wait for the slot, and find out too late.
    known = exists().where(Job.user_id == value["user_id"], Job.idempotency_key == value["idempotency_key"])
    slot = (
        select(JobSlots.user_id, JobSlots.taken)
        .where(JobSlots.user_id == value["user_id"], JobSlots.taken < bindparam("most_jobs", type_=BigInteger()))
        .where(~known)
        .with_for_update(key_share=True, skip_locked=True)
        .cte("slot")
    )
    wallet = ledger.ready_wallet(slot, user_id=value["user_id"], kind=value["wallet"], amount=price)
    lot = ledger.first_lot(wallet)
    taken_before = select(slot.c.taken).scalar_subquery()
    row = {
        **value,
        "status": constant(Status.queued),
        "estimate": price,
        "held": price,
        "expires_at": now(bindparam("wait", type_=Float())),
        "waits_for": case((taken_before < bindparam("share", type_=BigInteger()), null()), else_=constant(SHARE)),
    }
    job = (
        postgresql.insert(Job)
        .from_select(list(row), select(*row.values()).select_from(lot).where(lot.c.available >= price))
        .on_conflict_do_nothing(index_elements=[Job.user_id, Job.idempotency_key])
        .returning(Job.id, Job.user_id, Job.created_at, Job.expires_at, Job.waits_for)
        .cte("job")
    )
    taken = (
        update(JobSlots)
        .where(JobSlots.user_id == job.c.user_id)
        .values(taken=JobSlots.taken + ONE)
        .returning(JobSlots.user_id)
        .cte("taken")
    )
    called = select(job.c.id).where(job.c.waits_for.is_(None)).cte("called")
    steps = [*ledger.hold_from(lot, wallet, job, amount=price), taken, outbox.staging(called)]
    return Prepared(select(job.c.created_at, job.c.expires_at, job.c.waits_for).add_cte(*steps))


def _completion() -> Prepared:
    job = (
        update(Job)
        .where(
            Job.id == bindparam("claimed_id", type_=Uuid()),
            Job.lease_token == bindparam("claimed_token", type_=Uuid()),
            Job.status == constant(Status.running),
        )
        .values(
            status=constant(Status.completed),
            version=Job.version + ONE,
            charged=Job.held,
            outputs=bindparam("made_outputs", type_=Json),
            usage=bindparam("made_usage", type_=Json),
            error_code=null(),
            error_message=null(),
            lease_token=null(),
            lease_until=null(),
            finished_at=now(),
        )
        .returning(Job.id, Job.user_id, Job.held, Job.attempt, Job.started_at)
        .cte("job")
    )
    attempt = {
        "job_id": job.c.id,
        "number": job.c.attempt,
        "started_at": job.c.started_at,
        "ending": constant(Ending.completed),
        **{name: bindparam(f"effort_{name}", type_=Attempt.__table__.c[name].type) for name in EFFORT},
    }
    noted = (
        postgresql.insert(Attempt)
        .from_select(list(attempt), select(*attempt.values()))
        .on_conflict_do_nothing()
        .returning(Attempt.number)
        .cte("attempt")
    )
    slot = (
        update(JobSlots)
        .where(JobSlots.user_id == job.c.user_id)
        .values(taken=JobSlots.taken - ONE)
        .returning(JobSlots.user_id, JobSlots.taken)
        .cte("slot")
    )
    left = select(slot.c.taken).scalar_subquery()
    return Prepared(select(job.c.user_id, left).add_cte(slot, noted, *ledger.settle_in_full(job, slot)))


_SUBMISSION = _submission()
_COMPLETION = _completion()
