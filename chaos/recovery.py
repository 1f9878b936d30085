"""How long it takes from the death of a worker until the jobs it had are running again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from models.database import readings
from models.jobs import FINAL, Job, Status


@dataclass(slots=True)
class Recovery:
    """Watches the jobs that were running when a worker was killed. `seconds` has one figure for each that ran again.

    Which worker has a job is nowhere written, so those of the living are watched too, until they end as if nothing
    had been. A job that ran again because of an error of its provider carries the error's code, and is left out.
    """

    seconds: list[float] = field(default_factory=list)
    _watched: dict[UUID, tuple[int, float]] = field(default_factory=dict)

    def running(self) -> dict[UUID, int]:
        """The attempt of each job that runs now."""
        with readings() as session:
            rows = session.execute(
                select(Job.id, Job.attempt).where(Job.status == Status.running, Job.error_code.is_(None))
            )
            return {row.id: row.attempt for row in rows}

    def killed(self, running: dict[UUID, int]) -> None:
        """A worker was killed this moment; `running` is what ran just before."""
        now = time.time()
        for job_id, attempt in running.items():
            self._watched.setdefault(job_id, (attempt, now))

    def look(self) -> None:
        """See which watched jobs run again, or ended after all."""
        if not self._watched:
            return
        try:
            with readings() as session:
                rows = session.execute(
                    select(Job.id, Job.attempt, Job.status, Job.started_at, Job.error_code).where(
                        Job.id.in_(self._watched)
                    )
                ).all()
        except SQLAlchemyError:
            return
        for row in rows:
            attempt, killed_at = self._watched[row.id]
            if row.attempt == attempt and row.status not in FINAL and row.error_code is None:
                continue
            if row.attempt == attempt + 1 and row.error_code is None:
                self.seconds.append(row.started_at.timestamp() - killed_at)
            del self._watched[row.id]
