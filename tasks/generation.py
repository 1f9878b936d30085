"""Generation: one attempt at one job."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import OperationalError, SQLAlchemyError

import counters
import tracing
from config import AiFallback, settings
from models import jobs
from models.database import at_once, sessions
from models.jobs import Claim, Effort, Ending
from models.providers import Entry
from worker import ai
from worker.ai.moderation import moderate, moderator
from worker.ai.outputs import store
from worker.ai.provider import Canceled, Refused, Unavailable
from worker.app import app
from worker.backends import Offer, offers
from worker.gates import FAILURES, Gates
from worker.leases import Lease, Leases
from worker.metering import Meter

log = structlog.get_logger(__name__)
leases = Leases(settings())
gates = Gates(settings())

STAND_IN = "mock"
"""The provider that makes what a real one could not, where `AI_FALLBACK` says so."""

PASSING = FAILURES | {"provider_rate_limited"}
"""Errors of a provider that another may make up for."""

FINISH_PAUSES_SECONDS = (0.5, 2.0, 5.0)
"""How long to wait for a database that is away before what was generated is given up to another attempt."""

Finish = Callable[[], Ending]
"""How an attempt is to be finished, with its own transaction."""


@app.task(name=jobs.RUN_TASK)
def run(job_id: str) -> None:
    """Run a job if it is free to run: claim it, generate, finish it."""
    with at_once() as session:
        claim = jobs.claim(session, UUID(job_id), lease_seconds=settings().lease_seconds)
    if claim is None:
        return
    if claim.attempt > 1:
        _note_taken_over(claim)
    started = time.monotonic()
    offer = offers().get(claim.kind)
    entry = gates.enter(claim, offer.provider) if offer else Entry.admitted
    if entry in (Entry.waits, Entry.over):
        return
    try:
        with leases.keep(claim, model=offer.model_for(claim.input) if offer else "") as lease:
            ending = write_down(give_up(claim, lease) if entry is Entry.hopeless else generate(claim, lease, offer))
    finally:
        if offer:
            gates.leave(claim, offer.provider)
    counters.attempt_ended(claim.kind, offer.provider if offer else None, ending)
    tracing.tell(kind=claim.kind, attempt=claim.attempt, ending=str(ending))
    log.info(
        "attempt_ended", job_id=job_id, attempt=claim.attempt, kind=claim.kind, ending=str(ending),
        seconds=round(time.monotonic() - started, 3),
    )  # fmt: skip


def generate(claim: Claim, lease: Lease, offer: Offer | None) -> Finish:
    """Talk to the provider, with no transaction open, and return how the attempt is to be finished."""
    retry = partial(jobs.retry, claim=claim, base_seconds=settings().retry_base_seconds)
    steps = partial(partial, _in_one_transaction)
    meter = Meter(moderated_by=settings().moderation_model)
    if offer is None:
        message = f"Nobody does {claim.kind} here any more."
        return steps(jobs.fail, claim=claim, code="kind_unavailable", message=message, effort=meter.effort())
    try:
        look_at(lease, meter)
        meter.asked(offer.provider, lease.model)
        with gates.watching(claim, offer.provider):
            made = ai.provider(offer.provider, settings()).generate(lease)
        meter.made(made)
        outputs = store(claim, made.outputs)
    except Canceled:
        began = lease.request_id is not None
        return steps(jobs.cancel, claim=claim, provider_began=began, effort=meter.effort(lease.request_id))
    except Refused as error:
        effort = meter.failed(error, lease.request_id)
        return steps(jobs.fail, claim=claim, code=error.code, message=error.message, effort=effort)
    except Unavailable as error:
        effort = meter.failed(error, lease.request_id)
        finish = steps(retry, code=error.code, message=error.message, retry_after=error.retry_after, effort=effort)
        if claim.attempt < claim.max_attempts or error.code not in PASSING or effort.provider in (None, STAND_IN):
            return finish
        return stand_in(claim, lease, effort, fault=error.code, otherwise=finish)
    except Exception:
        log.exception("attempt_broke", job_id=str(claim.job_id), attempt=claim.attempt)
        effort = meter.effort(lease.request_id)
        return steps(retry, code="internal_error", message="Something went wrong on our side.", effort=effort)
    if made.delivered_percent > 100:
        log.warning("price_overrun", job_id=str(claim.job_id), delivered_percent=made.delivered_percent)
    return partial(
        _complete, claim=claim, outputs=outputs, usage=dict(made.usage), delivered_percent=made.delivered_percent,
        effort=meter.effort(lease.request_id),
    )  # fmt: skip


def _note_taken_over(claim: Claim) -> None:
    """Write down what nobody did of the attempt before this one, if it fell silent; its record is not worth a job."""
    try:
        with sessions() as session:
            jobs.note_taken_over(session, job_id=claim.job_id, number=claim.attempt)
    except SQLAlchemyError as error:
        log.warning("lost_attempt_not_noted", error=type(error).__name__)


def look_at(lease: Lease, meter: Meter) -> None:
    """Have an order looked at, if orders are; raises what the moderator says. Once begun, it was looked at before."""
    if lease.request_id is None and (judge := moderator(settings())) is not None:
        meter.moderated()
        with tracing.step("moderate", kind=lease.kind):
            moderate(judge, lease)


def give_up(claim: Claim, lease: Lease) -> Finish:
    """Return how a job is to be finished that cannot wait until its provider is back."""
    code = "provider_unavailable"
    message = "The provider is out of order, and the job could not wait any longer. Nothing was charged."
    meter = Meter(moderated_by=settings().moderation_model)
    if settings().ai_fallback is not AiFallback.none:
        try:
            look_at(lease, meter)
        except (Refused, Unavailable) as error:
            code, message = error.code, error.message
        else:
            effort = meter.effort()
            fail = partial(_in_one_transaction, jobs.fail, claim=claim, code=code, message=message, effort=effort)
            return stand_in(claim, lease, effort, fault=code, otherwise=fail)
    return partial(_in_one_transaction, jobs.fail, claim=claim, code=code, message=message, effort=meter.effort())


def stand_in(claim: Claim, lease: Lease, effort: Effort, *, fault: str, otherwise: Finish) -> Finish:
    """Have the mock provider make what the real one did not because of `fault`, if that is wanted and it can.

    The user pays nothing for it. `effort` is what the attempt took until now.
    """
    if settings().ai_fallback is AiFallback.none:
        return otherwise
    try:
        made = ai.provider(STAND_IN, settings()).generate(lease)
        outputs = store(claim, made.outputs)
    except Canceled:
        return partial(_in_one_transaction, jobs.cancel, claim=claim, provider_began=False, effort=effort)
    except Exception as error:
        log.warning("fallback_failed", job_id=str(claim.job_id), error=type(error).__name__)
        return otherwise
    log.warning("fallback_made", job_id=str(claim.job_id), code=fault)
    return partial(
        _in_one_transaction, jobs.complete_free, claim=claim, outputs=outputs, usage=dict(made.usage), effort=effort,
        fault=fault,
    )  # fmt: skip


def write_down(finish: Finish) -> Ending:
    """Finish an attempt, trying again while the database is away."""
    for pause in FINISH_PAUSES_SECONDS:
        try:
            return finish()
        except OperationalError as error:
            log.warning("finish_delayed", error=type(error.orig).__name__, pause=pause)
            time.sleep(pause)
    return finish()


def _in_one_transaction(verb: Callable[..., Ending], **how: Any) -> Ending:
    with sessions() as session:
        return verb(session, **how)


def _complete(**delivered: Any) -> Ending:
    """Complete in one statement if that will do, else step by step in a transaction."""
    with at_once() as session:
        done = jobs.complete_at_once(session, **delivered)
    if done is None:
        return _in_one_transaction(jobs.complete, **delivered)
    if done.next_waits:
        _call_next(done.user_id)
    return Ending.completed


def _call_next(user_id: UUID) -> None:
    """Call the next of a user's jobs. The job before it has ended, and if this fails the sweep calls."""
    try:
        with sessions() as session:
            jobs.call_next(session, user_id=user_id)
    except SQLAlchemyError as error:
        log.warning("next_not_called", error=type(error).__name__)
