"""Outputs: files that were kept long enough are deleted, and files that belong to no result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from uuid import UUID

import structlog

from config import settings
from models.database import readings, sessions
from models.jobs import outputs
from models.jobs.outputs import Over
from worker.app import app
from worker.storage import StorageUnavailable, storage

log = structlog.get_logger(__name__)

PAGE = 500

MOST_FAILURES = 3
"""How often files may refuse to be deleted before a run gives up: then it is not the files but the storage."""

ORPHANED_SECONDS = 86_400.0
"""How old a file must be before it is looked at: every attempt that could still name it has ended long before."""


@app.task(name="maintenance.delete_old_outputs")
def delete_old_outputs() -> None:
    """Delete the files of jobs that ended more than OUTPUT_DAYS ago; then note it in their rows.

    In this order, so that files whose deletion is cut short are still known.
    """
    days = settings().output_days
    if not days:
        return
    total, failures, last = 0, 0, None
    while True:
        with readings() as session:
            over = outputs.over(session, days=days, limit=PAGE, after=last)
        if not over:
            break
        last = over[-1]
        gone, failed = _delete(over, patience=MOST_FAILURES - failures)
        failures += failed
        if gone:
            with sessions() as session:
                outputs.deleted(session, gone)
        total += len(gone)
        if failures >= MOST_FAILURES or len(over) < PAGE:
            break
    if total or failures:
        log.info("old_outputs_deleted", jobs=total, failures=failures)


def _delete(over: Sequence[Over], *, patience: int) -> tuple[list[UUID], int]:
    """Delete the files of these jobs, all at once or, if that fails, job by job. Returns the jobs whose files are gone,
    and how many refused, after `patience` of which it stops."""
    try:
        storage().delete(*(key for job in over for key in job.keys))
    except StorageUnavailable as error:
        log.warning("outputs_not_deleted", error=str(error))
    else:
        return [job.id for job in over], 0
    gone, failed = [], 0
    for job in over:
        try:
            storage().delete(*job.keys)
        except StorageUnavailable:
            failed += 1
            if failed >= patience:
                break
        else:
            gone.append(job.id)
    return gone, failed


@app.task(name="maintenance.delete_orphaned_outputs")
def delete_orphaned_outputs() -> None:
    """Delete the files that jobs have left and nobody can ask for: of attempts that were overtaken, canceled or cut
    short, and of deletions that were.

    Files of jobs that are unknown here are let be: the storage may be shared, or the database be an older copy.
    """
    deleted, unknown, failures = 0, 0, 0
    files = storage().older_than(None, seconds=ORPHANED_SECONDS)
    while failures < MOST_FAILURES and (keys := list(islice(_of_jobs(files), PAGE))):
        with readings() as session:
            needed = outputs.needed(session, {job_id for job_id, _ in keys})
        unknown += sum(job_id not in needed for job_id, _ in keys)
        orphans = [key for job_id, key in keys if (named := needed.get(job_id)) is not None and key not in named]
        try:
            storage().delete(*orphans)
            deleted += len(orphans)
        except StorageUnavailable as error:
            log.warning("outputs_not_deleted", error=str(error))
            failures += 1
    if deleted or unknown or failures:
        log.info("orphaned_outputs_deleted", files=deleted, unknown=unknown, failures=failures)


def _of_jobs(keys: Iterable[str]) -> Iterator[tuple[UUID, str]]:
    """Those of these keys that begin with a job's id, each with that."""
    for key in keys:
        try:
            yield UUID(key.partition("/")[0]), key
        except ValueError:
            continue
