"""Anybody's jobs: found, looked into, called, stopped, given back. What they were about is not shown."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Any
from uuid import UUID

from flask import Response, jsonify
from flask_openapi import APIBlueprint
from pydantic import BaseModel, ConfigDict, Field

from models.catalog import Name
from models.database import readings, sessions
from models.jobs import Attempt, Job, Status, desk, repairs
from models.jobs.desk import Details, Wanted
from models.kinds import Kind
from models.ledger import Transfer
from web import tokens
from web.admin import doors
from web.pages import PageSize
from web.problems import Problem
from web.requests import Body
from web.texts import Line
from web.times import render_time
from web.transactions import Moment

api = APIBlueprint(
    "admin_jobs", __name__, url_prefix="/v1/admin/jobs", abp_tags=[{"name": "admin"}], abp_security=tokens.BY_ADMIN
)
api.before_request(doors.admit)

Why = Annotated[Line, Field(max_length=500)]
FOR_THE_LOG = "For the audit log, which forgets nothing: nothing that tells who somebody is."


class AnyJobPath(BaseModel):
    job_id: UUID


class AnyJobQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    status: Status | None = None
    action: Name | None = None
    kind: Kind | None = None
    user_id: UUID | None = None
    error_code: Annotated[Line, Field(max_length=64)] | None = None
    since: Moment | None = Field(None, alias="from", description="The first moment of submission, RFC 3339.")
    until: Moment | None = Field(None, description="The moment before which they were submitted, RFC 3339.")
    after: UUID | None = Field(None, description="The `next` of the page before.")
    limit: PageSize = 20


class RepairRequest(Body):
    reason: Why = Field(description=FOR_THE_LOG)


class JobRefundRequest(RepairRequest):
    amount: Annotated[int, Field(ge=1)] | None = Field(
        None, description="Credits, at most what was charged; all of that if not given."
    )


class AnyJobView(BaseModel):
    id: str
    object: str
    user_id: str
    action: str
    kind: str
    queue: str
    status: Status
    attempt: int
    max_attempts: int
    waits_for: str | None = Field(description="`share`, or the provider it waits for; null when nothing holds it up.")
    run_after: str = Field(description="A queued job is not begun before this.")
    wallet: str
    held: int
    charged: int
    refunded: int
    fallback: bool
    error_code: str | None
    error_message: str | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    expires_at: str | None


class AnyJobList(BaseModel):
    jobs: list[AnyJobView]
    next: str | None = Field(description="Give it as `after` for the next page; null on the last.")


class AttemptView(BaseModel):
    number: int
    provider: str | None
    model: str | None
    provider_request_id: str | None
    ending: str
    error_code: str | None
    started_at: str | None
    ended_at: str
    seconds: float | None
    usage: dict[str, int] | None
    cost_micros: int | None = Field(description="In millionths of a US dollar; null when nobody knows.")


class MoveView(BaseModel):
    id: str
    reason: str
    source: str = Field(description="The account the credits left: issued, available, held, spent…")
    target: str
    amount: int
    lot: str
    ref: str
    created_at: str


class AnyJobDetails(AnyJobView):
    given_back: int = Field(description="Credits of the charge that the house gave back later.")
    attempts: list[AttemptView] = Field(description="Those that are over, in order.")
    transfers: list[MoveView]


class JobRefundView(BaseModel):
    object: str
    job_id: str
    user_id: str
    wallet: str
    amount: int
    charged: int


def render(job: Job) -> dict[str, Any]:
    return {
        "id": str(job.id),
        "object": "job",
        "user_id": str(job.user_id),
        "action": job.action,
        "kind": job.kind,
        "queue": job.queue,
        "status": job.status,
        "attempt": job.attempt,
        "max_attempts": job.max_attempts,
        "waits_for": job.waits_for,
        "run_after": render_time(job.run_after),
        "wallet": job.wallet,
        "held": job.held,
        "charged": job.charged,
        "refunded": job.refunded,
        "fallback": job.fallback,
        "error_code": job.error_code,
        "error_message": job.error_message,
        "created_at": render_time(job.created_at),
        "started_at": render_time(job.started_at),
        "finished_at": render_time(job.finished_at),
        "expires_at": render_time(job.expires_at),
    }


def render_details(found: Details) -> dict[str, Any]:
    return {
        **render(found.job),
        "given_back": found.given_back,
        "attempts": [_attempt(each) for each in found.attempts],
        "transfers": [_move(each) for each in found.transfers],
    }


def _attempt(made: Attempt) -> dict[str, Any]:
    seconds = (made.ended_at - made.started_at).total_seconds() if made.started_at else None
    return {
        "number": made.number,
        "provider": made.provider,
        "model": made.model,
        "provider_request_id": made.provider_request_id,
        "ending": made.ending,
        "error_code": made.error_code,
        "started_at": render_time(made.started_at),
        "ended_at": render_time(made.ended_at),
        "seconds": seconds,
        "usage": made.usage,
        "cost_micros": made.cost_micros,
    }


def _move(made: Transfer) -> dict[str, Any]:
    return {
        "id": str(made.id),
        "reason": made.reason,
        "source": made.source,
        "target": made.target,
        "amount": made.amount,
        "lot": str(made.lot_id),
        "ref": made.ref,
        "created_at": render_time(made.created_at),
    }


@api.get("", responses={200: AnyJobList, 401: Problem, 403: Problem, 422: Problem})
def search(query: AnyJobQuery) -> dict[str, Any]:
    """Everybody's jobs, newest first."""
    wanted = Wanted(
        status=query.status, action=query.action, kind=query.kind, user_id=query.user_id, error_code=query.error_code,
        since=query.since and query.since.astimezone(UTC), until=query.until and query.until.astimezone(UTC),
    )  # fmt: skip
    with readings() as session:
        found, following = desk.page(session, wanted=wanted, limit=query.limit, after=query.after)
    return {"jobs": [render(job) for job in found], "next": str(following) if following else None}


@api.get("/<job_id>", responses={200: AnyJobDetails, 401: Problem, 403: Problem, 404: Problem, 422: Problem})
def show(path: AnyJobPath) -> dict[str, Any]:
    """One job, with its attempts and every transfer of its credits."""
    with readings() as session:
        return render_details(desk.look(session, path.job_id))


@api.post(
    "/<job_id>/retry",
    responses={200: AnyJobView, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def retry(path: AnyJobPath, body: RepairRequest) -> dict[str, Any]:
    """Have a job that waits run now. One that has ended stays as it is (409): its credits have moved."""
    with sessions() as session:
        return render(repairs.run_now(session, by=doors.acting(), job_id=path.job_id, reason=body.reason))


@api.post(
    "/<job_id>/cancel",
    responses={200: AnyJobView, 202: AnyJobView, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def cancel(path: AnyJobPath, body: RepairRequest) -> Response:
    """Stop a job as its user could. A queued one ends at once, with all its credits back; a running one soon (202)."""
    with sessions() as session:
        job = repairs.cancel(session, by=doors.acting(), job_id=path.job_id, reason=body.reason)
    response = jsonify(render(job))
    response.status_code = 202 if job.status is Status.canceling else 200
    return response


@api.post(
    "/<job_id>/refund",
    responses={200: JobRefundView, 401: Problem, 403: Problem, 404: Problem, 409: Problem, 422: Problem},
)
def refund(path: AnyJobPath, body: JobRefundRequest) -> Response:
    """Give back what a job was charged, in whole or in part; once, however often it is asked for."""
    with sessions() as session:
        made = repairs.refund(session, by=doors.acting(), job_id=path.job_id, reason=body.reason, amount=body.amount)
    response = jsonify(
        {
            "object": "job_refund",
            "job_id": str(made.job.id),
            "user_id": str(made.job.user_id),
            "wallet": made.job.wallet,
            "amount": made.amount,
            "charged": made.job.charged,
        }
    )
    if made.replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response
