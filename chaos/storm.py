"""The storm: the planned faults, injected one after the other, and what they did."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence

import sqlalchemy

from chaos.house import DIED, House
from chaos.plan import GENERATION, Act, Fault
from chaos.recovery import Recovery
from models.database import engine

SAMPLE_SECONDS = 0.25


class Storm:
    """Injects faults into a house, from now on.

    `done` counts them; `cut` counts database connections broken, by who had them. `start` and `last_fault` are on the
    monotonic clock; a fault lasts until its process is back.
    """

    def __init__(self, house: House, faults: Sequence[Fault], *, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self.skipped = 0
        self.cut: Counter[str] = Counter()
        self.start = self.last_fault = time.monotonic()
        self.recovery = Recovery()
        self._house = house
        self._left = list(faults)
        self._dice = random.Random(f"{seed}:victims")
        self._sample_at = 0.0

    @property
    def over(self) -> bool:
        """Whether every fault has happened and every process is back."""
        return not self._left and self._house.quiet()

    def step(self) -> None:
        """Inject what is due, and let the house do what is due. Takes some 50 ms."""
        while self._left and self.start + self._left[0].at <= time.monotonic():
            self._inject(self._left.pop(0))
        self._house.tick()
        now = time.monotonic()
        if any(outage.until is None and outage.what != DIED for outage in self._house.outages):
            self.last_fault = now
        if now >= self._sample_at:
            self._sample_at = now + SAMPLE_SECONDS
            self.recovery.look()

    def _inject(self, fault: Fault) -> None:
        running = self.recovery.running() if fault.act is Act.kill and fault.target in GENERATION else {}
        if self._apply(fault):
            self.done[f"{fault.act} {fault.target}"] += 1
            self.last_fault = time.monotonic()
            self.recovery.killed(running)
        else:
            self.skipped += 1

    def _apply(self, fault: Fault) -> bool:
        match fault.act:
            case Act.kill:
                return self._house.kill(fault.target, fault.seconds)
            case Act.freeze:
                return self._house.freeze(fault.target, fault.seconds)
            case Act.restart:
                return self._house.terminate(fault.target, fault.seconds)
            case Act.kill_part if fault.target == "postgresql":
                return self._cut_a_connection()
            case Act.kill_part:
                return self._house.kill_part(fault.target, self._dice.choice)

    def _cut_a_connection(self) -> bool:
        """Have PostgreSQL drop one connection of the product; each process's connections bear its name."""
        with engine().connect() as connection:
            rows = connection.execute(
                sqlalchemy.text(
                    "SELECT pid, application_name FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name LIKE 'coinop:%' ORDER BY pid"
                )
            ).all()
            if not rows:
                return False
            pid, name = self._dice.choice(rows)
            connection.execute(sqlalchemy.text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        self._house.note(f"postgresql cut a connection of {name}")
        self.cut[name.removeprefix("coinop:")] += 1
        return True
