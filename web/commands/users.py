"""`flask users verify`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from models import catalog, signup
from models.database import sessions
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
