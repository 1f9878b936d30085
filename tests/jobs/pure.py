"""The life of a job once more, in plain Python and by the rules alone. Time is whole hours; a lease lasts one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from tests.ledger.pure import PureBooks, PureJob

AT_ONCE = 4
CANCEL_PERCENT = 50


@dataclass(eq=False)
class Life:
    """One job. `late` is the hour from which nobody wants it any more, `ready` the one from which it may be claimed."""

    id: UUID
    wallet: int
    held: int
    most: int
    late: int | None
    hold: PureJob | None
    ready: int
    rested: int
    status: str = "queued"
    version: int = 1
    attempt: int = 0
    token: UUID | None = None
    lease: int = 0
    began: bool = False
    charged: int = 0
    refunded: int = 0
    endings: int = 0

    @property
    def live(self) -> bool:
        return self.status in ("queued", "running", "canceling")

    def row(self) -> tuple[object, ...]:
        return self.id, self.status, self.version, self.attempt, self.token, self.held, self.charged, self.refunded


@dataclass
class PureJobs:
    """Every job there is, and the books they are paid from."""

    books: PureBooks = field(default_factory=PureBooks)
    lives: list[Life] = field(default_factory=list)
    keys: dict[tuple[int, str], tuple[str, Life]] = field(default_factory=dict)
    messages: int = 0

    @property
    def clock(self) -> int:
        return self.books.clock

    def taken(self, wallet: int) -> int:
        return sum(life.live for life in self.lives if life.wallet == wallet)

    def submit(
        self, job_id: UUID, wallet: int, price: int, most: int, wait: int | None, key: str | None, digest: str
    ) -> Life | str:
        """The new job, the first one of this key, or why there is none."""
        if key and (wallet, key) in self.keys:
            known, first = self.keys[wallet, key]
            return first if known == digest else "reused"
        if self.taken(wallet) >= AT_ONCE:
            return "slots"
        hold = self.books.hold(wallet, price) if price else None
        if price and hold is None:
            return "credits"
        late = None if wait is None else self.clock + wait
        life = Life(job_id, wallet, price, most, late, hold, ready=self.clock, rested=self.clock)
        self.lives.append(life)
        self.messages += 1
        if key:
            self.keys[wallet, key] = digest, life
        return life

    def may_claim(self, life: Life) -> bool:
        free = life.status == "queued" or (life.status == "running" and life.lease <= self.clock)
        too_late = life.late is not None and life.late <= self.clock and life.attempt == 0
        return free and not too_late and life.attempt < life.most and life.ready <= self.clock

    def claim(self, life: Life, token: UUID) -> None:
        life.status, life.token, life.lease = "running", token, self.clock + 1
        life.attempt += 1
        life.version += 1

    def finish(self, life: Life, token: UUID, status: str, charge: int = 0, *, began: bool = False) -> str:
        """End a job by the attempt of `token`; one that is canceled meanwhile ends as canceled."""
        if life.token != token or not life.live:
            return "stale"
        if life.status == "canceling":
            self._end(life, "canceled", life.held * CANCEL_PERCENT // 100 if began else 0)
        elif status == "canceled":
            return "stale"
        else:
            self._end(life, status, charge)
        return life.status

    def retry(self, life: Life, token: UUID) -> str:
        if life.token != token or life.status != "running" or life.attempt >= life.most:
            return self.finish(life, token, "failed")
        self._queue(life, self.clock + 1)
        return "requeued"

    def request_cancel(self, life: Life) -> bool:
        """Whether the job was, or is being, canceled."""
        if life.status == "queued":
            self._end(life, "canceled", 0)
        elif life.status == "running":
            life.status = "canceling"
            life.version += 1
        return life.status in ("canceling", "canceled")

    def rescue(self) -> int:
        lost = [life for life in self.lives if life.status in ("running", "canceling") and life.lease <= self.clock]
        for life in lost:
            if life.status == "canceling":
                self._end(life, "canceled", life.held * CANCEL_PERCENT // 100 if life.began else 0)
            elif life.attempt >= life.most or self._late(life):
                self._end(life, "failed", 0)
            else:
                self._queue(life, self.clock if life.attempt == 1 else self.clock + 1)
        return len(lost)

    def expire_waiting(self) -> int:
        waited = [life for life in self.lives if life.status == "queued" and self._late(life)]
        for life in waited:
            self._end(life, "expired", 0)
        return len(waited)

    def wake_again(self) -> int:
        asleep = [life for life in self.lives if life.status == "queued" and life.rested < self.clock]
        for life in asleep:
            life.ready = life.rested = self.clock
        self.messages += len(asleep)
        return len(asleep)

    def owned(self, claims: Iterable[tuple[Life, UUID]]) -> dict[UUID, str]:
        """The jobs that these attempts still own, their leases extended by an hour."""
        kept = [life for life, token in claims if life.token == token]
        for life in kept:
            life.lease = self.clock + 2
        return {life.id: life.status for life in kept}

    def _late(self, life: Life) -> bool:
        return life.late is not None and life.late <= self.clock

    def _queue(self, life: Life, ready: int) -> None:
        life.status, life.token, life.ready, life.rested = "queued", None, ready, self.clock
        life.version += 1
        self.messages += 1

    def _end(self, life: Life, status: str, charge: int) -> None:
        life.status, life.token, life.charged, life.refunded = status, None, charge, life.held - charge
        life.version += 1
        life.endings += 1
        if life.hold is not None:
            self.books.settle(life.hold, charge)
