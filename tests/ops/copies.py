"""Backups and their restoring, with the tools that the guide names."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from sqlalchemy.engine import make_url

from config import settings
from ops import backup, embedded

Restore = Callable[[], str]
"""Makes a database of a copy and gives its URL."""


def copied(url: str, folder: Path) -> Restore:
    """Take a backup of a database at this moment."""
    if make_url(url).get_backend_name() == "sqlite":
        backup.make(settings(), folder)
        return lambda: f"sqlite:///{folder / backup.DATABASE}"
    dump = folder.with_suffix(".dump")
    _run("pg_dump", "--format=custom", f"--file={dump}", url)

    def restore() -> str:
        fresh = embedded.create_database(url, f"restored_{uuid4().hex}")
        _run("pg_restore", "--exit-on-error", f"--dbname={fresh}", str(dump))
        return fresh

    return restore


def _run(tool: str, *arguments: str) -> None:
    # SQLAlchemy's way of writing a socket's folder is libpq's as well.
    command = [str(embedded.postgresql_tool(tool)), *arguments]
    done = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
