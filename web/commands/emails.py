"""`flask emails list|replay`: what has become of e-mails."""

from __future__ import annotations

from uuid import UUID

import click
from flask.cli import AppGroup

from models.audit_log import Actor, By
from models.database import readings, sessions
from models.emails import EmailState, Template, desk
from models.emails.desk import Wanted
from web.commands.people import user_of
from web.commands.refusals import refusals_told

group = AppGroup("emails", help="What has become of e-mails.")


@group.command("list")
@click.option("--state", type=click.Choice([str(each) for each in EmailState]))
@click.option("--template", type=click.Choice([str(each) for each in Template]))
@click.option("--user", "address", help="Only those to the user with this address.")
@click.option("--after", type=click.UUID, help="Go on after this e-mail, which ended the page before.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
def show_list(state: str | None, template: str | None, address: str | None, after: UUID | None, limit: int) -> None:
    """Show e-mails, newest first."""
    with readings() as session, refusals_told():
        wanted = Wanted(
            state=EmailState(state) if state else None, template=Template(template) if template else None,
            user_id=user_of(session, address).id if address else None,
        )  # fmt: skip
        found, following = desk.page(session, wanted=wanted, limit=limit, after=after)
    for email in found:
        trouble = f"  {email.trouble}" if email.trouble else ""
        click.echo(
            f"{email.id}  {email.created_at:%Y-%m-%d %H:%M:%S}  {email.state:<7}  {email.template}"
            f"  {email.user_id or '-'}{trouble}"
        )
    if following:
        click.echo(f"There are more: --after {following}")


@group.command("replay")
@click.argument("email_id", type=click.UUID)
@click.option("--again", is_flag=True, help="Also if it was sent before.")
@click.option("--reason", required=True, help="For the audit log.")
def replay(email_id: UUID, again: bool, reason: str) -> None:
    """Have an e-mail tried now, though it was given up."""
    with sessions() as session, refusals_told():
        desk.replay(session, by=By(Actor.command), email_id=email_id, reason=reason, again=again)
    click.echo(f"{email_id} is to be sent.")
