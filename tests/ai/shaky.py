"""A provider that fails as it is told, for tests of what surrounds providers."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, ClassVar, Self
from uuid import UUID

from config import Settings
from models.audit import audit
from models.jobs import Status
from models.kinds import Kind
from tasks import generation
from tests.audits import prove
from tests.jobs import work
from worker.ai.provider import Call, Generation, Text


class Shaky:
    """Answers, or raises `fault` while there is one. `asked` are the jobs that came to it, `most` how many at once."""

    fault: BaseException | None = None
    asked: ClassVar[list[str]] = []
    most = 0
    seconds = 0.0
    _now = 0
    _lock = threading.Lock()

    @classmethod
    def of(cls, _settings: Settings) -> Self:
        return cls()

    @classmethod
    def reset(cls) -> None:
        cls.fault, cls.most, cls.seconds, cls._now = None, 0, 0.0, 0
        cls.asked = []

    def generate(self, call: Call) -> Generation:
        with Shaky._lock:
            Shaky.asked.append(str(call.job_id))
            Shaky._now += 1
            Shaky.most = max(Shaky.most, Shaky._now)
        try:
            if Shaky.seconds:
                call.pause(Shaky.seconds)
            if Shaky.fault is not None:
                raise Shaky.fault
            return Generation((Text("done"),), {"input_tokens": 3})
        finally:
            with Shaky._lock:
                Shaky._now -= 1


def a_chat(user: UUID, **how: Any) -> UUID:
    """The id of a new job for the provider that can fail."""
    order = work.an_order(user, **{"attempts": 1, "at_once": 1_000, **how})
    return work.submit(replace(order, kind=Kind.chat)).job.id


def run(job_id: UUID) -> Status:
    """Have a worker look at a job; its status afterwards."""
    generation.run(str(job_id))
    prove(audit)
    return work.job(job_id).status
