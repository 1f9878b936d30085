"""`flask providers`: who does what, and how they are."""

from __future__ import annotations

import click

from config import Settings, settings
from models import jobs
from models import providers as states
from models.database import readings
from models.kinds import Kind
from models.providers import Overview
from worker.backends import offers

HEADS = ("provider", "circuit", "at once", "begun", "waiting")


@click.command("providers")
def providers() -> None:
    """Show which provider does which kind, which are left alone because they are down, and how much each has to do.

    Of a provider without limits nobody counts what it has to do.
    """
    chosen, who = settings(), offers()
    for kind in Kind:
        click.echo(f"{kind:<11} {f'{who[kind].provider} {who[kind].model}' if kind in who else 'nobody'}")
    named = {offer.provider for offer in who.values()} | set(chosen.places_at) | set(chosen.rates_of)
    with readings() as session:
        found = states.overview(session, named)
        in_line = jobs.in_line(session)
    rows = [HEADS, *(_cells(each, chosen) for each in found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    click.echo()
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo(f"\n{in_line} jobs wait for their users' fair share, {chosen.called_at_once} at a time for each.")


def _cells(seen: Overview, chosen: Settings) -> tuple[str, ...]:
    places, rate = chosen.places_at.get(seen.provider), chosen.rates_of.get(seen.provider)
    begun = 0 if rate and (seen.window_age is None or seen.window_age >= rate[1]) else seen.begun
    return (
        seen.provider,
        _circuit(seen),
        f"{seen.at_once} of {places}" if places else "-",
        f"{begun} of {rate[0]} in {rate[1]:g} s" if rate else "-",
        str(seen.waiting),
    )


def _circuit(seen: Overview) -> str:
    why = f" ({seen.last_error})" if seen.last_error else ""
    if seen.probing:
        return f"open, being tried{why}"
    if seen.open_for is not None:
        return f"open for {seen.open_for:.0f} s{why}"
    return f"closed, {seen.failures} failures in a row{why}" if seen.failures else "closed"
