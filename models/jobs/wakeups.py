"""Wake-ups: the message that tells a worker to look at a job. It carries the id, and the database says the rest."""

from __future__ import annotations

from uuid import UUID

from models import outbox
from models.jobs.tables import Queue
from models.outbox import Message

RUN_TASK = "generation.run"
"""The task that runs a job; its only argument is the job's id, which is the task's id as well."""


def wake_up(job_id: UUID, queue: Queue) -> Message:
    """The message that has a job looked at by a worker of its queue."""
    return outbox.message(task=RUN_TASK, queue=queue, args=[str(job_id)], task_id=str(job_id))
