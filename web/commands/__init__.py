"""Commands for the person at the terminal, one module per noun: `flask migrate`, `flask catalog …`, `flask plans …`."""

from __future__ import annotations

from flask import Flask

from web.commands import (
    allowances,
    audit,
    catalog,
    credits,
    database,
    documents,
    emails,
    events,
    jobs,
    margins,
    metrics,
    packs,
    partitions,
    plans,
    promotions,
    providers,
    users,
)

__all__ = ["register"]


def register(app: Flask) -> None:
    """Add every command to `flask --app wsgi`."""
    for command in (
        database.migrate,
        database.migrations_check,
        audit.audit,
        documents.openapi,
        documents.postman,
        catalog.group,
        plans.group,
        packs.group,
        credits.group,
        users.group,
        jobs.group,
        events.group,
        emails.group,
        promotions.group,
        allowances.group,
        providers.providers,
        margins.margins,
        metrics.metrics,
        partitions.group,
    ):
        app.cli.add_command(command)
