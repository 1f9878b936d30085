"""`flask users verify|role|suspend|restore`."""

from __future__ import annotations

from typing import Any

import click
from flask.cli import AppGroup

from models import administration, catalog, signup
from models.audit_log import Actor, By
from models.database import readings, sessions
from models.users import Role
from web.commands.people import user_of
from web.commands.refusals import refusals_told

group = AppGroup("users", help="Accounts.")


@group.command("verify")
@click.argument("email")
def verify(email: str) -> None:
    """Note that EMAIL was seen to belong to whoever has the account; they get what the link in an e-mail gives."""
    with sessions() as session, refusals_told():
        new = signup.verify(session, catalog.current(session), user_id=user_of(session, email).id)
    click.echo(f"{email} is verified{'' if new else ' already'}.")


reason = click.option("--reason", help="For the audit log.")


@group.command("role")
@click.argument("email")
@click.argument("role", type=click.Choice([str(each) for each in Role]))
@reason
def role(email: str, role: str, reason: str | None) -> None:
    """Give EMAIL another role: support may look at all accounts, an admin may change them.

    Its address must be verified: anybody can sign up with the address of somebody else.
    """
    with readings() as session:
        if user_of(session, email).verified_at is None:
            raise click.ClickException(
                f"{email} is not verified, so whoever has that account may be a stranger. Nothing was changed."
            )
    _change(email, role=Role(role), reason=reason)
    click.echo(f"{email} has the role {role}.")


@group.command("suspend")
@click.argument("email")
@reason
def suspend(email: str, reason: str | None) -> None:
    """Suspend EMAIL: logged out everywhere, and API keys are good for nothing."""
    _change(email, suspended=True, reason=reason)
    click.echo(f"{email} is suspended.")


@group.command("restore")
@click.argument("email")
@reason
def restore(email: str, reason: str | None) -> None:
    """Let EMAIL, who was suspended, come back."""
    _change(email, suspended=False, reason=reason)
    click.echo(f"{email} is not suspended.")


def _change(email: str, **what: Any) -> None:
    with sessions() as session, refusals_told():
        administration.change(session, by=By(Actor.command), user_id=user_of(session, email).id, **what)
