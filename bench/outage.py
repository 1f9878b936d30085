"""Outages: what accepting costs while the broker is frozen or gone, and how soon jobs of a killed worker run again."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg
import redis

from bench import stock
from bench.house import House, running, using
from bench.load import UNIQUE, Load, Plan, fire, post
from bench.report import Row
from bench.watch import ask, published, until
from config import settings
from ops import embedded
from ops.embedded import free_port
from worker import relay
from worker.app import app

RATE = 100.0
"""Requests per second: well below what two cores accept, so that the answer is timed and not the queue for it."""

SECONDS = 5.0
TURNS = 3

HELD_JOBS = 40
LONG_SECONDS = 100.0
PHASES = (0.0, 2.5, 5.0, 7.5)
"""How many seconds after the start of its jobs a worker is killed: four moments within one heartbeat."""


def broker(house: House) -> tuple[list[Row], list[str]]:
    """Accept with the broker well, frozen and gone, in turns; then see how soon what waited is published."""
    made = stock.product(house)
    url, web_port, broker_port = house.new_database(made.template), free_port(), free_port()
    requests = [
        post("/v1/jobs", stock.REQUEST, Authorization=f"Bearer {token}", Idempotency_Key=UNIQUE.decode())
        for token in stock.access_tokens(made.users).values()
    ]
    nobody_yet = f"redis://127.0.0.1:{broker_port}/0"
    environment = {"DATABASE_URL": url, "PORT": str(web_port), "BROKER_URL": nobody_yet, "REDIS_URL": nobody_yet}
    loads: dict[str, list[Load]] = {"well": [], "frozen": [], "gone": []}

    def load(how: str, warm_up: float = 0.5) -> None:
        loads[how].append(fire(Plan(port=web_port, requests=requests, seconds=SECONDS, warm_up=warm_up, rate=RATE)))

    left, seconds = 0, 0.0
    with running("web", environment, house.folder):
        load("well", warm_up=2)
        for how in loads:
            loads[how].clear()
        for _ in range(TURNS):
            with embedded.broker(broker_port) as broker_url:
                left, seconds = published(url)
                load("well")
                with frozen(broker_url):
                    load("frozen")
                published(url)
            load("gone")
        with embedded.broker(broker_port):
            left, seconds = published(url)
    p99 = {how: [each.percentile(99) for each in found] for how, found in loads.items()}
    middle = {how: statistics.median(found) for how, found in p99.items()}
    rows = []
    for how in ("frozen", "gone"):
        accepted = min(each.share(202) for each in loads[how])
        more = middle[how] - middle["well"]
        ours = f"p99 {middle[how]:.1f} ms, {accepted:.0%} accepted"
        reached = more <= 50 and accepted == 1
        theirs = f"p99 {middle['well']:.1f} ms"
        rows.append(Row(f"accept, broker {how}", theirs, ours, f"{more:+.1f} ms", "≤ +50 ms, 100%", reached))
    spread = ", ".join(f"{how} {min(found):.1f} to {max(found):.1f} ms" for how, found in p99.items())
    return rows, [
        f"**accept, broker frozen or gone**: {RATE:g} requests a second, due at fixed moments; the broker well, "
        f"stopped (SIGSTOP) and ended, in turns of {SECONDS:g} s. p99 of the turns: {spread}. When a broker was there "
        f"again, the {left:,} messages that waited were published in {seconds:.1f} s.",
    ]


def killed(house: House) -> tuple[list[Row], list[str]]:
    """Kill a worker that runs long jobs while another is there; measure until each job runs again."""
    made = stock.product(house, queued=HELD_JOBS)
    stock.let_it_fall_due()
    waits: list[float] = []
    for phase in PHASES:
        waits += _kill_one(house, made, phase)
    waits.sort()
    p50, p99 = waits[len(waits) // 2], waits[int(len(waits) * 0.99)]
    chosen = settings()
    theirs = f"lease {chosen.lease_seconds:g} s, rescue every {chosen.rescue_seconds:g} s"
    reached = p99 <= 45 and len(waits) == len(PHASES) * HELD_JOBS
    return [Row("worker killed", theirs, f"p50 {p50:.1f} s, p99 {p99:.1f} s", "", "p99 ≤ 45 s", reached)], [
        f"**worker killed**: {len(PHASES)} times a worker with {HELD_JOBS} long jobs gets SIGKILL, at different "
        "moments of its heartbeat; the time until each of them runs again, as its second attempt, on a worker that was "
        f"there already. All {len(waits)} did.",
    ]


@contextmanager
def frozen(broker_url: str) -> Iterator[None]:
    """Stop a broker's process for a while; its connections stay open and nothing answers."""
    info = redis.Redis.from_url(broker_url).info()
    pid = int(info["process_id"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _kill_one(house: House, made: stock.Stock, phase: float) -> list[float]:
    """One round: how many seconds each job of a killed worker waited for its second attempt."""
    house.empty_broker()
    url = house.new_database(made.template)
    environment = {"DATABASE_URL": url, "MOCK_LATENCY_SECONDS": str(LONG_SECONDS)}
    with ExitStack() as stack:
        for name in ("support", "beat"):
            stack.enter_context(running(name, environment, house.folder))
        victim = stack.enter_context(running("generation", environment, house.folder))
        with using(url):
            relay.sweep(app)
        until(url, "SELECT count(*) FROM jobs WHERE status = 'running'", HELD_JOBS)
        begin = time.monotonic()
        stack.enter_context(running("generation", environment, house.folder, worker="spare"))
        heartbeat = settings().heartbeat_seconds
        time.sleep((phase - (time.monotonic() - begin)) % heartbeat)
        moment = ask(url, "SELECT clock_timestamp()")
        os.killpg(victim.pid, signal.SIGKILL)
        until(url, "SELECT count(*) FROM jobs WHERE status = 'running' AND attempt = 2", HELD_JOBS)
        with psycopg.connect(url) as connection:
            waited = connection.execute("SELECT extract(epoch FROM started_at - %s)::float FROM jobs", (moment,))
            return [row[0] for row in waited]
