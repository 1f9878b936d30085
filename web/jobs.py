"""Jobs: estimate, submit, poll, list, cancel, fetch what they made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any
from uuid import UUID

from flask import Response, jsonify, request
from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from config import settings
from models import jobs, uploads
from models.api_keys import Scope
from models.database import at_once, readings, sessions
from models.jobs import LONGEST_WAIT_SECONDS, Order, Snapshot, Status, Submission
from web import outputs, rates, tokens
from web.outputs import OutputView
from web.pages import PageSize
from web.problems import Problem
from web.quotes import PartView, ask
from web.requests import Body, idempotency_key, preferred_wait
from web.times import render_time
from web.waiting import wait_for_job
from web.wallets import owned

api = APIBlueprint(
    "jobs", __name__, url_prefix="/v1/jobs", abp_tags=[{"name": "jobs"}], abp_security=tokens.BY_TOKEN_OR_KEY
)
api.before_request(tokens.callers(read=Scope.jobs_read, write=Scope.jobs_write))
api.before_request(rates.counted("jobs.submit", "jobs.estimate"))

POLL_SECONDS = 1
"""How often a client is asked to look again."""


class JobRequest(Body):
    action: Annotated[str, Field(max_length=50, examples=["chat"])]
    input: dict[str, Any] = Field(examples=[{"prompt": "She wrote: see you at eight?"}])
    expires_in: Annotated[int, Field(ge=1, le=LONGEST_WAIT_SECONDS)] | None = Field(
        None, description="Seconds the job may wait for a worker before it ends as expired, with a full refund."
    )


class JobPath(BaseModel):
    job_id: UUID


class JobQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: UUID | None = Field(None, description="The `next` of the page before.")
    limit: PageSize = 20
    status: Status | None = None


class CostView(BaseModel):
    wallet: str
    estimate: int
    held: int
    charged: int
    refunded: int
    breakdown: list[PartView]


class ErrorView(BaseModel):
    code: str
    message: str


class UrlsView(BaseModel):
    get: str
    cancel: str


class JobView(BaseModel):
    id: str
    object: str
    action: str
    status: Status
    attempt: int
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None
    cost: CostView
    error: ErrorView | None
    outputs: list[OutputView]
    usage: dict[str, int]
    fallback: bool = Field(description="Made by the mock provider, because the real one was down. Nothing is charged.")
    urls: UrlsView


class JobList(BaseModel):
    jobs: list[JobView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class EstimateView(BaseModel):
    action: str
    wallet: str
    price: int
    breakdown: list[PartView]
    available: int
    affordable: bool


def render(job: Snapshot) -> dict[str, Any]:
    here = f"/v1/jobs/{job.id}"
    return {
        "id": str(job.id),
        "object": "job",
        "action": job.action,
        "status": job.status,
        "attempt": job.attempt,
        "created_at": render_time(job.created_at),
        "started_at": render_time(job.started_at),
        "finished_at": render_time(job.finished_at),
        "expires_at": render_time(job.expires_at),
        "cost": {
            "wallet": job.wallet,
            "estimate": job.estimate,
            "held": job.held,
            "charged": job.charged,
            "refunded": job.refunded,
            "breakdown": job.breakdown,
        },
        "error": {"code": job.error_code, "message": job.error_message} if job.error_code else None,
        "outputs": outputs.render(job),
        "usage": job.usage or {},
        "fallback": bool(job.fallback),
        "urls": {"get": here, "cancel": f"{here}/cancel"},
    }


def _order(body: JobRequest, key: str | None = None) -> Order:
    catalog, asked = ask(body.action, body.input)
    return jobs.order(
        catalog,
        asked,
        user_id=tokens.current_user_id(),
        expires_in=body.expires_in,
        idempotency_key=key,
        max_attempts=settings().max_attempts,
    )


def _accept(order: Order) -> Submission:
    """Submit in one statement if that will do, else step by step in a transaction."""
    with at_once() as session:
        accepted = jobs.submit_at_once(session, order)
    if accepted is not None:
        return accepted
    with sessions() as session:
        return jobs.submit_step_by_step(session, order)


@api.post("/estimate", responses={200: EstimateView, 401: Problem, 409: Problem, 422: Problem, 429: Problem})
def estimate(body: JobRequest) -> dict[str, Any]:
    """What would this job cost, and can I pay it? Nothing is held."""
    order = _order(body)
    with readings() as session:
        uploads.require(session, user_id=order.user_id, upload_id=order.upload_id)
    balance = owned(order.user_id).get(order.wallet)
    available = balance.usable if balance else 0
    return {
        "action": order.action,
        "wallet": order.wallet,
        "price": order.price,
        "breakdown": order.breakdown,
        "available": available,
        "affordable": available >= order.price,
    }


@api.post(
    "",
    responses={
        200: JobView, 202: JobView, 401: Problem, 402: Problem, 409: Problem, 422: Problem, 429: Problem,
    },
)  # fmt: skip
def submit(body: JobRequest) -> Response:
    """Submit a job: its price is held now, charged when it completes, and comes back if it does not.

    Send an `Idempotency-Key` and repeat the request as often as needed: there will be one job. With `Prefer: wait=n`
    the answer comes as soon as the job has ended, and is a 200 then; after n seconds it is a 202, as it is without.
    """
    order = _order(body, idempotency_key())
    submission = _accept(order)
    job, waited = _wait(submission.job, _ended)
    response = jsonify(render(job))
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    if job.final:
        response.status_code = 200
    else:
        response.status_code = 202
        response.headers["Retry-After"] = str(POLL_SECONDS)
    if waited:
        response.headers["Preference-Applied"] = waited
    if submission.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@api.get("", responses={200: JobList, 401: Problem, 422: Problem})
def history(query: JobQuery) -> dict[str, Any]:
    """My jobs, newest first."""
    with readings() as session:
        found, following = jobs.page(
            session, user_id=tokens.current_user_id(), limit=query.limit, after=query.after, status=query.status
        )
    return {"jobs": [render(job) for job in found], "next": str(following) if following else None}


@api.get("/<job_id>", responses={200: JobView, 304: None, 401: Problem, 404: Problem, 422: Problem})
def show(path: JobPath) -> Response:
    """One job. Poll it with `If-None-Match`: nothing new is a 304 without a body.

    With `Prefer: wait=n` the answer comes as soon as the job has ended, or after n seconds; with both, also once the
    job is not what the tag names any more.
    """
    job = jobs.read(user_id=tokens.current_user_id(), job_id=path.job_id)
    job, waited = _wait(job, _is_new if request.if_none_match else _ended)
    response = _tagged(job)
    if waited:
        response.headers["Preference-Applied"] = waited
    return response


@api.post("/<job_id>/cancel", responses={200: JobView, 202: JobView, 401: Problem, 404: Problem, 409: Problem})
def cancel(path: JobPath) -> Response:
    """Stop a job. A queued one ends at once, with all its credits back; a running one stops soon (202)."""
    with sessions() as session:
        job = jobs.request_cancel(session, user_id=tokens.current_user_id(), job_id=path.job_id)
    response = _tagged(job)
    response.status_code = 200 if job.final else 202
    return response


def _wait(job: Snapshot, done: Callable[[Snapshot], bool]) -> tuple[Snapshot, str | None]:
    """Wait for a job as the request prefers. Returns it as it is then, and which preference was applied, if any."""
    seconds = preferred_wait()
    if not seconds:
        return job, None
    job, waited = wait_for_job(job, user_id=tokens.current_user_id(), seconds=seconds, done=done)
    return job, f"wait={seconds}" if waited else None


def _ended(job: Snapshot) -> bool:
    return job.final


def _is_new(job: Snapshot) -> bool:
    return job.final or not request.if_none_match.contains(outputs.tag(job))


def _tagged(job: Snapshot) -> Response:
    # Before the links of the answer are made: these may be younger than their tag, but not older.
    tag = outputs.tag(job)
    if request.method == "GET" and request.if_none_match.contains(tag):
        response = Response(status=304)
    else:
        response = jsonify(render(job))
    response.set_etag(tag)
    response.headers["Cache-Control"] = "private, no-cache"
    if not job.final:
        response.headers["Retry-After"] = str(POLL_SECONDS)
    return response
