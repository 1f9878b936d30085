"""The house itself: settings, disks, and the storage of files."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from config import Settings
from models.database import new_id
from ops.findings import Finding, fail, ok, warn
from worker.storage import StorageUnavailable, storage

LITTLE, TOO_LITTLE = 0.10, 0.02
"""Which part of a disk should be free at least, and must."""

PROBE = b"Coinop's doctor was here."


def settings(chosen: Settings) -> Iterator[Finding]:
    yield ok(f"the settings are good, for {chosen.coinop_env}")
    if chosen.in_development:
        return
    if not chosen.on_postgresql:
        yield warn("the database is SQLite", "Set DATABASE_URL to a PostgreSQL before there is more than one machine")
    if chosen.metrics_token is None:
        yield warn("nobody may read /metrics", "Set METRICS_TOKEN, and let Prometheus send it")


def disks(chosen: Settings) -> Iterator[Finding]:
    folders = {"COINOP_HOME": chosen.coinop_home}
    url = urlsplit(chosen.storage_url)
    if url.scheme in ("", "file"):
        folders["STORAGE_URL"] = Path(unquote(url.path))
    for setting, folder in folders.items():
        yield _disk(setting, folder)


def _disk(setting: str, folder: Path) -> Finding:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    usage = shutil.disk_usage(there)
    free = usage.free / usage.total if usage.total else 0.0
    what = f"{free:.1%} of the disk of {folder} ({setting}) is free, {usage.free / 2**30:.1f} GiB"
    remedy = "Make room or a larger disk: docs/runbook.md#disks"
    if free < TOO_LITTLE:
        return fail(what, remedy)
    return warn(what, remedy) if free < LITTLE else ok(what)


def files(_: Settings) -> Iterator[Finding]:
    """Write a file as a job would, so that one left by a crash is taken away with other orphans."""
    key = f"{new_id()}/0/0"
    store = storage()
    try:
        store.put(key, PROBE)
        same = store.read(key) == PROBE
        store.delete(key)
    except (StorageUnavailable, FileNotFoundError) as error:
        yield fail(
            f"the storage of files does not work: {str(error).rstrip('.')}", "See STORAGE_URL, and who may write"
        )
        return
    if same:
        yield ok("a file was stored, read and deleted")
    else:
        yield fail("the storage gave back something else than was stored", "Is STORAGE_URL shared by all processes?")
