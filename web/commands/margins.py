"""`flask margins`: what each action brings, and what it costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

import click

from models import margins as books
from models.costs import usd
from models.database import sessions
from models.margins import Margin
from models.money import money

MOMENT = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"])
HEADS = ("action", "jobs", "charged", "of these bought", "paid for those", "provider cost", "unknown")


@click.command("margins")
@click.option("--since", type=MOMENT, help="Only jobs that ended at or after this moment (UTC).")
@click.option("--until", type=MOMENT, help="Only jobs that ended before this moment (UTC).")
def margins(since: datetime | None, until: datetime | None) -> None:
    """Show for each action what was charged, what its buyers had paid for that, and what providers cost.

    `unknown` is how many attempts have a cost that nobody knows (docs/costs.md).
    """
    span = {"since": since and since.replace(tzinfo=UTC), "until": until and until.replace(tzinfo=UTC)}
    with sessions() as session:
        found = books.margins(session, **span)
        plans = books.plan_income(session, **span)
    for line in _table([HEADS, *map(_cells, found)]):
        click.echo(line)
    if plans:
        click.echo(f"Plans brought {_side_by_side(plans)}, which is in none of the lines above.")


def _cells(row: Margin) -> tuple[str, ...]:
    return (
        row.action, f"{row.jobs:,}", f"{row.charged:,} {row.wallet}", f"{row.bought:,}", _side_by_side(row.worth),
        f"{usd(row.cost_micros)} USD", f"{row.unknown:,} of {row.attempts:,}",
    )  # fmt: skip


def _side_by_side(worth: Mapping[str, int]) -> str:
    return " + ".join(money({"amount": amount, "currency": currency}) for currency, amount in worth.items()) or "-"


def _table(rows: list[tuple[str, ...]]) -> Iterable[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([first.ljust(widths[0]), *cells])
