"""The table: what was measured, and whether it reaches what the design asks for."""

from __future__ import annotations

import os
import platform
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import psycopg
import redis

from bench.house import House
from config import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
INTRODUCTION = (
    "`make bench ARGS=--write` writes this page. A baseline and our path take turns in one run on one machine, each",
    "round with fresh processes and a fresh database; a ratio is the median of its rounds, with the lowest and the",
    "highest behind it, and more than 1 means that ours is faster or cheaper unless the target says otherwise. Rates",
    "of another machine will differ; the ratios should not by much. Processor time is that of the front door or the",
    "worker with the database and the broker. A busy machine blurs all of it, so the load at the start is noted.",
)
LIBRARIES = ("flask", "gunicorn", "sqlalchemy", "psycopg", "celery", "redis")


@dataclass(frozen=True)
class Row:
    """One line of the table; `reached` is None for a figure that has no target."""

    path: str
    baseline: str
    ours: str
    ratio: str
    target: str
    reached: bool | None

    def cells(self) -> tuple[str, ...]:
        reached = {True: "yes", False: "**no**", None: ""}[self.reached]
        return (self.path, self.baseline, self.ours, self.ratio, self.target, reached)


HEAD = ("path", "baseline", "ours", "ratio", "target", "reached")


def compared(theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, str]:
    """The median of the ratios round by round, and the same with its spread in words."""
    ratios = [b / a for a, b in zip(theirs, ours, strict=True)]
    middle = statistics.median(ratios)
    return middle, f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def rates(numbers: Sequence[float]) -> str:
    return f"{statistics.median(numbers):,.0f}/s"


def costs(numbers: Sequence[float]) -> str:
    return f"{statistics.median(numbers):,.0f} µs"


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table with its columns aligned, so that it reads in a terminal as well."""
    cells = [HEAD, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def machine(house: House) -> list[str]:
    """What it was measured on, a line for each fact."""
    with psycopg.connect(house.postgresql) as connection:
        server = connection.info.server_version // 10_000
        durable = [
            f"{name}={connection.execute(f'SHOW {name}').fetchone()[0]}"  # type: ignore[index]
            for name in ("fsync", "synchronous_commit", "full_page_writes")
        ]
    broker = redis.Redis.from_url(house.redis).info()
    broker_version = f"{broker.get('server_name', 'redis')} {broker.get('valkey_version', broker['redis_version'])}"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return [
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; {platform.system()} {platform.release()}; "
        f"a write with fsync takes {_fsync_ms():.2f} ms; load average at the start {os.getloadavg()[0]:.1f}",
        f"PostgreSQL {server} on the same machine ({', '.join(durable)}); {broker_version} with its append-only file",
        f"Python {platform.python_version()}; " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
    ]


def write(rows: Sequence[Row], notes: Sequence[str], facts: Sequence[str], command: str) -> None:
    """Write docs/benchmarks.md anew."""
    lines = [
        "# Benchmarks",
        "",
        *INTRODUCTION,
        "",
        *(f"- {fact}" for fact in facts),
        f"- `{command}`, {datetime.now(UTC):%Y-%m-%d}",
        "",
        table(rows),
        "",
        "## What each line is",
        "",
        *(f"- {note}" for note in notes),
        "",
    ]
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text("\n".join(lines), encoding="utf-8")


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.machine()


def _fsync_ms(times: int = 100) -> float:
    with tempfile.TemporaryFile() as file:
        begin = time.perf_counter()
        for _ in range(times):
            file.write(b"x" * 8192)
            file.flush()
            os.fsync(file.fileno())
        return (time.perf_counter() - begin) / times * 1000
