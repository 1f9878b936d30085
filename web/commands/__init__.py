"""Commands for the person at the terminal, one module per noun: `flask migrate`, `flask catalog …`, `flask plans …`."""

from __future__ import annotations

from flask import Flask

from web.commands import allowances, audit, catalog, database, margins, packs, plans, providers, users

__all__ = ["register"]


def register(app: Flask) -> None:
    """Add every command to `flask --app wsgi`."""
    for command in (
        database.migrate,
        database.migrations_check,
        audit.audit,
        catalog.group,
        plans.group,
        packs.group,
        users.group,
        allowances.group,
        providers.providers,
        margins.margins,
    ):
        app.cli.add_command(command)
