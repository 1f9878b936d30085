"""The report of a run: its figures and its breaches."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.orm import Session

from chaos import verdict
from chaos.house import House
from chaos.load import Call, Records
from chaos.plan import Order
from chaos.storm import Storm

THREAD_DIED = "Exception in thread"
STALE = re.compile(r"attempt_ended .*ending=stale")
"""What a worker says when it finished a job that was not its own any more, and so changed nothing."""

EVENT = re.compile(r"\[(?:error|critical)\s*\] (\S+(?: \S+){0,5})")


@dataclass(slots=True)
class Report:
    """What a run came to. `settled` is how many seconds after the last fault the last job ended, None if too late."""

    seed: int
    on_postgresql: bool
    orders: Sequence[Order]
    records: Records
    house: House
    storm: Storm
    settled: float | None
    seconds: float = 0.0
    breaches: list[str] = field(default_factory=list)
    jobs: verdict.Facts = field(default_factory=dict)
    stale: int = 0
    complaints: Counter[str] = field(default_factory=Counter)

    def judge(self, session: Session, *, granted: int, outputs: Path) -> None:
        """Look for every breach. Call it first in its transaction."""
        audited = verdict.few(verdict.books(session))
        self.jobs = verdict.jobs_of(session)
        for found in (
            verdict.unfinished(self.jobs),
            verdict.outcomes(session, self.jobs),
            verdict.leftovers(session),
            verdict.balances(session, self.jobs, granted=granted),
            audited,
            verdict.receipts(self.jobs, self.orders, self.records),
            verdict.endings(self.jobs, self.orders, self.records, outputs),
            verdict.calls(self.records.calls, self.house.outages, self.storm.cut["web"]),
        ):
            self.breaches += verdict.few(found)
        if self.settled is None and not self.breaches:
            self.breaches.append("not everything had ended in time, but it has since")

    def read_logs(self, logs: Path) -> None:
        """Count what the processes called errors; a thread that died is a breach."""
        for log in sorted(logs.glob("*.log")):
            text = log.read_text(errors="replace")
            if died := text.count(THREAD_DIED):
                self.breaches.append(f"{died} threads died of an exception; see {log.name}")
            self.stale += len(STALE.findall(text))
            for line in text.splitlines():
                if found := EVENT.search(line):
                    self.complaints[f"{log.stem}: {_without_ids(found[1])}"] += 1

    def text(self) -> str:
        """The whole report, for people."""
        rows = [*self._rows()]
        wide = max(len(name) for name, _ in rows)
        lines = ["", "Chaos: what happened", "", *(f"  {name:<{wide}}  {value}" for name, value in rows), ""]
        left_out = f" ({self.storm.skipped} more left out: their process was away)" if self.storm.skipped else ""
        lines += [f"Faults: {sum(self.storm.done.values())}{left_out}", ""]
        lines += [f"  {count:>4}  {name}" for name, count in sorted(self.storm.done.items())]
        lines += [f"  {count:>4}  {name} killed by its job" for name, count in sorted(self.house.deaths.items())]
        if self.complaints:
            lines += ["", "What the processes called errors", ""]
            lines += [f"  {count:>4}  {name}" for name, count in self.complaints.most_common(20)]
        return "\n".join([*lines, "", *self._verdict()])

    def _rows(self) -> Iterator[tuple[str, str]]:
        jobs, calls, outages = self.jobs.values(), self.records.calls, self.house.outages
        submits = [call for call in calls if call.what == "submit"]
        unanswered = sum(call.status is None for call in submits)
        broken = sum(call.status is not None and call.status >= 500 for call in submits)
        busy = sum(call.status == 429 for call in submits)
        ends = Counter(str(job.status) for job in jobs)
        lost = sum(job.error_code == "worker_lost" for job in jobs)
        again = [job.attempt for job in jobs if job.attempt > 1]
        held, charged, refunded = (sum(getattr(job, name) for job in jobs) for name in ("held", "charged", "refunded"))
        calm = [
            call
            for call in submits
            if call.status == 202 and not any(outage.covers(call.start, call.end) for outage in outages)
        ]
        yield "seed", str(self.seed)
        yield "database", "PostgreSQL" if self.on_postgresql else "SQLite"
        yield "duration", f"{self.seconds:.0f} s"
        yield "ordered", f"{len(self.orders)} jobs"
        yield "accepted", f"{len(self.records.receipts)} jobs, by {sum(self.records.accepted.values())} answers of 202"
        yield "asked again after", f"no answer {unanswered} times, a 5xx {broken} times, a 429 {busy} times"
        yield "outcomes", ", ".join(f"{count} {status}" for status, count in ends.most_common())
        yield "", f"{lost} of them failed because their workers were lost"
        yield "credits", f"{held} held = {charged} charged + {refunded} refunded"
        yield "run more than once", f"{len(again)} jobs, at most {max(again, default=1)} times"
        yield "attempts fenced out as stale", str(self.stale)
        yield "worker killed → job running again", _spread(self.storm.recovery.seconds)
        yield "accepted, the broker alone away", _lasted(verdict.through_broker_outages(calls, outages))
        yield "accepted in calm", _lasted(calm)
        yield "last fault → last job ended", "too late" if self.settled is None else f"{self.settled:.1f} s"

    def _verdict(self) -> list[str]:
        if not self.breaches:
            return ["Verdict: nothing was lost. Every accepted job has exactly one outcome, and the books balance."]
        return [f"Verdict: {len(self.breaches)} BREACHES", *(f"  - {breach}" for breach in self.breaches)]


def _lasted(calls: Sequence[Call]) -> str:
    return _spread([call.end - call.start for call in calls])


def _spread(seconds: Sequence[float]) -> str:
    """How many there are, the median, the 99th percentile and the worst."""
    if not seconds:
        return "never"
    ordered = sorted(seconds)
    middle, high = ordered[len(ordered) // 2], ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    return f"{len(ordered)} times; median {middle:.3f} s, p99 {high:.3f} s, worst {ordered[-1]:.3f} s"


def _without_ids(line: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|\d+(?:\.\d+)?", "#", line)
