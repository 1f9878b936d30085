"""Wake-ups: the message that tells a worker to look at a job. It carries the id, and the database says the rest."""

from __future__ import annotations

from uuid import UUID

from models.database import new_id
from models.jobs.tables import Queue
from models.outbox import Message

RUN_TASK = "generation.run"
"""The task that runs a job; its only argument is the job's id, which is the task's id as well."""


def wake_up(job_id: UUID, queue: Queue, *, request_id: str | None = None) -> Message:
    """The message that has a job looked at by a worker of its queue. Whoever calls a job that is not the one they work
    for gives no `request_id`: it is not theirs."""
    return Message(new_id(), RUN_TASK, str(job_id), queue, (str(job_id),), request_id)
