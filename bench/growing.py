"""What growing costs: bytes of a row, processor time and write-ahead log of a job, and what partitions add.

`python -m bench.growing` prints a table in some three minutes; docs/growing.md reasons from it. Processor time is that
of PostgreSQL's backends, in turns on two databases with the same past, one of which has its transfers in partitions.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
from sqlalchemy import create_engine

from bench import stock
from bench.history import HISTORY, JOBS_PER_LOT, PRICE
from bench.house import BENCH_PRESET, using
from models import database, jobs, partitions
from models.catalog import Catalog, load, read_preset
from models.database import SessionFactory, at_once, sessions
from models.jobs import Effort, Order
from models.plans import NOTHING
from models.quotes import quote
from ops import embedded
from web.commands.database import upgrade

JOBS, USERS = 100_000, stock.USERS
PARTS = 16
TURNS, WARM, EACH = 12, 40, 200
MADE: list[dict[str, Any]] = [{"type": "text", "text": "The tone is warm and the message wants an answer."}]
USED = {"input_tokens": 21, "output_tokens": 40}
EFFORT = Effort(provider="openai", model="gpt-5-mini", request_id="resp_" + 32 * "0", usage=USED, cost_micros=85)
TABLES = ("jobs", "attempts", "transfers", "gateway_events", "emails")

MORE = """
    INSERT INTO attempts (job_id, number, provider, model, provider_request_id, started_at, ended_at, ending, usage,
        cost_micros)
    SELECT id, 1, 'openai', 'gpt-5-mini', 'resp_' || md5(id::text), started_at, finished_at, 'completed', usage, 85
    FROM jobs;
    INSERT INTO gateway_events (id, type, object_id, state, attempts, received_at, ended_at)
    SELECT 'evt_' || md5(id::text), 'checkout.session.completed', 'cs_live_' || md5('c' || id) || md5('d' || id),
        'done', 1, created_at, created_at FROM jobs;
    INSERT INTO emails (id, key, template, user_id, details, state, attempts, created_at, ended_at)
    SELECT id, 'receipt:' || id, 'receipt', user_id,
        '{"title": "Pack of 150", "amount": 2499, "currency": "USD", "credits": 160, "wallet": "credits"}', 'sent', 1,
        created_at, created_at FROM jobs;
"""


def main() -> None:
    with embedded.postgresql("shared_buffers=512MB", "max_wal_size=4GB", "autovacuum=off") as server:
        whole = _filled(embedded.create_database(server, "whole"))
        parts = embedded.create_database(server, "parts", template="whole")
        print(f"load average at the start: {Path('/proc/loadavg').read_text().split()[0]}\n")
        _sizes(whole)
        begin = time.monotonic()
        engine = create_engine(parts)
        with engine.begin() as connection:
            number = partitions.split(connection, into=PARTS)
        engine.dispose()
        print(f"\nsplit: {number:,} transfers into {PARTS} in {time.monotonic() - begin:.1f} s")
        for url in (whole, parts):
            with psycopg.connect(url, autocommit=True) as plain:
                plain.execute("VACUUM (ANALYZE)")
                plain.execute("CHECKPOINT")
        _speeds(whole, parts)
        _pared(whole)


def _filled(url: str) -> str:
    engine = database.make_engine(url)
    upgrade(engine)
    with SessionFactory(bind=engine) as session, session.begin():
        load(session, read_preset(BENCH_PRESET))
    engine.dispose()
    with using(url):
        for _ in range(USERS):
            stock._user()
    prompt = "'" + stock.PROMPT.replace("'", "''") + "'"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        connection.execute(
            HISTORY.format(users=USERS, jobs=JOBS, per_lot=JOBS_PER_LOT, price=PRICE, prompt=prompt).encode()
        )
        connection.execute(MORE)
        connection.execute("VACUUM (ANALYZE)")
    return url


def _sizes(url: str) -> None:
    with psycopg.connect(url) as connection:
        for table in TABLES:
            row = connection.execute(
                f"SELECT count(*), pg_table_size('{table}'), pg_indexes_size('{table}') FROM {table}"
            ).fetchone()
            assert row is not None
            number, rows, indexes = row
            print(f"{table:<16} {rows / number:6.0f} bytes a row and {indexes / number:6.0f} of indexes")


def _pared(url: str) -> None:
    """What is left of a job that has forgotten what it was about, and how fast that goes."""
    with using(url), psycopg.connect(url, autocommit=True) as plain:
        begin, number = time.monotonic(), 0
        while True:
            with sessions() as session:
                found = jobs.forget_old(session, days=1, limit=500)
            number += found
            if found < 500:
                break
        took = time.monotonic() - begin
        plain.execute("VACUUM FULL jobs")
        row = plain.execute("SELECT pg_table_size('jobs') / count(*) FROM jobs").fetchone()
        assert row is not None
        print(f"pared: {number:,} jobs at {number / took:,.0f}/s; then {row[0]} bytes a row")


def _speeds(whole: str, parts: str) -> None:
    catalog = read_preset(BENCH_PRESET)
    found: dict[str, list[dict[str, float]]] = {whole: [], parts: []}
    for turn in range(TURNS):
        for url in (whole, parts) if turn % 2 else (parts, whole):
            with using(url):
                found[url].append(_turn(url, catalog))
    print(f"\n{'of one job':<28} {'one table':>12} {f'{PARTS} parts':>12}  ratio (quartiles)")
    for name in found[whole][0]:
        one, many = ([turn[name] for turn in found[url]] for url in (whole, parts))
        low, middle, high = statistics.quantiles([b / a for a, b in zip(one, many, strict=True)], n=4)
        figures = f"{statistics.median(one):>12.1f} {statistics.median(many):>12.1f}"
        print(f"{name:<28} {figures}  {middle:.2f} ({low:.2f} to {high:.2f})")


def _turn(url: str, catalog: Catalog) -> dict[str, float]:
    asked = quote(catalog, NOTHING, action="chat", raw_input={"prompt": stock.PROMPT})
    with psycopg.connect(url, autocommit=True) as plain:
        owners = [row[0] for row in plain.execute("SELECT user_id FROM wallets")]
        orders = [
            jobs.order(catalog, asked, user_id=owners[n % USERS], max_attempts=4, idempotency_key=uuid4().hex)
            for n in range(USERS + EACH)
        ]
        # Everybody's first job takes the long way, and warms what is prepared.
        for order in orders[:USERS]:
            _accept(order)
        accept = _measured(plain, _accept, orders[USERS:])
        claim = _measured(plain, _claim, orders[USERS:])
        claims = [_claimed.pop(0) for _ in orders[USERS:]]
        complete = _measured(plain, _complete, claims)
        # As the relay does.
        plain.execute("DELETE FROM outbox")
    each = {"accept": accept, "claim": claim, "complete": complete}
    return {
        **{f"{name}: processor µs": figures["cpu"] for name, figures in each.items()},
        **{f"{name}: bytes of log": figures["wal"] for name, figures in each.items()},
    }


_claimed: list[Any] = []


def _accept(order: Order) -> None:
    with at_once() as session:
        accepted = jobs.submit_at_once(session, order)
    if accepted is None:
        with sessions() as session:
            jobs.submit(session, order)


def _claim(order: Order) -> None:
    with at_once() as session:
        _claimed.append(jobs.claim(session, order.id, lease_seconds=600))


def _complete(claim: Any) -> None:
    with at_once() as session:
        assert jobs.complete_at_once(session, claim, outputs=MADE, usage=USED, delivered_percent=100, effort=EFFORT)


def _measured(plain: psycopg.Connection[Any], verb: Callable[[Any], None], given: Sequence[Any]) -> dict[str, float]:
    """Of each of these but the first: processor time of PostgreSQL and bytes of write-ahead log."""
    for each in given[:WARM]:
        verb(each)
    before = _used(plain)
    for each in given[WARM:]:
        verb(each)
    after = _used(plain)
    return {name: (after[name] - before[name]) / len(given[WARM:]) for name in before}


def _used(plain: psycopg.Connection[Any]) -> dict[str, float]:
    rows = plain.execute(
        "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    ).fetchall()
    ran = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for (pid,) in rows)
    row = plain.execute("SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return {"cpu": ran / 1000, "wal": float(row[0])}


if __name__ == "__main__":
    main()
