"""`flask jobs list|show|retry|cancel|refund`: anybody's jobs."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import click
from flask.cli import AppGroup

from models.audit_log import Actor, By
from models.costs import usd
from models.database import readings, sessions
from models.jobs import Job, Status, desk, repairs
from models.jobs.desk import Wanted
from models.kinds import Kind
from web.commands.people import user_of
from web.commands.refusals import refusals_told

group = AppGroup("jobs", help="Anybody's jobs.")

MOMENT = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])

job_id = click.argument("job_id", type=click.UUID)
reason = click.option("--reason", required=True, help="For the audit log.")


@group.command("list")
@click.option("--status", type=click.Choice([str(each) for each in Status]))
@click.option("--action")
@click.option("--kind", type=click.Choice([str(each) for each in Kind]))
@click.option("--user", "email", help="Only those of the user with this address.")
@click.option("--error", help="Only those with this error code.")
@click.option("--from", "since", type=MOMENT, help="Submitted at or after this moment (UTC).")
@click.option("--until", type=MOMENT, help="Submitted before this moment (UTC).")
@click.option("--after", type=click.UUID, help="Go on after this job, which ended the page before.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
def show_list(
    status: str | None, action: str | None, kind: str | None, email: str | None, error: str | None,
    since: datetime | None, until: datetime | None, after: UUID | None, limit: int,
) -> None:  # fmt: skip
    """Show jobs, newest first."""
    with readings() as session, refusals_told():
        wanted = Wanted(
            status=Status(status) if status else None, action=action, kind=Kind(kind) if kind else None,
            user_id=user_of(session, email).id if email else None, error_code=error,
            since=since and since.replace(tzinfo=UTC), until=until and until.replace(tzinfo=UTC),
        )  # fmt: skip
        found, following = desk.page(session, wanted=wanted, limit=limit, after=after)
    for job in found:
        click.echo(_line(job))
    if following:
        click.echo(f"There are more: --after {following}")


@group.command("show")
@job_id
def show(job_id: UUID) -> None:
    """Show a job, its attempts and every transfer of its credits."""
    with readings() as session, refusals_told():
        found = desk.look(session, job_id)
    job = found.job
    click.echo(_line(job))
    click.echo(
        f"  held {job.held}, charged {job.charged}, refunded {job.refunded} {job.wallet}"
        f"{f', {found.given_back} given back' if found.given_back else ''}"
    )
    for made in found.attempts:
        whom = " ".join(filter(None, (made.provider, made.model))) or "nobody asked"
        cost = "cost unknown" if made.cost_micros is None else f"{usd(made.cost_micros)} USD"
        took = f"{(made.ended_at - made.started_at).total_seconds():.1f} s" if made.started_at else "unknown time"
        fault = f" ({made.error_code})" if made.error_code else ""
        click.echo(f"  attempt {made.number}: {made.ending}{fault}, {whom}, {took}, {cost}")
    for moved in found.transfers:
        click.echo(f"  {moved.reason}: {moved.amount} {moved.source} → {moved.target}, lot {moved.lot_id}")


@group.command("retry")
@job_id
@reason
def retry(job_id: UUID, reason: str) -> None:
    """Have a job that waits run now. One that has ended stays as it is."""
    with sessions() as session, refusals_told():
        repairs.run_now(session, by=By(Actor.command), job_id=job_id, reason=reason)
    click.echo(f"{job_id} is called.")


@group.command("cancel")
@job_id
@reason
def cancel(job_id: UUID, reason: str) -> None:
    """Stop a job as its user could."""
    with sessions() as session, refusals_told():
        job = repairs.cancel(session, by=By(Actor.command), job_id=job_id, reason=reason)
    click.echo(f"{job_id} is {job.status}.")


@group.command("refund")
@job_id
@click.option("--amount", type=click.IntRange(1), help="Credits; all that was charged if not given.")
@reason
def refund(job_id: UUID, amount: int | None, reason: str) -> None:
    """Give back what a job was charged; once, however often it is asked for."""
    with sessions() as session, refusals_told():
        made = repairs.refund(session, by=By(Actor.command), job_id=job_id, reason=reason, amount=amount)
    click.echo(f"{made.amount} {made.job.wallet} {'were given back before' if made.replayed else 'are given back'}.")


def _line(job: Job) -> str:
    error = f"  {job.error_code}" if job.error_code else ""
    waits = f"  waits for {job.waits_for}" if job.waits_for else ""
    return f"{job.id}  {job.created_at:%Y-%m-%d %H:%M:%S}  {job.status:<9}  {job.action}  {job.user_id}{error}{waits}"
