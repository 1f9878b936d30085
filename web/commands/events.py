"""`flask events list|replay`: what the gateway has told."""

from __future__ import annotations

import click
from flask.cli import AppGroup

from models.audit_log import Actor, By
from models.database import readings, sessions
from models.payments import desk
from models.payments.desk import Wanted
from models.payments.inbox import EventState
from web.commands.refusals import refusals_told

group = AppGroup("events", help="What the gateway has told.")


@group.command("list")
@click.option("--state", type=click.Choice([str(each) for each in EventState]))
@click.option("--type", "kind", help="Such as invoice.paid.")
@click.option("--object", "object_id", help="The gateway's id of what it is about.")
@click.option("--after", help="Go on after this event, which ended the page before.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
def show_list(state: str | None, kind: str | None, object_id: str | None, after: str | None, limit: int) -> None:
    """Show events, the last received first."""
    wanted = Wanted(state=EventState(state) if state else None, type=kind, object_id=object_id)
    with readings() as session, refusals_told():
        found, following = desk.page(session, wanted=wanted, limit=limit, after=after)
    for event in found:
        trouble = f"  {event.trouble}" if event.trouble else ""
        click.echo(
            f"{event.id}  {event.received_at:%Y-%m-%d %H:%M:%S}  {event.state:<8}  {event.type}  {event.object_id}"
            f"{trouble}"
        )
    if following:
        click.echo(f"There are more: --after {following}")


@group.command("replay")
@click.argument("event_id")
@click.option("--reason", required=True, help="For the audit log.")
def replay(event_id: str, reason: str) -> None:
    """Have an event handled once more. What has been done about it before is not done again."""
    with sessions() as session, refusals_told():
        desk.replay(session, by=By(Actor.command), event_id=event_id, reason=reason)
    click.echo(f"{event_id} is to be handled.")
