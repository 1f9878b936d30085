"""Fairness: how long one user's job waits while thousands of another's are before it, beside an idle queue."""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from bench import stock
from bench.house import House, running, using
from bench.load import UNIQUE, post
from bench.report import Row
from bench.watch import ask, until
from config import settings
from ops.embedded import free_port
from worker import relay
from worker.app import app

JOBS = 3_000
PROBES = 20
PROVIDER_SECONDS = 0.2
PAUSE_SECONDS = 0.1
NO_SHARE = 1_000_000


def fairness(house: House) -> tuple[list[Row], list[str]]:
    """One user's first job behind a crowd, with the fair share and without, beside the same with nobody there."""
    made = stock.product(house)
    share = settings().called_at_once
    idle, _ = _waits(house, made, crowd=0)
    fair, left = _waits(house, made, crowd=JOBS)
    with _sharing(NO_SHARE):
        unfair, _ = _waits(house, made, crowd=JOBS, probes=1)
    alone = statistics.median(idle)
    rows = [
        _row("fairness: another's job", alone, statistics.median(fair)),
        _row("fairness: without a share", alone, statistics.median(unfair)),
    ]
    return rows, [
        f"**fairness**: {JOBS:,} jobs of one user wait, with a provider that takes {PROVIDER_SECONDS:g} s and one "
        f"worker process; another user submits {PROBES} jobs, one after the other. The time from acceptance to start, "
        f"median, beside the same with nobody else there. Of the first user {share} are called at a time; {left:,} of "
        f"them were left at the end. The longest of the other's waits was {max(fair):.0f} ms. Without a share it is "
        "the one job that came after all of them were published.",
    ]


def _waits(house: House, made: stock.Stock, *, crowd: int, probes: int = PROBES) -> tuple[list[float], int]:
    """In how many milliseconds each probe was started; and how many of the crowd were not finished by then."""
    house.empty_broker()
    url, port = house.new_database(made.template), free_port()
    greedy, other = made.users[:2]
    environment = {"DATABASE_URL": url, "PORT": str(port), "MOCK_LATENCY_SECONDS": str(PROVIDER_SECONDS)}
    with using(url):
        stock.submit([greedy], crowd)
    if crowd:
        stock.let_it_fall_due()
    with running("web", environment, house.folder), running("generation", environment, house.folder):
        with using(url):
            relay.sweep(app)
        _probe(url, port, other, probes)
        left = ask(url, "SELECT count(*) FROM jobs WHERE user_id = %s AND finished_at IS NULL", greedy)
        waited = ask(
            url,
            "SELECT json_agg(extract(epoch FROM started_at - created_at)::float * 1000) FROM jobs WHERE user_id = %s",
            other,
        )
        if crowd and probes == PROBES:
            until(url, "SELECT count(*) FROM jobs WHERE finished_at IS NOT NULL AND attempt = 1", crowd + probes)
    return [float(each) for each in waited], left


def _probe(url: str, port: int, user: UUID, number: int) -> None:
    token = stock.access_tokens([user])[user]
    request = post("/v1/jobs", stock.REQUEST, Authorization=f"Bearer {token}", Idempotency_Key=UNIQUE.decode())
    for each in range(number):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(request.replace(UNIQUE, b"probe-%d" % each))
            if b" 202 " not in connection.recv(65536).split(b"\r\n", 1)[0]:
                raise RuntimeError("a job was not accepted")
        until(url, f"SELECT count(*) FROM jobs WHERE user_id = '{user}' AND started_at IS NOT NULL", each + 1)
        time.sleep(PAUSE_SECONDS)


@contextmanager
def _sharing(share: int) -> Iterator[None]:
    os.environ["FAIR_SHARE"] = str(share)
    settings.cache_clear()
    try:
        yield
    finally:
        del os.environ["FAIR_SHARE"]
        settings.cache_clear()


def _row(path: str, alone: float, waited: float) -> Row:
    return Row(path, f"{alone:.0f} ms, nobody else", f"{waited:.0f} ms", f"{waited / alone:.1f}", "", None)
