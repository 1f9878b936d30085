"""History: what a hold and a poll cost when a million jobs and transfers are already there."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar
from uuid import UUID, uuid4

import psycopg
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from bench import stock
from bench.house import BENCH_PRESET, House
from bench.report import Row
from models import database, jobs
from models.catalog import Catalog, read_preset
from models.database import SessionFactory
from models.jobs import Order
from models.plans import NOTHING
from models.quotes import quote

SMALL, LARGE = 1_000, 1_000_000
TURNS = 40
HOLDS, POLLS = 50, 150
"""How many of each a turn has."""

JOBS_PER_LOT = 100
PRICE = 5
Thing = TypeVar("Thing")

# A job every ten seconds up to an hour ago, by user after user; each has a hold and a settlement, and every hundred of
# one user's jobs have used up a lot. Identifiers sort by time of birth, as those of the product do.
HISTORY = """
CREATE TEMPORARY TABLE owners AS
    SELECT row_number() OVER (ORDER BY wallets.id) - 1 AS n, user_id, wallets.id AS wallet_id FROM wallets;
CREATE TEMPORARY TABLE past AS
    SELECT n, n % {users} AS owner, n / {users} AS of_owner,
        now() - interval '1 hour' - (({jobs} - n) * interval '10 s') AS at
    FROM generate_series(0, {jobs} - 1) n;
ALTER TABLE past ADD COLUMN id uuid;
UPDATE past SET id = (
    lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(n::text), 1, 3)
    || '8' || substr(md5(n::text), 4, 15)
)::uuid;
CREATE TEMPORARY TABLE used AS
    SELECT owner, of_owner / {per_lot} AS number, count(*) * {price} AS amount, min(at) AS at,
        (SELECT coalesce(max(id), 0) FROM lots) + row_number() OVER (ORDER BY min(n)) AS lot_id
    FROM past GROUP BY 1, 2;
INSERT INTO lots (id, wallet_id, source, ref, issued, available, held, spent, expired, clawed_back, created_at)
    SELECT lot_id, wallet_id, 'purchase', 'past:' || lot_id, amount, 0, 0, amount, 0, 0, at
    FROM used JOIN owners ON owners.n = used.owner;
INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after, created_at)
    SELECT wallet_id, lot_id, amount, 'issued', 'available', 'grant', 'past:' || lot_id, amount, at
    FROM used JOIN owners ON owners.n = used.owner;
INSERT INTO jobs (
    id, user_id, action, kind, queue, status, version, input, idempotency_key, request_digest, wallet, breakdown,
    cancel_charge, estimate, held, charged, refunded, attempt, max_attempts, run_after, outputs, usage, created_at,
    started_at, finished_at)
SELECT id, user_id, 'chat', 'chat', 'generation', 'completed', 3, jsonb_build_object('prompt', {prompt}),
    md5(past.n::text), md5('a' || past.n) || md5('b' || past.n), 'credits',
    '[{{"label": "Chat analysis", "amount": 5}}]', 100, {price}, {price}, {price}, 0, 1, 4, at,
    '[{{"type": "text", "text": "The tone is warm and the message wants an answer.", "suggestions": ["Yes!"]}}]',
    '{{"input_tokens": 21, "output_tokens": 40}}', at, at + interval '1 s', at + interval '3 s'
FROM past JOIN owners ON owners.n = past.owner ORDER BY past.n;
INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after, job_id, created_at)
SELECT wallet_id, lot_id, {price}, step.source, step.target, step.reason,
    'job:' || past.id || ':' || step.reason || ':' || lot_id, 1000, past.id, past.at + step.late
FROM past JOIN owners ON owners.n = past.owner
    JOIN used ON used.owner = past.owner AND used.number = of_owner / {per_lot}
    CROSS JOIN (VALUES ('available', 'held', 'hold', interval '0 s'), ('held', 'spent', 'settle', interval '3 s'))
        AS step(source, target, reason, late)
ORDER BY past.n, step.late;
SELECT setval(pg_get_serial_sequence('lots', 'id'), (SELECT max(id) FROM lots));
"""


class Place:
    """One of the two databases: an engine, its users and jobs, and what each operation took there."""

    def __init__(self, url: str, owners: list[UUID], past: list[tuple[UUID, UUID]]) -> None:
        self.engine: Engine = database.make_engine(url)
        self.owners = owners
        self.past = past
        self.times: dict[str, list[float]] = {"hold": [], "poll": []}


def history(house: House) -> tuple[list[Row], list[str]]:
    """`jobs.submit` with its commit, and `jobs.get`, in turns where a thousand jobs are and where a million are."""
    begin = time.monotonic()
    places = [_place(house, SMALL), _place(house, LARGE)]
    filled = time.monotonic() - begin
    catalog = read_preset(BENCH_PRESET)
    for turn in range(TURNS + 2):
        for place in places if turn % 2 else reversed(places):
            _take_turn(place, catalog, turn)
    small, large = places
    rows = []
    for name in ("hold", "poll"):
        # The first two turns warm caches and prepare statements.
        before, now = (statistics.median(place.times[name][2:]) for place in (small, large))
        by_turn = [b / a for a, b in zip(small.times[name][2:], large.times[name][2:], strict=True)]
        ratio = statistics.median(by_turn)
        low, *_, high = statistics.quantiles(by_turn, n=10)
        spread = f"{ratio:.2f} ({low:.2f} to {high:.2f})"
        rows.append(Row(f"history: {name}", f"{before:.0f} µs", f"{now:.0f} µs", spread, "≤ 1.1", ratio <= 1.1))
    for place in places:
        place.engine.dispose()
    return rows, [
        f"**history**: the same verb with its transaction in a database with {SMALL:,} finished jobs (baseline) and in "
        f"one with {LARGE:,} and twice as many transfers, {stock.USERS} users each; medians of {TURNS} turns, the "
        f"spread is that of the middle eight tenths. Filling them took {filled:.0f} s.",
    ]


def _place(house: House, number: int) -> Place:
    made = stock.product(house)
    url = house.new_database(made.template)
    # Deterministic identifiers let the whole past be written by the server, in bulk.
    script = HISTORY.format(
        users=stock.USERS,
        jobs=number,
        per_lot=JOBS_PER_LOT,
        price=PRICE,
        prompt="'" + stock.PROMPT.replace("'", "''") + "'",
    )
    with psycopg.connect(url, autocommit=True) as connection:
        # Rows that are right by construction need no check of each foreign key.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute("SET work_mem = '256MB'")
        connection.execute(script)
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
        past = connection.execute(
            "SELECT id, user_id FROM jobs TABLESAMPLE BERNOULLI (%s) LIMIT 20000", (min(100.0, 2_000_000 / number),)
        ).fetchall()
    return Place(url, made.users, past)


def _take_turn(place: Place, catalog: Catalog, turn: int) -> None:
    orders = [_order(catalog, place.owners[(turn * HOLDS + n) % len(place.owners)]) for n in range(HOLDS)]

    def hold(order: Order) -> None:
        with SessionFactory(bind=place.engine) as session, session.begin():
            jobs.submit(session, order)

    reading = place.engine.execution_options(isolation_level="AUTOCOMMIT")
    asked = [place.past[(turn * POLLS + n) * 7 % len(place.past)] for n in range(POLLS)]

    def poll(wanted: tuple[UUID, UUID]) -> None:
        with Session(bind=reading, autoflush=False) as session:
            jobs.get(session, job_id=wanted[0], user_id=wanted[1])

    place.times["hold"].append(_microseconds(hold, orders))
    place.times["poll"].append(_microseconds(poll, asked))


def _order(catalog: Catalog, user_id: UUID) -> Order:
    asked = quote(catalog, NOTHING, action="chat", raw_input={"prompt": stock.PROMPT})
    return jobs.order(catalog, asked, user_id=user_id, max_attempts=4, idempotency_key=uuid4().hex)


def _microseconds(verb: Callable[[Thing], None], given: Sequence[Thing]) -> float:
    """The median time of one call."""
    times = []
    for each in given:
        begin = time.perf_counter()
        verb(each)
        times.append((time.perf_counter() - begin) * 1e6)
    return statistics.median(times)
