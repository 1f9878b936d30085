"""Ordering, running and looking at jobs in tests; after every verb the audit must be clean."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import inspect, select, update
from sqlalchemy.orm import Session

from models import jobs
from models.audit import audit
from models.database import Base, moment, new_id, sessions
from models.jobs import Claim, Job, JobSlots, Order, Queue, Snapshot, Submission
from models.kinds import Kind
from models.ledger import Clawback, Lot, Transfer, Wallet
from models.outbox import Outbox
from tests.audits import prove

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=Exception)
LEASE = 30.0
TABLES: tuple[type[Base], ...] = (Wallet, Lot, Transfer, Clawback, Job, JobSlots, Outbox)
OUTPUTS = [{"type": "text", "text": "done"}]
USAGE = {"input_tokens": 3}


class Cost(NamedTuple):
    """What a job says of its money."""

    held: int
    charged: int
    refunded: int


def once(verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a verb in a transaction of its own, then prove that everything still fits."""
    with sessions() as session:
        result = verb(session, *args, **kwargs)
    prove(audit)
    return result


def unchanged(verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a verb that must not change one row of any table."""
    before = everything()
    result = once(verb, *args, **kwargs)
    assert everything() == before
    return result


def refused(error: type[E], verb: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> E:
    """Call a verb that must raise exactly `error` and leave no trace; gives the error."""
    before = everything()
    with pytest.raises(error) as raised:
        once(verb, *args, **kwargs)
    assert raised.type is error
    assert everything() == before
    return raised.value


def everything() -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table that a job has to do with."""
    with sessions() as session:
        return {
            table.__tablename__: [
                tuple(row) for row in session.execute(select(*table.__table__.c).order_by(*inspect(table).primary_key))
            ]
            for table in TABLES
        }


def an_order(
    user_id: UUID,
    *,
    price: int = 10,
    key: str | None = None,
    digest: str = "same",
    at_once: int = 20,
    attempts: int = 3,
    expires_in: int | None = None,
    cancel_charge: int = 50,
    wallet: str = "credits",
    settling: dict[str, Any] | None = None,
) -> Order:
    return Order(
        id=new_id(), user_id=user_id, action="image", kind=Kind.image, queue=Queue.generation, wallet=wallet,
        input={"prompt": "a red fox"}, breakdown=[{"label": "Picture", "amount": price}], price=price,
        fair_use=None, cancel_charge=cancel_charge, settling=settling, concurrent_jobs=at_once, max_attempts=attempts,
        expires_in=expires_in,
        idempotency_key=key, digest=digest,
    )  # fmt: skip


def submit(order: Order) -> Submission:
    return once(jobs.submit, order)


def submitted(user_id: UUID, **how: Any) -> UUID:
    """The id of a new job in the queue."""
    return submit(an_order(user_id, **how)).job.id


def claim(job_id: UUID) -> Claim:
    made = once(jobs.claim, job_id, lease_seconds=LEASE)
    assert made is not None
    return made


def running(user_id: UUID, **how: Any) -> Claim:
    """The claim of a new job that runs."""
    return claim(submitted(user_id, **how))


def complete(made: Claim, *, percent: int = 100) -> jobs.Ending:
    return once(jobs.complete, made, outputs=OUTPUTS, usage=USAGE, delivered_percent=percent)


def job(job_id: UUID) -> Job:
    """The job's row as it is now."""
    with sessions() as session:
        return session.get_one(Job, job_id)


def cost(job_id: UUID) -> Cost:
    row = job(job_id)
    return Cost(row.held, row.charged, row.refunded)


def snapshot(job_id: UUID) -> Snapshot:
    with sessions() as session:
        return jobs.get(session, user_id=session.get_one(Job, job_id).user_id, job_id=job_id)


def slots(user_id: UUID) -> int:
    with sessions() as session:
        return session.scalars(select(JobSlots.taken).where(JobSlots.user_id == user_id)).one()


def wake_ups(job_id: UUID) -> list[float]:
    """In how many seconds the staged wake-ups of a job fall due, soonest first."""
    with sessions() as session:
        moments = session.scalars(select(Outbox.due_at).where(Outbox.task_id == str(job_id)).order_by(Outbox.due_at))
        return [(due_at - moment(session)).total_seconds() for due_at in moments]


def set_back(job_id: UUID, *columns: str, seconds: float = 1) -> None:
    """Let moments of a job be some seconds ago."""
    with sessions() as session:
        then = moment(session, plus=-seconds)
        session.execute(update(Job).where(Job.id == job_id).values(dict.fromkeys(columns, then)))


def lose(made: Claim) -> None:
    """Let the lease of an attempt run out."""
    set_back(made.job_id, "lease_until")
