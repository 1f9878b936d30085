"""Maintenance: what beat has done regularly. Two beats, or a late one, do no harm: each verb finds what is due."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import structlog
from sqlalchemy.orm import Session

import counters
from config import settings
from models import audit as books
from models import (
    catalog,
    closing,
    jobs,
    ledger,
    low_balances,
    notices,
    outbox,
    plans,
    providers,
    signs,
    uploads,
)
from models.database import readings, sessions
from models.jobs import Queue
from worker import broker, relay
from worker.app import app
from worker.gates import limits, patience
from worker.storage import storage

log = structlog.get_logger(__name__)

PAGE = 500

GRANTING_SECONDS = 45.0
"""How long one run may grant allowances: less than beat's period, so that runs do not pile up and take all threads."""


@app.task(name="maintenance.rescue")
def rescue() -> None:
    """Catch the jobs of workers that fell silent."""
    _all_pages("jobs_rescued", lambda session: jobs.rescue_silent(session, base_seconds=settings().retry_base_seconds))


@app.task(name="maintenance.sign_of_life")
def sign_of_life() -> None:
    """Show that what beat asks for is done."""
    with sessions() as session:
        signs.leave(session, {signs.BEAT: None})


@app.task(name="maintenance.expire_waiting")
def expire_waiting() -> None:
    """End the jobs that waited past their own deadline."""
    _all_pages("jobs_expired", jobs.expire_waiting)


@app.task(name="maintenance.sweep_outbox")
def sweep_outbox() -> None:
    """Publish what a crash or a broken broker left in the outbox, and retries whose time has come."""
    published = relay.sweep(app)
    if published:
        log.info("outbox_swept", messages=published)


@app.task(name="maintenance.wake_forgotten")
def wake_forgotten() -> None:
    """Wake jobs whose message was lost by the broker.

    A job may also wait because many are before it. So a queue is only looked at when the broker has fewer messages in
    it than the database has jobs waiting for one, and nothing is still to be published.
    """
    for queue in Queue:
        with readings() as session:
            waiting = 0 if outbox.overdue(session) else jobs.waiting(session, queue)
        if not waiting:
            continue
        messages = broker.depth(app, queue)
        if messages is None or messages >= waiting:
            continue
        _all_pages("jobs_woken_again", lambda session, queue=queue: jobs.wake_again(session, queue))  # type: ignore[misc]


@app.task(name="maintenance.call_waiting")
def call_waiting() -> None:
    """Call jobs that wait in line though there is room for them: what a crash left, or a larger share allows, and those
    that wait for a provider which may be asked again."""
    _all_pages("jobs_called", jobs.call_waiting)
    with sessions() as session:
        called = providers.call_all(session, patience=patience(settings()), limits=limits(settings()))
    if called:
        log.info("jobs_called_for_providers", jobs=called)


@app.task(name="maintenance.expire_credits")
def expire_credits() -> None:
    """Expire the lots of wallets that nobody touches, each wallet in a transaction of its own."""
    last = 0
    while True:
        with readings() as session:
            due = ledger.wallets_due(session, limit=PAGE, after=last)
        for wallet_id in due:
            with sessions() as session:
                ledger.expire(session, wallet_id=wallet_id)
        if len(due) < PAGE:
            return
        last = due[-1]


@app.task(name="maintenance.grant_allowances")
def grant_allowances() -> None:
    """Grant the allowances whose time has come; what the time of one run does not suffice for is the next one's."""
    seen = plans.grant_all_due(sessions, seconds=GRANTING_SECONDS)
    if seen:
        log.info("allowances_granted", seen=seen)


@app.task(name="maintenance.end_plans")
def end_plans() -> None:
    """End the plans that are past their end, each in a transaction of its own."""
    while True:
        with readings() as session:
            overdue = plans.overdue(session, limit=PAGE)
        for user_id in overdue:
            with sessions() as session:
                plans.end_overdue(session, user_id=user_id)
        if len(overdue) < PAGE:
            return


@app.task(name="maintenance.notice_expiring")
def notice_expiring() -> None:
    """Tell the owners of credits that are about to expire, a page of them in each transaction."""
    told, after, run = 0, None, uuid4()
    while True:
        with sessions() as session:
            new, after = notices.notice_expiring(session, catalog.current(session), limit=PAGE, after=after, run=run)
        told += new
        if after is None:
            break
    if told:
        log.info("expiry_told", notices=told)


@app.task(name="maintenance.tell_low_balances")
def tell_low_balances() -> None:
    """Tell the owners of wallets that have become low, a page of transfers in each transaction."""
    told, more = 0, True
    while more:
        with sessions() as session:
            new, more = low_balances.tell(session, catalog.current(session), limit=PAGE)
        told += new
    if told:
        log.info("low_balances_told", notices=told)


@app.task(name="maintenance.close_accounts")
def close_accounts() -> None:
    """Erase the accounts that are closing and have no job left to run."""
    with readings() as session:
        due = closing.due(session, limit=PAGE)
    closed = 0
    for user_id in due:
        try:
            closed += _close(user_id)
        except Exception:
            # One account whose file cannot be deleted keeps no other from being closed.
            log.exception("account_not_closed", user_id=str(user_id))
    if closed:
        log.info("accounts_closed", accounts=closed)


def _close(user_id: UUID) -> bool:
    """Erase one account: its files first, then the rows that name them. After a crash it is done again."""
    with sessions() as session:
        if not closing.ready(session, user_id=user_id):
            return False
    while True:
        with readings() as session:
            job_ids = jobs.to_erase(session, user_id=user_id, limit=PAGE)
        if not job_ids:
            break
        for job_id in job_ids:
            storage().delete_all(str(job_id))
        with sessions() as session:
            jobs.erase(session, job_ids)
    storage().delete_all(uploads.folder(user_id))
    with sessions() as session:
        return closing.finish(session, user_id=user_id)


@app.task(name="maintenance.audit")
def audit() -> None:
    """Prove that the books balance. A finding is an alarm; nothing is repaired."""
    with sessions() as session:
        findings = books.audit(session)
        totals = {f"{signs.CREDITS}{kind}:{account}": sum_ for kind, account, sum_ in ledger.totals(session)}
    with sessions() as session:
        signs.leave(session, {signs.AUDIT: len(findings), **totals})
    for finding in findings:
        log.critical("audit_finding", finding=finding)
    log.info("audit_done", findings=len(findings))


def _all_pages(event: str, verb: Callable[[Session], int]) -> None:
    total = 0
    while True:
        with sessions() as session:
            found = verb(session)
        total += found
        if found < jobs.PAGE:
            break
    if total:
        counters.RESCUES.labels(event).inc(total)
        log.info(event, jobs=total)
