"""The paths of a generation worker: how fast it runs jobs, and how many at once."""

from __future__ import annotations

import time
from dataclasses import dataclass

import redis

from bench import stock
from bench.bare import nothing
from bench.house import House, running, using
from bench.report import Row, compared, costs, rates
from bench.watch import PATIENCE_SECONDS, Cpu, ask, until, watching
from config import settings
from models.jobs import Queue
from worker import relay
from worker.app import app

ROUNDS = 3
JOBS = 2_000
OTHER_CONCURRENCIES = (16, 64)
FULL_WORKER = 1_000
PROVIDER_SECONDS = 10.0
MOST_SECONDS = 12.0
MOST_MIB = 300.0


def run(house: House) -> tuple[list[Row], list[str]]:
    """Claim, mock provider, settle, beside tasks that do nothing, by the same worker command line."""
    bare = stock.bare(house)[0]
    made = stock.product(house, queued=JOBS)
    stock.let_it_fall_due()
    usual = settings().generation_concurrency
    rows = []
    for concurrency, rounds in ((usual, ROUNDS), *((other, 1) for other in OTHER_CONCURRENCIES)):
        theirs: list[Run] = []
        ours: list[Run] = []
        for _ in range(rounds):
            theirs.append(_nothing(house, bare, concurrency))
            ours.append(_jobs(house, made, concurrency))
        before, now = [each.rate for each in theirs], [each.rate for each in ours]
        middle, ratio = compared(before, now)
        if concurrency != usual:
            rows.append(Row(f"run, {concurrency} at a time", rates(before), rates(now), ratio, "", None))
            continue
        spent, spend = [each.cost for each in theirs], [each.cost for each in ours]
        _, cheaper = compared(spend, spent)
        rows.append(Row("run", rates(before), rates(now), ratio, "≥ 0.5", middle >= 0.5))
        rows.append(Row("run: processor time", costs(spent), costs(spend), cheaper, "", None))
    return rows, [
        f"**run**: {JOBS:,} chat jobs that wait, by one worker process with {usual} threads and a provider that "
        "answers at once, from the first claim to the last finish; beside as many Celery tasks that do nothing, and "
        "log nothing either.",
    ]


def inflight(house: House) -> tuple[list[Row], list[str]]:
    """A thousand jobs at once on one process, with a provider that takes ten seconds."""
    made = stock.product(house, queued=FULL_WORKER)
    stock.let_it_fall_due()
    house.empty_broker()
    url = house.new_database(made.template)
    environment = {
        "DATABASE_URL": url,
        "GENERATION_CONCURRENCY": str(FULL_WORKER),
        "MOCK_LATENCY_SECONDS": str(PROVIDER_SECONDS),
    }
    with running("generation", environment, house.folder) as worker, using(url), watching(url, worker.pid) as peak:
        begin = ask(url, "SELECT clock_timestamp()")
        relay.sweep(app)
        until(url, "SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL", FULL_WORKER)
    seconds = float(ask(url, "SELECT extract(epoch FROM max(finished_at) - %s) FROM jobs", begin))
    last_start = float(ask(url, "SELECT extract(epoch FROM max(started_at) - %s) FROM jobs", begin))
    completed = ask(url, "SELECT count(*) FROM jobs WHERE status = 'completed' AND attempt = 1")
    reached = peak.running == FULL_WORKER == completed and peak.mib < MOST_MIB and seconds <= MOST_SECONDS
    ours = f"{peak.running:,} at once, {peak.mib:.0f} MiB, {seconds:.1f} s"
    target = f"{FULL_WORKER:,}, < {MOST_MIB:g} MiB, ≤ {MOST_SECONDS:g} s"
    ratio = f"{seconds / PROVIDER_SECONDS:.2f}"
    return [Row("in flight", f"provider takes {PROVIDER_SECONDS:g} s", ours, ratio, target, reached)], [
        f"**in flight**: {FULL_WORKER:,} jobs wait, one worker process may run as many at once; the most that the "
        "database had running, the largest resident memory of the process, and the time from the first message to the "
        f"last finish; the last job started after {last_start:.1f} s.",
    ]


@dataclass(frozen=True)
class Run:
    """Tasks or jobs per second, and the processor time that each took, in microseconds."""

    rate: float
    cost: float


def _nothing(house: House, database: str, concurrency: int) -> Run:
    """The baseline: from when the first message is taken to when the last is acknowledged."""
    house.empty_broker()
    url = house.new_database(database)
    with app.producer_or_acquire() as producer:
        for number in range(JOBS):
            nothing.apply_async((str(number),), queue=Queue.generation, producer=producer)
    with running("generation", _worker(url, concurrency), house.folder, bare=True, wait=False) as worker:
        used = _begun(house, worker.pid)
        begin = time.monotonic()
        _drained(house)
        return Run(JOBS / (time.monotonic() - begin), used.seconds / JOBS * 1e6)


def _jobs(house: House, made: stock.Stock, concurrency: int) -> Run:
    """Ours: from the first start to the last finish, by the database's clock."""
    house.empty_broker()
    url = house.new_database(made.template)
    with using(url):
        relay.sweep(app)
    with running("generation", _worker(url, concurrency), house.folder, wait=False) as worker:
        used = _begun(house, worker.pid)
        until(url, "SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL", JOBS)
        cost = used.seconds / JOBS * 1e6
    seconds = float(ask(url, "SELECT extract(epoch FROM max(finished_at) - min(started_at)) FROM jobs"))
    return Run(JOBS / seconds, cost)


def _worker(url: str, concurrency: int) -> dict[str, str]:
    return {"DATABASE_URL": url, "GENERATION_CONCURRENCY": str(concurrency)}


def _begun(house: House, pid: int) -> Cpu:
    """Wait until a worker takes its first message, and count processor time from there."""
    client = redis.Redis.from_url(house.redis)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while client.llen(Queue.generation) == JOBS:
        if time.monotonic() > deadline:
            raise TimeoutError("no worker took a message")
        time.sleep(0.005)
    return Cpu(pid, *house.servers())


def _drained(house: House) -> None:
    """Wait until every message is acknowledged."""
    client = redis.Redis.from_url(house.redis)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while client.llen(Queue.generation) or client.hlen("unacked"):
        if time.monotonic() > deadline:
            raise TimeoutError("the tasks of the baseline did not end")
        time.sleep(0.01)
