"""`python -m bench [accept poll run inflight waiting webhooks history …] [--seconds N] [--write]`."""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
import time
from collections.abc import Callable

from bench import report
from bench.enumeration import enumeration
from bench.fairness import fairness
from bench.history import history
from bench.house import House, house
from bench.outage import broker, killed
from bench.report import Row
from bench.resets import WALLETS, reset
from bench.runs import inflight, run
from bench.waiting import waiting
from bench.web_paths import accept, poll
from bench.webhooks import webhooks

Benchmark = Callable[..., tuple[list[Row], list[str]]]

BENCHMARKS: dict[str, Benchmark] = {
    "accept": accept,
    "poll": poll,
    "run": run,
    "inflight": inflight,
    "waiting": waiting,
    "history": history,
    "reset": reset,
    "broker": broker,
    "killed": killed,
    "enumeration": enumeration,
    "webhooks": webhooks,
    "fairness": fairness,
}
"""In the order they run."""


def main() -> int:
    """Measure what was asked for, or all of it, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="How fast, beside a bare baseline.")
    parser.add_argument("paths", nargs="*", choices=[*BENCHMARKS, []], metavar="path", help=", ".join(BENCHMARKS))
    parser.add_argument("--seconds", type=float, help="of load in each round of accept, poll and webhooks")
    parser.add_argument("--wallets", type=int, default=WALLETS, help="of reset; fewer to try it out")
    parser.add_argument("--write", action="store_true", help="write docs/benchmarks.md as well")
    chosen = parser.parse_args()
    # Asked to stop, leave no server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    begin = time.monotonic()
    rows: list[Row] = []
    notes: list[str] = []
    with house() as place:
        facts = report.machine(place)
        for name in chosen.paths or BENCHMARKS:
            found, said = _run(place, name, chosen.seconds, chosen.wallets)
            rows += found
            notes += said
    print(report.table(rows))
    print()
    for note in (*notes, *facts):
        print(f"- {note}")
    print(f"\n{time.monotonic() - begin:.0f} s in all")
    if chosen.write:
        report.write(rows, notes, facts, shlex.join(["python -m bench", *sys.argv[1:]]))
    return 0


def _run(place: House, name: str, seconds: float | None, wallets: int) -> tuple[list[Row], list[str]]:
    begin = time.monotonic()
    print(f"{name} …", file=sys.stderr, flush=True)
    options: dict[str, float] = {"wallets": wallets} if name == "reset" else {}
    if seconds and name in ("accept", "poll", "webhooks"):
        options["seconds"] = seconds
    found = BENCHMARKS[name](place, **options)
    print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr, flush=True)
    print(report.table(found[0]), file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    sys.exit(main())
