"""A provider that fails as it is told, for tests of what surrounds providers."""

from __future__ import annotations

import threading
from typing import ClassVar, Self

from config import Settings
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
