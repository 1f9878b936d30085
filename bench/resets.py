"""Resets: a day's allowance for a million wallets in batches, beside one raw INSERT … SELECT of the same rows."""

from __future__ import annotations

import time
from collections.abc import Callable

import psycopg

from bench import stock
from bench.house import BENCH_PRESET, House, using
from bench.report import Row
from models import plans
from models.audit import audit
from models.catalog import Catalog, load, read_preset
from models.database import sessions

WALLETS = 1_000_000
ALLOWANCE = 50
TARGET = 0.5
PLAN = {
    "title": "Free",
    "rank": 0,
    "allowances": [{"wallet": "credits", "amount": ALLOWANCE, "period": "daily"}],
}

# Each wallet has 30 of yesterday's 50 left, and 100 that were bought.
STOCK = """
CREATE TEMPORARY TABLE people AS
    SELECT n, ('0190' || lpad(to_hex(n), 8, '0') || '7000' || '8' || substr(md5(n::text), 1, 15))::uuid AS user_id
    FROM generate_series(1, {wallets}) n;
INSERT INTO users (id, email, password_hash) SELECT user_id, n || '@example.com', 'none' FROM people;
INSERT INTO subscriptions (user_id, plan_version_id, origin, ref, started_at, anchor_at)
    SELECT user_id, (SELECT id FROM plan_versions WHERE plan = 'free'), 'signup', 'signup:' || user_id,
        now() - interval '2 days', now() - interval '2 days'
    FROM people;
INSERT INTO wallets (id, user_id, kind, available, reset_at, due_at)
    SELECT n, user_id, 'credits', 130, now() - interval '1 minute', now() - interval '1 minute' FROM people;
INSERT INTO lots (id, wallet_id, source, ref, issued, available, spent, expires_at)
    SELECT 2 * n - 1, n, 'purchase', 'past:' || n, 100, 100, 0, NULL FROM people
    UNION ALL
    SELECT 2 * n, n, 'daily', 'daily:' || n || ':past', {allowance}, 30, {allowance} - 30, now() - interval '1 minute'
    FROM people;
INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after)
    SELECT n, 2 * n - 1, 100, 'issued', 'available', 'grant', 'past:' || n, 100 FROM people;
INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after)
    SELECT n, 2 * n, {allowance}, 'issued', 'available', 'grant', 'daily:' || n || ':past', 150 FROM people;
INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after)
    SELECT n, 2 * n, {allowance} - 30, 'available', 'spent', 'spend', 'spend:' || n || ':0', 130 FROM people;
SELECT setval(pg_get_serial_sequence('wallets', 'id'), {wallets});
SELECT setval(pg_get_serial_sequence('lots', 'id'), 2 * {wallets});
"""

RAW = """
WITH made AS (
    INSERT INTO lots (wallet_id, source, ref, issued, available, expires_at)
    SELECT id, 'daily', 'daily:' || id || ':today', {allowance}, {allowance}, now() + interval '1 day' FROM wallets
    RETURNING id, wallet_id, ref
)
INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after, details)
SELECT wallet_id, id, available, 'available', 'expired', 'expire', 'lot:' || id || ':expire:0', 100, NULL
    FROM lots WHERE usable AND expires_at IS NOT NULL
UNION ALL
SELECT wallet_id, id, {allowance}, 'issued', 'available', 'grant', ref, 100 + {allowance},
    CAST('{{"title": "Daily allowance", "plan": "free"}}' AS jsonb)
    FROM made
"""


def reset(house: House, *, wallets: int = WALLETS) -> tuple[list[Row], list[str]]:
    """`plans.grant_all_due`, beside the bare rows in a copy of the same database."""
    begin = time.monotonic()
    template = _stocked(house, wallets)
    filled = time.monotonic() - begin
    raw_url = house.new_database(template)
    bare = _seconds(raw_url, lambda: _insert_bare(raw_url))
    _drop(house, raw_url)
    our_url = house.new_database(template)
    with using(our_url):
        ours = _seconds(our_url, _reset_all)
        _check(our_url, wallets)
    ratio = bare / ours
    return [
        Row(
            "daily reset", f"{wallets / bare:,.0f}/s", f"{wallets / ours:,.0f}/s", f"{ratio:.2f}", f"≥ {TARGET}",
            ratio >= TARGET,
        )
    ], [
        f"**daily reset**: {wallets:,} wallets, each with 30 credits left of yesterday's {ALLOWANCE} and 100 bought. "
        "The baseline is one raw INSERT … SELECT of the rows that a reset adds, in one transaction: each wallet's new "
        "lot, the transfer that expires what was left and the one that grants the new day. Ours also takes what is "
        "left out of the old lots, brings the wallets up to date and leaves out who is busy, in pages that commit one "
        "by one, two at a time, as beat does it. Both in a copy of the same database with all its constraints and "
        "indexes, freshly analysed and after "
        f"a checkpoint. Filling it took {filled:.0f} s.",
    ]  # fmt: skip


def _stocked(house: House, wallets: int) -> str:
    """The name of a database with that many wallets whose allowance is due."""
    url = stock.migrated(house)
    sold = read_preset(BENCH_PRESET).model_dump(mode="json")
    with using(url), sessions() as session:
        load(session, Catalog.model_validate({**sold, "plans": {"free": PLAN}}))
    with psycopg.connect(url, autocommit=True) as connection:
        # Rows that are right by construction need no check of each foreign key.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET maintenance_work_mem = '512MB'")
        connection.execute(STOCK.format(wallets=wallets, allowance=ALLOWANCE))
        connection.execute("VACUUM (ANALYZE)")
        return connection.info.dbname


def _seconds(url: str, run: Callable[[], None]) -> float:
    """How long a run takes from a checkpoint on, with fresh statistics."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
        connection.execute("CHECKPOINT")
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _insert_bare(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute(RAW.format(allowance=ALLOWANCE))


def _reset_all() -> None:
    plans.grant_all_due(sessions)


def _check(url: str, wallets: int) -> None:
    """A reset that was quick because it left something out would not count."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM wallets WHERE available = %s AND due_at > now()", [100 + ALLOWANCE]
        ).fetchone()
    with sessions() as session:
        wrong = audit(session)
    if found != (wallets,) or wrong:
        raise AssertionError(f"{found} of {wallets} wallets were reset; {wrong[:3]}")


def _drop(house: House, url: str) -> None:
    """Give the room back that a million rows take."""
    with psycopg.connect(house.postgresql, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{psycopg.conninfo.conninfo_to_dict(url)["dbname"]}"')
