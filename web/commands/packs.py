"""`flask packs grant`: credits that were paid for elsewhere."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from models import catalog, packs
from models.database import sessions
from web.commands.people import user_of
from web.commands.refusals import refusals_told

group = AppGroup("packs", help="Packs of credits.")


@group.command("grant")
@click.argument("email")
@click.argument("pack")
@click.option("--ref", required=True, help="The payment, such as an invoice number: the same one grants once.")
def grant(email: str, pack: str, ref: str) -> None:
    """Give EMAIL the credits of PACK, which was paid for in another way."""
    with sessions() as session, refusals_told():
        packs.fulfil(
            session,
            catalog.current(session),
            user_id=user_of(session, email).id,
            pack=pack,
            ref=f"offline:{ref}",
            reference=ref,
        )
    click.echo(f"{email} has the credits of {pack}.")
