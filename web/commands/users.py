"""`flask users verify`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from models import users
from models.database import sessions
from web.commands.people import user_of

group = AppGroup("users", help="Accounts.")


@group.command("verify")
@click.argument("email")
def verify(email: str) -> None:
    """Note that EMAIL was seen to belong to whoever has the account."""
    with sessions() as session:
        new = users.verify(session, user_of(session, email).id)
    click.echo(f"{email} is verified{'' if new else ' already'}.")
