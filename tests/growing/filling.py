"""Large tables, filled by the server itself: one user with many rows long ago, and others with all the newer ones."""

from __future__ import annotations

import time
from uuid import UUID

import psycopg
from sqlalchemy import make_url

ROWS = 8_000
EACH = 4
"""Of so many rows the first one is the user's, in the older half; what is newer is all of others."""

OTHERS = 300
DAYS = 1_000
"""How long ago the first row was made; they are evenly spread up to a day ago."""

# Identifiers sort by time of birth, as those of the product do.
PAST = f"""
CREATE TEMPORARY TABLE strangers AS
    SELECT n, gen_random_uuid() AS user_id FROM generate_series(0, {OTHERS - 1}) n;
INSERT INTO users (id, email, password_hash)
    SELECT user_id, 'stranger' || n || '@example.org', 'x' FROM strangers;
INSERT INTO wallets (user_id, kind) SELECT user_id, 'credits' FROM strangers;
CREATE TEMPORARY TABLE past AS
    SELECT each.n, at,
        CASE WHEN each.n < {ROWS // 2} AND each.n % {EACH} = 0 THEN 'ME'::uuid ELSE s.user_id END AS user_id,
        (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(each.n::text), 1, 3)
            || '8' || substr(md5(each.n::text), 4, 15))::uuid AS id
    FROM (SELECT n, n * 7919 % {OTHERS} AS whose,
              now() - interval '1 day' - ({ROWS} - n) * interval '{DAYS * 86400 // ROWS} s' AS at
          FROM generate_series(1, {ROWS}) n) AS each JOIN strangers s ON s.n = whose;
CREATE INDEX ON past (n);
INSERT INTO jobs (id, user_id, action, kind, queue, status, input, idempotency_key, request_digest, wallet, breakdown,
        estimate, held, charged, refunded, attempt, max_attempts, outputs, error_code, created_at, finished_at)
    SELECT id, user_id, 'chat', 'chat', 'generation', CASE WHEN n % 1000 = 8 THEN 'failed' ELSE 'completed' END,
        '{{"prompt": "a fox"}}', 'key' || n, 'digest', 'credits', '[]', 5, 5, 5, 0, 1, 4,
        '[{{"type": "text", "text": "a fox, red"}}]', CASE WHEN n % 1000 = 8 THEN 'provider_error' END, at, at
    FROM past ORDER BY n;
INSERT INTO lots (wallet_id, source, ref, issued, spent)
    SELECT id, 'admin', 'old:' || id, {ROWS}, {ROWS} FROM wallets WHERE kind = 'credits';
INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after, job_id, created_at)
    SELECT w.id, l.id, 5, 'available', 'held', 'hold', 'job:' || p.id || ':hold:0', 5, p.id, at
    FROM past p JOIN wallets w USING (user_id) JOIN lots l ON l.wallet_id = w.id AND l.ref = 'old:' || w.id
    WHERE w.kind = 'credits' ORDER BY n;
INSERT INTO spends (id, user_id, action, wallet, input, breakdown, charged, balance_after, request_digest, created_at)
    SELECT id, user_id, 'tip', 'credits', '{{}}', '[]', 0, 0, '', at FROM past ORDER BY n;
INSERT INTO payments (id, user_id, gateway_id, title, amount, refunded, currency, state, created_at)
    SELECT id, user_id, 'pi_' || n, 'Pack', 100, 0, 'EUR', 'pending', at FROM past ORDER BY n;
INSERT INTO invoices (id, user_id, status, due, paid, currency, attempts, proration, created_at)
    SELECT 'in_' || n, user_id, 'paid', 100, 100, 'EUR', 1, false, at FROM past ORDER BY n;
INSERT INTO saved_replies (user_id, job_id, output, suggestion, text, created_at)
    SELECT user_id, id, 0, 0, 'Yes', at FROM past ORDER BY n;
INSERT INTO notices (user_id, topic, ref, details, created_at)
    SELECT user_id, 'low_balance', 'n' || n, '{{"wallet": "credits", "amount": 1, "low_balance": 2}}', at
    FROM past ORDER BY n;
INSERT INTO redemptions (user_id, code, given, created_at)
    SELECT user_id, 'C' || n, '{{"title": "Gift", "credits": []}}', at FROM past ORDER BY n;
INSERT INTO logins (id, user_id, created_at, last_used_at, ended_at)
    SELECT id, user_id, at, at, at FROM past ORDER BY n;
INSERT INTO uploads (id, user_id, media_type, size, width, height, sha256, key, created_at, expires_at)
    SELECT id, user_id, 'image/png', 1, 1, 1, 'x', 'u' || n, at, at FROM past ORDER BY n;
INSERT INTO emails (id, key, template, user_id, details, state, attempts, created_at, ended_at)
    SELECT id, 'm' || n, 'receipt', user_id, '{{}}', 'sent', 1, at, at FROM past ORDER BY n;
INSERT INTO audit_log (actor, verb, target, created_at)
    SELECT 'command', 'user.role', 'user:' || user_id, at FROM past ORDER BY n;
INSERT INTO gateway_events (id, type, object_id, state, attempts, received_at, ended_at)
    SELECT 'evt_' || md5(n::text), 'invoice.paid', 'in_' || n / 3, 'done', 1, at, at FROM past ORDER BY n;
"""

TRIES = 20
UNSEEN = """
    SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relpages > 40 AND relallvisible < relpages * 0.9
    AND relnamespace = 'public'::regnamespace
"""


def fill(url: str, me: UUID) -> None:
    """Give everybody a past, and let the planner know of it."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:
        # Rows that are right by construction need no check of each foreign key.
        connection.execute("SET session_replication_role = replica")
        connection.execute("SET synchronous_commit = off")
        connection.execute(PAST.replace("ME", str(me)))
        for _ in range(TRIES):
            connection.execute("VACUUM (ANALYZE)")
            row = connection.execute(UNSEEN).fetchone()
            if row == (0,):
                return
            # Whatever else looks at the database just then, autovacuum for one, keeps rows from being known to all.
            time.sleep(0.5)
        raise AssertionError("vacuum did not come to an end")
