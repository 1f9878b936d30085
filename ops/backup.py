"""`flask backup`: the SQLite file of a house on one machine, and its folder of files, copied while they are in use.

PostgreSQL and buckets have tools of their own that do it better (docs/deployment/backup.md).
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy.engine import make_url

from config import Settings, settings

DATABASE, OUTPUTS = "coinop.sqlite3", "outputs"
"""What a backup calls its parts; so are they called in a state folder."""


class NoBackup(Exception):
    """It cannot be made like this; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Backup:
    database_bytes: int
    files: int


def make(chosen: Settings, folder: Path) -> Backup:
    """Copy the database as it is at one moment, then the files, to a folder that must not be there yet.

    The database first: each file that its rows name was stored before the row was. Locks nobody out: a reader under
    WAL keeps no writer waiting. Raises `NoBackup`.
    """
    url = make_url(chosen.database_url)
    source = Path(url.database or "")
    if url.get_backend_name() != "sqlite":
        raise NoBackup("this copies SQLite; PostgreSQL has pg_dump and pg_basebackup (docs/deployment/backup.md)")
    if not source.is_file():
        raise NoBackup(f"there is no database at {source}")
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        raise NoBackup(f"{folder} is there already; name one that is not") from None
    copy = folder / DATABASE
    _copy_database(source, copy)
    return Backup(copy.stat().st_size, _copy_files(_folder_of_files(chosen), folder / OUTPUTS))


def _copy_database(source: Path, copy: Path) -> None:
    # All pages in one step, which is one read transaction: step by step it would begin anew with each write.
    with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(copy)) as made:
        original.backup(made, pages=-1)
        found = made.execute("PRAGMA integrity_check").fetchone()[0]
    copy.chmod(0o600)
    if found != "ok":
        raise NoBackup(f"the copy of the database is not whole: {found}")


def _folder_of_files(chosen: Settings) -> Path | None:
    url = urlsplit(chosen.storage_url)
    return Path(unquote(url.path)) if url.scheme in ("", "file") else None


def _copy_files(source: Path | None, target: Path) -> int:
    """How many were copied. One that is deleted meanwhile is left out, as if it had been deleted before."""
    copied = 0
    for place, _, names in os.walk(source) if source else ():
        there = target / Path(place).relative_to(source or "")
        there.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in names:
            with suppress(FileNotFoundError):
                shutil.copy2(Path(place) / name, there / name)
                copied += 1
    return copied


def main(folder: str) -> int:
    """Make one and say what is in it. Returns the exit code."""
    try:
        made = make(settings(), Path(folder).absolute())
    except NoBackup as refused:
        print(f"No backup: {refused}", file=sys.stderr)
        return 1
    print(f"{folder} has the database ({made.database_bytes:,} bytes) and {made.files} files.")
    return 0
