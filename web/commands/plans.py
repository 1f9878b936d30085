"""`flask plans assign|end|show`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from models import administration, plans
from models.audit_log import Actor, By
from models.catalog import Billing
from models.database import readings, sessions
from web.commands.people import user_of
from web.commands.refusals import refusals_told

group = AppGroup("plans", help="Who has which plan.")

reason = click.option("--reason", help="For the audit log.")


@group.command("assign")
@click.argument("email")
@click.argument("plan")
@click.option("--billing", type=click.Choice([str(each) for each in Billing]), help="How often it is paid.")
@click.option("--months", type=click.IntRange(1, 120), help="End it by itself after so many months.")
@click.option("--ref", help="Your own name for this, such as a ticket: the same one assigns once.")
@reason
def assign(email: str, plan: str, billing: str | None, months: int | None, ref: str | None, reason: str | None) -> None:
    """Give EMAIL the PLAN as it is sold now; what it gives for the current period arrives at once."""
    with sessions() as session, refusals_told():
        administration.assign_plan(
            session,
            by=By(Actor.command),
            user_id=user_of(session, email).id,
            plan=plan,
            ref=ref,
            billing=Billing(billing) if billing else None,
            months=months,
            reason=reason,
        )
    click.echo(f"{email} has the plan {plan}.")


@group.command("end")
@click.argument("email")
@reason
def end(email: str, reason: str | None) -> None:
    """End the plan of EMAIL, who falls back to the plan of sign-up, if there is one."""
    with sessions() as session, refusals_told():
        administration.end_plan(session, by=By(Actor.command), user_id=user_of(session, email).id, reason=reason)
    click.echo(f"The plan of {email} has ended.")


@group.command("show")
@click.argument("email")
def show(email: str) -> None:
    """Say which plan EMAIL has."""
    with readings() as session:
        held = plans.entitlements(session, user_id=user_of(session, email).id).held
    click.echo(f"{email} has {f'the plan {held.plan} since {held.started_at:%Y-%m-%d}' if held else 'no plan'}.")
