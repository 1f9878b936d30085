"""`flask users verify`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from models import catalog, referrals, users
from models.database import sessions
from web.commands.people import user_of

group = AppGroup("users", help="Accounts.")


@group.command("verify")
@click.argument("email")
def verify(email: str) -> None:
    """Note that EMAIL was seen to belong to whoever has the account; who brought them may get credits for it."""
    with sessions() as session:
        user_id = user_of(session, email).id
        new = users.verify(session, user_id)
        referrals.reward(session, catalog.current(session), user_id=user_id, on="verification")
    click.echo(f"{email} is verified{'' if new else ' already'}.")
