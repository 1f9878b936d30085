"""`flask promotions list|put|remove`: codes, and what they are good for."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
from flask.cli import AppGroup

from models import catalog, promotions
from models.audit_log import Actor, By
from models.catalog import editing
from models.database import moment, readings, sessions
from web.commands.refusals import refusals_told

group = AppGroup("promotions", help="Codes, and what they are good for.")

reason = click.option("--reason", required=True, help="For the audit log.")


@group.command("list")
def show_list() -> None:
    """Show every promotion, and how often each was redeemed."""
    with readings() as session, refusals_told():
        sold, today = catalog.current(session).promotions, moment(session)
        counts = promotions.uses(session, list(sold))
    for code, each in sold.items():
        cap = f" of {each.cap}" if each.cap else ""
        click.echo(f"{code}  {each.title}  {'open' if each.open_at(today) else 'closed'}  {counts[code]}{cap} redeemed")


@group.command("put")
@click.argument("code")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@reason
def put(code: str, file: Path, reason: str) -> None:
    """Make CODE good for what FILE says, in TOML: title, credits, plan, months, starts_at, ends_at, cap."""
    try:
        said = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{file} is not TOML: {error}") from None
    with sessions() as session, refusals_told():
        made = editing.store(session, by=By(Actor.command), edit=editing.putting(code, said), reason=reason)
    click.echo(f"{code} is {'sold' if made.changed else 'as it was'}: version {made.version}.")


@group.command("remove")
@click.argument("code")
@reason
def remove(code: str, reason: str) -> None:
    """Make CODE good for nothing from now on; what it has given stays."""
    with sessions() as session, refusals_told():
        made = editing.store(session, by=By(Actor.command), edit=editing.removing(code), reason=reason)
    click.echo(f"{code} is removed: version {made.version}.")
