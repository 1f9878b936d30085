"""The verdict: what a run must have kept, each breach one sentence. It trusts nothing that the product says of itself.

The first four look at the database alone; the others compare it with what was ordered, and with what the customers
and the processes went through.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from chaos.house import Outage
from chaos.load import Call, Records
from chaos.plan import Order
from models.audit import audit
from models.jobs import FINAL, Job, JobSlots, Status
from models.ledger import Lot, Reason, Transfer, Wallet
from models.outbox import Outbox

MOST_PER_CHECK = 20

LONGEST_ACCEPT_SECONDS = 5.0
"""How long accepting a job may take while nothing but the broker is away. It is a bound for hanging, not for speed:
a bound publish of a single message gives up after two seconds."""

SLACK_SECONDS = 2.0
"""How long after an outage a request may still meet its remains: a connection that was waiting to be accepted."""

Facts = dict[UUID, Any]
"""Every job's row, by its id."""


def jobs_of(session: Session) -> Facts:
    """All jobs, with the columns that matter here."""
    columns = (
        Job.id, Job.status, Job.held, Job.charged, Job.refunded, Job.attempt, Job.max_attempts, Job.error_code,
        Job.idempotency_key, Job.outputs,
    )  # fmt: skip
    return {row.id: row for row in session.execute(select(*columns))}


def unfinished(jobs: Facts) -> Iterator[str]:
    """Every job has ended."""
    for job in jobs.values():
        if job.status not in FINAL:
            yield f"job {job.id} is still {job.status} (attempt {job.attempt} of {job.max_attempts})"


def outcomes(session: Session, jobs: Facts) -> Iterator[str]:
    """Every job has one hold, and one outcome that is exactly as much."""

    def of(reason: Reason) -> tuple[Any, Any]:
        chosen = case((Transfer.reason == reason, Transfer.amount))
        return func.coalesce(func.sum(chosen), 0), func.count(chosen) - func.count(
            func.distinct(case((Transfer.reason == reason, Transfer.lot_id)))
        )

    columns = [column for reason in (Reason.hold, Reason.settle, Reason.release) for column in of(reason)]
    moved = {
        row[0]: row[1:]
        for row in session.execute(
            select(Transfer.job_id, *columns).where(Transfer.job_id.is_not(None)).group_by(Transfer.job_id)
        )
    }
    for job in jobs.values():
        held, more_holds, settled, more_settles, released, more_releases = moved.pop(job.id, (0, 0, 0, 0, 0, 0))
        if job.status in FINAL and job.charged + job.refunded != job.held:
            yield f"job {job.id} held {job.held}, but charged {job.charged} and refunded {job.refunded}"
        if job.status in FINAL and settled + released != held:
            yield f"job {job.id} moved {held} to held, but {settled} to spent and {released} back"
        if (held, settled, released) != (job.held, job.charged, job.refunded):
            yield (
                f"job {job.id} says held {job.held}, charged {job.charged}, refunded {job.refunded}; "
                f"its transfers say {held}, {settled}, {released}"
            )
        if more_holds or more_settles or more_releases:
            yield f"job {job.id} has the same outcome twice for one lot"
    for job_id in moved:
        yield f"transfers name job {job_id}, which does not exist"


def leftovers(session: Session) -> Iterator[str]:
    """Nothing waits to be sent, nobody has a slot, nothing is held, nothing is owed."""
    if waiting := session.scalar(select(func.count()).select_from(Outbox)):
        yield f"{waiting} messages are still in the outbox"
    for slots in session.execute(select(JobSlots.user_id, JobSlots.taken).where(JobSlots.taken != 0)):
        yield f"user {slots.user_id} still has {slots.taken} slots taken"
    for wallet in session.execute(
        select(Wallet.id, Wallet.held, Wallet.debt).where((Wallet.held != 0) | (Wallet.debt != 0))
    ):
        yield f"wallet {wallet.id} still has {wallet.held} credits held and {wallet.debt} owed"


def balances(session: Session, jobs: Facts, *, granted: int) -> Iterator[str]:
    """What is left is what was granted, less what was charged."""
    left = int(session.execute(select(func.coalesce(func.sum(Wallet.available), 0))).scalar_one())
    issued = int(session.execute(select(func.coalesce(func.sum(Lot.issued), 0))).scalar_one())
    charged = sum(job.charged for job in jobs.values())
    if issued != granted:
        yield f"{granted} credits were granted, but lots of {issued} were issued"
    if left != granted - charged:
        yield f"{granted} credits were granted and {charged} charged, but {left} are left"


def books(session: Session) -> Iterator[str]:
    """The product's own audit finds nothing. Call it first in its transaction."""
    yield from (f"audit: {finding}" for finding in audit(session))


def receipts(jobs: Facts, orders: Sequence[Order], records: Records) -> Iterator[str]:
    """Each order is exactly one job, the one its customer was told, with the outcome its customer saw."""
    by_key = Counter(job.idempotency_key for job in jobs.values())
    keys = {order.key for order in orders}
    for order in orders:
        job_id = records.receipts.get(order.number)
        if job_id is None:
            yield f"order {order.number} was never accepted"
        elif job_id not in jobs:
            yield f"order {order.number} was accepted as job {job_id}, which does not exist"
        elif jobs[job_id].idempotency_key != order.key:
            yield f"order {order.number} was told of job {job_id}, which is another order's"
        if by_key[order.key] > 1:
            yield f"order {order.number} became {by_key[order.key]} jobs"
    for job in jobs.values():
        if job.idempotency_key not in keys:
            yield f"job {job.id} was never ordered"
    for job_id, seen in records.endings.items():
        job = jobs.get(job_id)
        if job is not None and (job.status, job.charged, job.refunded) != (seen.status, seen.charged, seen.refunded):
            yield (
                f"job {job_id} was seen {seen.status} (charged {seen.charged}, refunded {seen.refunded}), "
                f"and is {job.status} (charged {job.charged}, refunded {job.refunded})"
            )
    yield from records.wrong


def endings(jobs: Facts, orders: Sequence[Order], records: Records, outputs: Path) -> Iterator[str]:
    """Each job ended as its script and its customer allow, at the right price, and what was charged is there."""
    for order in orders:
        job = jobs.get(records.receipts.get(order.number, UUID(int=0)))
        if job is None or job.status not in FINAL:
            continue
        allowed = {Status.failed} if order.marks & {"fail", "crash"} else {Status.completed, Status.failed}
        allowed |= {Status.canceled} if order.cancel_after is not None else set()
        allowed |= {Status.expired} if order.expires_in is not None else set()
        if job.status not in allowed:
            yield f"job {job.id} ({', '.join(order.marks) or 'plain'}) ended as {job.status}"
        price = {
            Status.completed: job.held * 40 // 100 if "underrun" in order.marks else job.held,
            Status.failed: 0,
            Status.expired: 0,
        }.get(job.status, job.charged)
        if job.charged != price:
            yield f"job {job.id} is {job.status} and was charged {job.charged} instead of {price}"
        if job.attempt > job.max_attempts:
            yield f"job {job.id} had {job.attempt} attempts of {job.max_attempts}"
        if job.status is Status.completed:
            yield from _missing_outputs(job, outputs)


def _missing_outputs(job: Any, outputs: Path) -> Iterator[str]:
    if not job.outputs:
        yield f"job {job.id} is completed without a result"
    for output in job.outputs or ():
        file = outputs / output["key"] if "key" in output else None
        if file is not None and not (file.is_file() and file.stat().st_size == output["size"]):
            yield f"job {job.id} is completed, but {output['key']} is not whole"


def calls(made: Iterable[Call], outages: Sequence[Outage], cut: int) -> Iterator[str]:
    """Every request was answered, unless the front door or the database was hit just then; never late for the broker.

    `cut` is how many of the front door's database connections were broken: each may cost one request a 503.
    """
    excusing = [outage for outage in outages if outage.target != "broker"]
    for call in made:
        if call.status is not None and call.status < 500:
            continue
        if any(
            # A process frozen inside a transaction holds its locks; whoever needs them waits.
            outage.covers(call.since, call.end, slack=SLACK_SECONDS)
            for outage in excusing
            if outage.target == "web" or "frozen" in outage.what
        ):
            continue
        if call.code == "database_unavailable" and cut > 0:
            cut -= 1
            continue
        met = ", ".join(f"{o.target} {o.what}" for o in outages if o.covers(call.start, call.end)) or "nothing"
        yield (
            f"a {call.what} got {call.status or call.fault} {call.code} after {call.end - call.start:.2f} s, "
            f"and what was wrong at that time was: {met}"
        )
    for call in through_broker_outages(made, outages):
        if call.end - call.start > LONGEST_ACCEPT_SECONDS:
            yield f"a job was accepted only after {call.end - call.start:.2f} s while the broker alone was away"


def through_broker_outages(made: Iterable[Call], outages: Sequence[Outage]) -> list[Call]:
    """The submissions that were accepted while the broker was away and nothing else stood in the way."""
    broker = [outage for outage in outages if outage.target == "broker"]
    others = [outage for outage in outages if outage.target == "web" or "frozen" in outage.what]
    others = [outage for outage in others if outage.target != "broker"]
    return [
        call
        for call in made
        if call.what == "submit"
        and call.status == 202
        and any(outage.covers(call.start, call.end) for outage in broker)
        and not any(outage.covers(call.start, call.end, slack=SLACK_SECONDS) for outage in others)
    ]


def few(breaches: Iterable[str]) -> list[str]:
    """The first breaches of one check, and how many more there are."""
    found = list(breaches)
    more = [f"… and {len(found) - MOST_PER_CHECK} more like this"] if len(found) > MOST_PER_CHECK else []
    return [*islice(found, MOST_PER_CHECK), *more]
