"""How a command says that a verb declined."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from models.errors import Refusal


@contextmanager
def refusals_told() -> Iterator[None]:
    """End the command with the refusal's own words, and exit code 1; nothing was changed."""
    try:
        yield
    except Refusal as refused:
        raise click.ClickException(f"{refused.detail} Nothing was changed.") from None
