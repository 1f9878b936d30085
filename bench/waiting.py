"""How soon a waiting request hears that its job has ended, beside a bare message through the same broker."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import chain, pairwise
from threading import Thread
from uuid import UUID

import psycopg
import redis

from bench import stock
from bench.house import House, running
from bench.report import Row
from ops.embedded import free_port

ROUNDS = 3
JOBS = 120
"""In each round and for each user."""

AT_ONCE = (1, 6)
"""How many users wait at a time: one, and as many as leave places free in both processes."""

PROVIDER_SECONDS = 0.1
GAP_SECONDS = 0.01
MOST_P50_MS = 20.0


def waiting(house: House) -> tuple[list[Row], list[str]]:
    """From the statement that ends a job to the answer that `Prefer: wait=n` kept, with a web and a worker."""
    made = stock.product(house)
    tokens = list(stock.access_tokens(made.users).values())
    rows, share = [], 1.0
    for users in AT_ONCE:
        theirs: list[float] = []
        ours: list[float] = []
        for _ in range(ROUNDS):
            theirs += _bare(house, JOBS * users)
            times, woken = _round(house, made.template, tokens[:users])
            ours += times
            share = min(share, woken)
        middle = statistics.median(ours)
        target, reached = (f"p50 < {MOST_P50_MS:g} ms", middle < MOST_P50_MS) if users == 1 else ("", None)
        ratio = f"+{middle - statistics.median(theirs):.1f} ms"
        rows.append(Row(f"waiting, {users} at a time", _words(theirs), _words(ours), ratio, target, reached))
    return rows, [
        f"**waiting**: `POST /v1/jobs` with `Prefer: wait=20`, one after the other, by so many users at a time; a "
        f"provider that takes {PROVIDER_SECONDS:g} s; web and worker as `make up` runs them. From the moment that the "
        "database gives as the job's end, before that is committed, until the client has the answer; beside one "
        f"message published and received through the same broker. {share:.1%} were answered 200, with the result.",
    ]


def _round(house: House, template: str, tokens: Sequence[str]) -> tuple[list[float], float]:
    """The milliseconds of each answer after its job's end, and which part of the answers had an end to tell."""
    house.empty_broker()
    url, port = house.new_database(template), free_port()
    settings = {
        "DATABASE_URL": url, "PORT": str(port), "MOCK_LATENCY_SECONDS": str(PROVIDER_SECONDS), "WEB_THREADS": "64",
    }  # fmt: skip
    with running("generation", settings, house.folder), running("web", settings, house.folder):
        _ask(port, tokens[0], 10)
        with ThreadPoolExecutor(len(tokens)) as threads:
            answered = dict(chain.from_iterable(threads.map(lambda token: _ask(port, token, JOBS), tokens)))
    with psycopg.connect(url) as connection:
        ended = connection.execute(
            "SELECT id, extract(epoch FROM finished_at)::float8 FROM jobs WHERE id = ANY(%s)", [list(answered)]
        ).fetchall()
    times = [(answered[job_id] - at) * 1000 for job_id, at in ended if answered[job_id] > at]
    return times, len(times) / (len(tokens) * JOBS)


def _ask(port: int, token: str, number: int) -> list[tuple[UUID, float]]:
    """Submit and wait, again and again; each job that had ended, and when its answer was there."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json", "Prefer": "wait=20"}
    answered = []
    for _ in range(number):
        connection.request("POST", "/v1/jobs", json.dumps(stock.REQUEST), headers)
        response = connection.getresponse()
        body = response.read()
        if response.status == 200:
            answered.append((UUID(json.loads(body)["id"]), time.time()))
    connection.close()
    return answered


def _bare(house: House, number: int) -> list[float]:
    """The milliseconds from just before each publish to when a subscriber's thread has it."""
    client = redis.Redis.from_url(house.redis)
    with client.pubsub() as ear:  # type: ignore[no-untyped-call]
        ear.subscribe("bench")
        ear.get_message(timeout=1.0)
        heard: list[float] = []

        def hear() -> None:
            while len(heard) < number:
                if ear.get_message(ignore_subscribe_messages=True, timeout=1.0):
                    heard.append(time.perf_counter())

        thread = Thread(target=hear)
        thread.start()
        said = []
        for _ in range(number):
            said.append(time.perf_counter())
            client.publish("bench", b"")
            time.sleep(GAP_SECONDS)
        thread.join()
    assert all(earlier < later for earlier, later in pairwise(heard))
    return [(there - here) * 1000 for here, there in zip(said, heard, strict=True)]


def _words(times: Sequence[float]) -> str:
    ordered = sorted(times)
    return f"p50 {statistics.median(ordered):.1f} ms, p99 {ordered[int(len(ordered) * 0.99)]:.1f} ms"
