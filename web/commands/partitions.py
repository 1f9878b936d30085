"""`flask partitions`: the transfers in several tables, for when one has become too large to look after."""

from __future__ import annotations

import click
from flask.cli import AppGroup
from sqlalchemy import text

from config import settings
from models import partitions, walls
from models.database import engine
from web.commands.database import MIGRATION_LOCK

group = AppGroup("partitions", help="The transfers in several tables, by wallet (PostgreSQL; docs/growing.md).")


@group.command("show")
def show() -> None:
    """List the partitions of transfers with their sizes."""
    _on_postgresql()
    with engine().connect() as connection:
        found = partitions.parts(connection)
    if not found:
        click.echo("The transfers are one table.")
    for part in found:
        click.echo(f"{part.table}  {part.rows:>14,} rows  {part.size / 2**20:>12,.0f} MiB")


@group.command("split")
@click.option("--into", default=16, show_default=True, type=click.IntRange(2, partitions.MOST), help="How many.")
@click.confirmation_option(prompt="Are web, workers and beat stopped, and is there a backup?")
def split(into: int) -> None:
    """Copy the transfers into partitions by wallet. Stop everything first; all of it happens or nothing."""
    _on_postgresql()
    with engine().begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        try:
            number = partitions.split(connection, into=into)
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        if settings().row_level_security:
            walls.admit(connection)
    click.echo(f"{number:,} transfers are in {into} partitions.")


def _on_postgresql() -> None:
    if not settings().on_postgresql:
        raise click.ClickException("Partitions are PostgreSQL's: DATABASE_URL names another database.")
