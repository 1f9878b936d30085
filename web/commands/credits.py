"""`flask credits adjust`."""

from __future__ import annotations

from datetime import UTC, datetime

import click
from flask.cli import AppGroup

from models import adjustments
from models.audit_log import Actor, By
from models.database import new_id, sessions
from web.commands.people import user_of
from web.commands.refusals import refusals_told

group = AppGroup("credits", help="Credits that the house gives or takes away.")


# What begins with a dash is an amount here and no option.
@group.command("adjust", context_settings={"ignore_unknown_options": True})
@click.argument("email")
@click.argument("wallet")
@click.argument("amount", type=int)
@click.option("--reason", required=True, help="For the audit log.")
@click.option("--key", help="Your own name for this, such as a ticket: the same one moves credits once.")
@click.option("--expires", type=click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]), help="UTC.")
def adjust(email: str, wallet: str, amount: int, reason: str, key: str | None, expires: datetime | None) -> None:
    """Give EMAIL so many credits of WALLET; take them away when AMOUNT is below zero, never more than are available."""
    with sessions() as session, refusals_told():
        made = adjustments.adjust(
            session, by=By(Actor.command), user_id=user_of(session, email).id, wallet=wallet, amount=amount,
            reason=reason, key=key or f"command:{new_id()}", expires_at=expires and expires.replace(tzinfo=UTC),
        )  # fmt: skip
    click.echo(f"{email} has {made.available} available {wallet}{' as before: made earlier' if made.replayed else ''}.")
