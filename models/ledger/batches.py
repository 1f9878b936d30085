"""Batches: the same grant into many wallets in one statement, on PostgreSQL.

What `grant_page` does is what `expire`, `grant` and `reset_next` do wallet by wallet; tests run both ways and compare
the rows.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.ledger.tables import Source


def grant_page(
    session: Session,
    amounts: Mapping[int, int],
    *,
    source: Source,
    ref_prefix: str,
    ref_suffix: str,
    expires_at: datetime | None,
    reset_at: datetime,
    details: Mapping[str, Any],
) -> int:
    """Expire what is due in each of these wallets, grant it its amount, and note when its next allowance comes.

    `amounts` is by wallet, in credits. None of them has debt, and the caller has locked them in an earlier statement,
    so that this one sees every lot that was committed before. The ref of each grant is `ref_prefix`, the wallet's id,
    `ref_suffix`; one that was granted before is not granted again. Returns how many were granted.
    """
    # A page is a small part of the tables, reached by index. Left to its defaults, the planner charges so much for
    # thousands of random reads that it reads millions of rows in sequence instead, page after page.
    session.execute(_BY_INDEX)
    granted: int = session.execute(
        _GRANT_PAGE,
        {
            "ids": list(amounts),
            "amounts": list(amounts.values()),
            "source": source,
            "prefix": ref_prefix,
            "suffix": ref_suffix,
            "expires_at": expires_at,
            "reset_at": reset_at,
            "details": json.dumps(dict(details)),
        },
    ).scalar_one()
    return granted


_BY_INDEX = text(
    """
    SELECT set_config('enable_seqscan', 'off', true), set_config('enable_mergejoin', 'off', true),
           set_config('random_page_cost', '1.1', true)
    """
)

_GRANT_PAGE = text(
    """
    WITH page AS MATERIALIZED (
        SELECT w.id, w.available, given.amount, CAST(:prefix AS text) || w.id || CAST(:suffix AS text) AS ref
        FROM unnest(CAST(:ids AS bigint[]), CAST(:amounts AS bigint[])) AS given(id, amount)
        JOIN wallets w ON w.id = given.id
    ),
    dated AS MATERIALIZED (
        SELECT l.id, l.wallet_id, l.available, l.expired, l.expires_at, l.expires_at <= now() AS over
        FROM page JOIN lots l ON l.wallet_id = page.id
        WHERE l.usable AND l.expires_at IS NOT NULL
    ),
    ended AS (
        UPDATE lots SET expired = lots.expired + lots.available, available = 0
        FROM dated WHERE lots.id = dated.id AND dated.over
        RETURNING lots.id
    ),
    written_off AS (
        INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after)
        SELECT d.wallet_id, d.id, d.available, 'available', 'expired', 'expire',
               'lot:' || d.id || ':expire:' || d.expired,
               page.available - sum(d.available) OVER (PARTITION BY d.wallet_id ORDER BY d.expires_at, d.id)
        FROM dated d JOIN page ON page.id = d.wallet_id
        WHERE d.over
        ORDER BY d.wallet_id, d.expires_at, d.id
        RETURNING id
    ),
    made AS (
        INSERT INTO lots (wallet_id, source, ref, issued, available, expires_at)
        SELECT id, CAST(:source AS text), ref, amount, amount, CAST(:expires_at AS timestamptz) FROM page
        ON CONFLICT (ref) DO NOTHING
        RETURNING id, wallet_id, ref, issued
    ),
    sums AS (
        SELECT page.id, made.id AS lot_id, made.ref, made.issued,
               page.available - coalesce(gone.credits, 0) + coalesce(made.issued, 0) AS available,
               gone.next_expiry
        FROM page
        LEFT JOIN made ON made.wallet_id = page.id
        LEFT JOIN (
            SELECT wallet_id, sum(available) FILTER (WHERE over) AS credits,
                   min(expires_at) FILTER (WHERE NOT over) AS next_expiry
            FROM dated GROUP BY wallet_id
        ) gone ON gone.wallet_id = page.id
    ),
    granted AS (
        INSERT INTO transfers (wallet_id, lot_id, amount, source, target, reason, ref, balance_after, details)
        SELECT id, lot_id, issued, 'issued', 'available', 'grant', ref, available, CAST(:details AS jsonb)
        -- Counting makes it wait: the books of a wallet say first what went, then what came.
        FROM sums CROSS JOIN (SELECT count(*) FROM written_off) AS first
        WHERE lot_id IS NOT NULL
        ORDER BY id
        RETURNING id
    ),
    moved AS (
        UPDATE wallets SET available = sums.available, reset_at = CAST(:reset_at AS timestamptz),
               due_at = least(sums.next_expiry, CAST(:expires_at AS timestamptz), CAST(:reset_at AS timestamptz))
        FROM sums WHERE wallets.id = sums.id
        RETURNING wallets.id
    )
    SELECT (SELECT count(*) FROM granted) + 0 * (SELECT count(*) FROM moved)
        + 0 * (SELECT count(*) FROM written_off) + 0 * (SELECT count(*) FROM ended)
    """
)
