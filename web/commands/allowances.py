"""`flask allowances grant`."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from models import plans
from models.database import sessions

group = AppGroup("allowances", help="Credits that plans give per period.")


@group.command("grant")
def grant() -> None:
    """Grant every allowance that is due, as beat does every minute; each period is granted once, whoever asks."""
    click.echo(f"{plans.grant_all_due(sessions)} allowances were due.")
