"""Uploads: what is over and not needed any more is taken away, and files that belong to nothing."""

from __future__ import annotations

from itertools import islice

import structlog

from models import uploads
from models.database import readings, sessions
from models.jobs import needs
from worker.app import app
from worker.storage import storage

log = structlog.get_logger(__name__)

PAGE = 500

ORPHANED_SECONDS = 3600.0
"""How old a file must be before nobody can be about to note it: a request takes a minute at most."""


@app.task(name=uploads.CLEAR_TASK)
def clear_uploads() -> None:
    """Delete the files of uploads that are over and that no unfinished job names; then their rows.

    In this order, so that a file whose deletion is cut short is still known; storing goes the other way round.
    """
    cleared, after = 0, None
    while True:
        with readings() as session:
            over = uploads.over(session, limit=PAGE, after=after)
            needed = needs.needed(session, over) if over else set()
        gone = [upload for upload in over if upload.id not in needed]
        if gone:
            storage().delete(*(upload.key for upload in gone))
            with sessions() as session:
                uploads.forget(session, [upload.id for upload in gone])
        cleared += len(gone)
        if len(over) < PAGE:
            break
        after = over[-1].id
    if cleared:
        log.info("uploads_cleared", uploads=cleared)


@app.task(name="maintenance.delete_orphaned_uploads")
def delete_orphaned_uploads() -> None:
    """Delete the files that were stored for uploads which then were not noted: refused, brought twice, cut short."""
    deleted = 0
    files = storage().older_than(uploads.PREFIX, seconds=ORPHANED_SECONDS)
    while keys := list(islice(files, PAGE)):
        with readings() as session:
            known = uploads.known(session, keys)
        orphans = set(keys) - known
        storage().delete(*orphans)
        deleted += len(orphans)
    if deleted:
        log.info("orphaned_uploads_deleted", files=deleted)
