"""The front door's entry: `gunicorn wsgi:app`, `flask …`.

`flask stripe` joins here and not in `web/`, which knows nothing of talking to Stripe. It is loaded when it is run.
"""

from __future__ import annotations

import sys

import click

from web import create_app

app = create_app()


@app.cli.command("stripe", add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1)
def stripe(arguments: tuple[str, ...]) -> None:
    """Look after the Stripe account: `sync`, `sync --yes`, `doctor`."""
    from ops.stripe import main

    sys.exit(main(arguments))
