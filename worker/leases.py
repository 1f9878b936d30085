"""Leases: this process's running jobs, kept alive by one heartbeat thread in one statement.

The same thread looks, more often, for jobs whose user has canceled. A job that has run for longer than the run limit
is not kept alive any more: its attempt is told to stop, and if it cannot (a stuck library), rescue takes the job away
from it all the same.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from config import Settings
from models import jobs
from models.database import readings, sessions
from models.jobs import Claim, Status
from models.pictures import Picture
from worker import pictures
from worker.ai.provider import Canceled, Lost

log = structlog.get_logger(__name__)

CANCEL_POLL_SECONDS = 1.0
"""How soon a worker notices that a user canceled."""


class Lease:
    """One attempt's hold on its job, and the `Call` that its provider sees."""

    def __init__(self, claim: Claim, *, timeout: float, model: str = "") -> None:
        self.claim = claim
        self.model = model
        self.timeout = timeout
        self.started = time.monotonic()
        self.request_id = claim.provider_request_id
        self._picture: Picture | None = None
        self._stopped = threading.Event()
        self._lost = False

    @property
    def job_id(self) -> UUID:
        return self.claim.job_id

    @property
    def kind(self) -> str:
        return self.claim.kind

    @property
    def input(self) -> Mapping[str, Any]:
        return self.claim.input

    @property
    def attempt(self) -> int:
        return self.claim.attempt

    def picture(self) -> Picture:
        """The picture that the job begins with, fetched on the first call."""
        if self._picture is None:
            self._picture = pictures.of_job(self.job_id, self.input, seconds=self.timeout)
        return self._picture

    def began(self, request_id: str) -> None:
        """Store the provider's own id at once, so that a later attempt resumes it."""
        with sessions() as session:
            if not jobs.provider_began(session, self.claim, request_id):
                raise Lost
        self.request_id = request_id

    def pause(self, seconds: float) -> None:
        """Wait at most `seconds`. Raises `Canceled` or `Lost` as soon as the attempt should stop."""
        if self._stopped.wait(seconds):
            raise Lost if self._lost else Canceled

    def stop(self, *, lost: bool = False) -> None:
        """Tell the attempt to stop: canceled, or, if `lost`, out of time or no longer the one that owns the job."""
        self._lost = self._lost or lost
        self._stopped.set()


class Leases:
    """All leases of this process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: dict[UUID, Lease] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextmanager
    def keep(self, claim: Claim, *, model: str = "") -> Iterator[Lease]:
        """Keep a claim alive until the block ends; `model` is for its provider to see."""
        lease = Lease(claim, timeout=self._settings.provider_timeout_seconds, model=model)
        with self._lock:
            self._kept[claim.job_id] = lease
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
                self._thread.start()
        try:
            yield lease
        finally:
            with self._lock:
                if self._kept.get(claim.job_id) is lease:
                    del self._kept[claim.job_id]

    def _run(self) -> None:
        next_beat = time.monotonic() + self._settings.heartbeat_seconds
        while True:
            time.sleep(min(CANCEL_POLL_SECONDS, self._settings.heartbeat_seconds))
            self._let_go_of_overdue()
            if time.monotonic() >= next_beat:
                next_beat = time.monotonic() + self._settings.heartbeat_seconds
                self._ask(self._extend)
            else:
                self._ask(self._look_for_canceled)

    def _let_go_of_overdue(self) -> None:
        limit = time.monotonic() - self._settings.run_limit_seconds
        with self._lock:
            overdue = [job_id for job_id, lease in self._kept.items() if lease.started < limit]
            for job_id in overdue:
                lease = self._kept.pop(job_id)
                lease.stop(lost=True)
                log.error("run_limit_exceeded", job_id=str(job_id), attempt=lease.attempt)

    def _ask(self, question: Callable[[dict[UUID, Lease]], None]) -> None:
        with self._lock:
            kept = dict(self._kept)
        if not kept:
            return
        try:
            question(kept)
        except SQLAlchemyError as error:
            log.warning("heartbeat_failed", error=type(error).__name__, jobs=len(kept))

    def _extend(self, kept: dict[UUID, Lease]) -> None:
        with sessions() as session:
            owned = jobs.extend(
                session,
                {job_id: lease.claim.token for job_id, lease in kept.items()},
                lease_seconds=self._settings.lease_seconds,
            )
        for job_id, lease in kept.items():
            if owned.get(job_id) is not Status.running:
                lease.stop(lost=job_id not in owned)

    def _look_for_canceled(self, kept: dict[UUID, Lease]) -> None:
        with readings() as session:
            for job_id in jobs.canceling(session, kept):
                kept[job_id].stop()
