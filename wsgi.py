"""The front door's entry: `gunicorn wsgi:app`, `flask …`.

`flask stripe`, `flask doctor` and `flask backup` join here and not in `web/`, which knows nothing of those whom they
talk to. They are loaded when they are run.
"""

from __future__ import annotations

import sys

import click

from config import BadSettings

try:
    from web import create_app

    app = create_app()
except BadSettings as error:
    # The doctor says what is wrong also when nothing can start.
    if sys.argv[-1] != "doctor" and sys.argv[-2:] != ["doctor", "--json"]:
        raise
    from ops.doctor import refused, report

    sys.exit(report(refused(error), as_json=sys.argv[-1] == "--json"))


@app.cli.command("stripe", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1)
def stripe(arguments: tuple[str, ...]) -> None:
    """Look after the Stripe account: `sync`, `sync --yes`, `doctor`."""
    from ops.stripe import main

    sys.exit(main(arguments))


@app.cli.command("doctor", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1)
def doctor(arguments: tuple[str, ...]) -> None:
    """Look at everything Coinop needs: what is wrong, and what to do (`--json`)."""
    from ops.doctor import main

    sys.exit(main(arguments))


@app.cli.command("backup")
@click.argument("folder")
def backup(folder: str) -> None:
    """Copy a SQLite database, and then the outputs, to a new FOLDER, while everything runs."""
    from ops.backup import main

    sys.exit(main(folder))
