"""Batches: beat's way to grant allowances, before their users come.

On PostgreSQL the plain case, one allowance per wallet and no debt, is done thousands at a time in two statements;
whatever else is due, and everything on SQLite, takes the steps of `allowances.py`, user by user. Wallets that somebody
is busy with are left out: their own user, or the next batch, sees to them.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from math import inf
from uuid import UUID

from sqlalchemy import and_, exists, or_, select
from sqlalchemy.orm import Session, aliased

from models import catalog, ledger
from models.catalog import Period, PlanAllowance, PlanVersion
from models.database import is_postgresql, moment, now
from models.ledger import Wallet
from models.plans.allowances import SOURCES, details_of, grant_due
from models.plans.periods import window
from models.plans.tables import Subscription

PAGE = 5_000
"""Wallets in one transaction: enough that the commit costs nothing, few enough that nobody waits for long."""

HANDS = 2
"""Batches at once. The work is the database's, and one connection keeps only one of its processors busy."""

STEPS_PAGE = 500


def grant_batch(session: Session, *, limit: int = PAGE) -> int:
    """Grant the day's or the week's allowance into up to `limit` wallets at once, and return how many were looked at.

    Locks the wallets. 0 when no plain case is left; on SQLite there are none.
    """
    if not is_postgresql(session):
        return 0
    return next((seen for period in (Period.daily, Period.weekly) if (seen := _grant(session, period, limit))), 0)


def users_to_reset(session: Session, *, limit: int, after: UUID | None = None) -> Sequence[UUID]:
    """Users above `after` with an allowance due, a page of up to `limit`; `grant_due` grants it. Locks nothing."""
    due = select(Wallet.user_id).where(Wallet.due_at <= now(), Wallet.reset_at <= now())
    if after is not None:
        due = due.where(Wallet.user_id > after)
    return session.scalars(due.distinct().order_by(Wallet.user_id).limit(limit)).all()


def grant_all_due(transaction: Callable[[], AbstractContextManager[Session]], *, seconds: float = inf) -> int:
    """Grant everything that is due, in as many transactions as it takes, for at most so many seconds.

    Returns how many wallets and users were seen to. What is left over is still due the next time.
    """
    stop = time.monotonic() + seconds
    with ThreadPoolExecutor(HANDS, thread_name_prefix="allowances") as hands:
        seen = sum(hands.map(lambda _: _grant_batches(transaction, stop), range(HANDS)))
    return seen + _grant_in_steps(transaction, stop)


def _grant_batches(transaction: Callable[[], AbstractContextManager[Session]], stop: float) -> int:
    seen = 0
    while time.monotonic() < stop:
        with transaction() as session:
            found = grant_batch(session)
        seen += found
        if not found:
            break
    return seen


def _grant_in_steps(transaction: Callable[[], AbstractContextManager[Session]], stop: float) -> int:
    seen, last = 0, None
    while time.monotonic() < stop:
        with transaction() as session:
            users = users_to_reset(session, limit=STEPS_PAGE, after=last)
        for user_id in users:
            with transaction() as session:
                seen += grant_due(session, user_id=user_id)
        if len(users) < STEPS_PAGE:
            break
        last = users[-1]
    return seen


def _grant(session: Session, period: Period, limit: int) -> int:
    other = aliased(PlanAllowance)
    plain = ~exists().where(
        other.plan_version_id == PlanAllowance.plan_version_id,
        other.wallet == PlanAllowance.wallet,
        other.period != period,
    )
    began = moment(session)
    current = window(period, catalog.current(session).reset, began, anchor=began)
    paid = (Subscription.paid_until > current.starts_at, Subscription.paid_until > Subscription.anchor_at)
    rows = session.execute(
        select(Wallet.id, PlanAllowance.amount, PlanAllowance.rollover, PlanVersion.plan)
        .join(Subscription, Subscription.user_id == Wallet.user_id)
        .join(PlanVersion, PlanVersion.id == Subscription.plan_version_id)
        .join(PlanAllowance, PlanAllowance.plan_version_id == PlanVersion.id)
        .where(Wallet.due_at <= now(), Wallet.reset_at <= now(), Wallet.debt == 0)
        .where(Subscription.ended_at.is_(None), Subscription.ends_at.is_(None))
        .where(or_(Subscription.paid_until.is_(None), and_(*paid)))
        .where(PlanAllowance.wallet == Wallet.kind, PlanAllowance.period == period, plain)
        .limit(limit)
        .with_for_update(key_share=True, of=Wallet, skip_locked=True)
    ).all()
    pages: dict[tuple[str, bool], dict[int, int]] = defaultdict(dict)
    for wallet_id, amount, rollover, plan in rows:
        pages[plan, rollover][wallet_id] = amount
    for (plan, rollover), amounts in pages.items():
        ledger.grant_page(
            session,
            amounts,
            source=SOURCES[period],
            ref_prefix=f"{period}:",
            ref_suffix=f":{current.key}",
            expires_at=None if rollover else current.ends_at,
            reset_at=current.ends_at,
            details=details_of(period, plan),
        )
    return len(rows)
