"""`flask audit`."""

from __future__ import annotations

import click

from models import audit as books
from models.database import sessions


@click.command("audit")
def audit() -> None:
    """Prove that credits are conserved and every job has one outcome. Exits with 1 when anything does not fit."""
    with sessions() as session:
        findings = books.audit(session)
    for finding in findings:
        click.echo(finding)
    if findings:
        raise click.ClickException(f"{len(findings)} findings: the books do not balance")
    click.echo("The books balance.")
