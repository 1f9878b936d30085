"""`flask metrics`: how the business went in a span of time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import click

from models.money import money
from web.admin.metrics import asked
from web.commands.margins import MOMENT
from web.commands.refusals import refusals_told

MONEY = ("gross", "refunded", "disputed", "net", "per_paying_user", "per_user")


@click.command("metrics")
@click.option("--since", type=MOMENT, help="The first moment (UTC); 30 days before the end unless given.")
@click.option("--until", type=MOMENT, help="The moment before which the span ends (UTC); now unless given.")
@click.option("--by-day", is_flag=True, help="Also some figures day by day, in UTC.")
@click.option("--json", "as_json", is_flag=True, help="Print what GET /v1/admin/metrics answers.")
def metrics(since: datetime | None, until: datetime | None, by_day: bool, as_json: bool) -> None:
    """Show users, jobs, credits and money of a span of time, each as docs/metrics.md defines it."""
    with refusals_told():
        found = asked(since and since.replace(tzinfo=UTC), until and until.replace(tzinfo=UTC), by_day=by_day)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for line in _lines(found):
        click.echo(line)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"From {found['from']} to {found['until']}"
    for part in ("users", "conversion", "churn", "purchases", "payments"):
        yield _line(part, found[part])
    for part in ("jobs", "credits", "outstanding"):
        for name, figures in found[part].items():
            yield _line(f"{part} {name}", figures)
    if found["spends"]:
        yield _line("spends", found["spends"])
    for currency, figures in found["revenue"].items():
        yield _line(f"revenue {currency}", {name: _in(currency, name, each) for name, each in figures.items()})
    for day in found["days"] or ():
        yield _line(day.pop("day"), day)
    yield "What each action brought and cost: flask margins"


def _in(currency: str, name: str, figure: int | None) -> Any:
    return money({"amount": figure, "currency": currency}) if name in MONEY and figure is not None else figure


def _line(title: str, figures: dict[str, Any]) -> str:
    told = (
        f"{name} {each}" if not isinstance(each, dict) else ", ".join(f"{name} {key} {n}" for key, n in each.items())
        for name, each in figures.items()
    )
    return f"{title}: {', '.join(part for part in told if part)}"
