"""Granting the allowances of one user: when their time has come, or when the plan has changed.

What is granted is keyed by wallet and period, so a period is granted once, whoever comes first: the user's own next
request, or beat. Whoever missed periods gets the current one only.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from math import ceil
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from models import catalog, ledger
from models.catalog import Allowance, Period, Plan
from models.database import moment
from models.ledger import Source
from models.plans.entitlements import Held, entitlements
from models.plans.periods import Window, window
from models.plans.tables import Origin

SOURCES = {Period.daily: Source.daily, Period.weekly: Source.weekly, Period.cycle: Source.plan}

TITLES = {Period.daily: "Daily allowance", Period.weekly: "Weekly allowance", Period.cycle: "Allowance"}


def grant_due(session: Session, *, user_id: UUID) -> bool:
    """Grant whatever allowances of this user are due, and say whether any were.

    Cheap when nothing is due: one indexed read. Otherwise locks all of the user's wallets, in their order. Again in the
    same period it changes nothing.
    """
    if not ledger.wallets_to_reset(session, user_id=user_id):
        return False
    kinds = ledger.lock_wallets(session, user_id=user_id)
    due = ledger.wallets_to_reset(session, user_id=user_id)
    _bring_up_to_date(session, user_id, {wallet_id: kinds[wallet_id] for wallet_id in due})
    return bool(due)


def begin(session: Session, *, user_id: UUID) -> None:
    """Grant what the user's plan gives for the current periods, right after the plan was taken up or changed.

    What an earlier plan gave in the same day or week counts: only the difference is added, and nothing is taken away.
    Locks the wallets.
    """
    held = entitlements(session, user_id=user_id).held
    kinds = {allowance.wallet for allowance in held.terms.allowances} if held else set()
    for kind in sorted(kinds):
        ledger.open_wallet(session, user_id=user_id, kind=kind)
    _bring_up_to_date(session, user_id, ledger.lock_wallets(session, user_id=user_id))


def _bring_up_to_date(session: Session, user_id: UUID, kinds: Mapping[int, str]) -> None:
    """Expire, grant and note what comes next in these wallets, which the caller has locked; given are their kinds."""
    # Asked with the locks taken: who waited for a change of plan goes by the new one.
    held = entitlements(session, user_id=user_id).held
    reset, now = catalog.current(session).reset, moment(session)
    for wallet_id, kind in kinds.items():
        ledger.expire(session, wallet_id=wallet_id)
        ends = []
        for allowance in held.terms.allowances if held else ():
            if held is None or allowance.wallet != kind:
                continue
            current = window(allowance.period, reset, now, anchor=held.anchor_at)
            if held.paid_until is not None and max(current.starts_at, held.anchor_at) >= held.paid_until:
                continue  # whoever notes the next payment comes by again
            _top_up(session, wallet_id, held, allowance, current)
            ends.append(current.ends_at)
        ledger.reset_next(session, wallet_id=wallet_id, at=min(ends, default=None))


def _top_up(session: Session, wallet_id: int, held: Held, allowance: Allowance, current: Window) -> None:
    """Grant what is still missing of one allowance in one period."""
    ref = _ref(held, allowance.period, wallet_id, current.key)
    granted = ledger.granted_under(session, wallet_id=wallet_id, ref=ref)
    if granted >= allowance.amount or (granted and held.series and allowance.period is Period.cycle):
        return  # what a larger plan adds within a cycle that is paid for, its payment adds (`grant_difference`)
    ledger.grant(
        session,
        wallet_id=wallet_id,
        amount=allowance.amount - granted,
        source=SOURCES[allowance.period],
        # A second lot in one period is the difference to a larger plan, and named by what it brings the total to.
        ref=f"{ref}:to:{allowance.amount}" if granted else ref,
        expires_at=_expiry(held, allowance, current),
        details=details_of(allowance.period, held.plan),
    )


def grant_late(session: Session, *, user_id: UUID, held: Held) -> None:
    """Grant what a plan that is over by now still owes for the current periods, for it was paid. Locks the wallets."""
    for kind in sorted({allowance.wallet for allowance in held.terms.allowances}):
        ledger.open_wallet(session, user_id=user_id, kind=kind)
    kinds = {kind: wallet_id for wallet_id, kind in ledger.lock_wallets(session, user_id=user_id).items()}
    reset, now = catalog.current(session).reset, moment(session)
    for allowance in held.terms.allowances:
        current = window(allowance.period, reset, now, anchor=held.anchor_at)
        if held.paid_until is None or max(current.starts_at, held.anchor_at) < held.paid_until:
            _top_up(session, kinds[allowance.wallet], held, allowance, current)


def grant_difference(session: Session, *, user_id: UUID, before: Plan) -> None:
    """Give what a larger plan than `before` adds to the rest of the current cycle, right after it was taken up.

    For each wallet the difference between the two allowances, in proportion to the time that is left, rounded up.
    The same change in the same cycle adds once. Locks the wallets.
    """
    held = entitlements(session, user_id=user_id).held
    cycles = {each.wallet: each for each in held.terms.allowances if each.period is Period.cycle} if held else {}
    if held is None or not cycles:
        return
    earlier = {each.wallet: each.amount for each in before.allowances if each.period is Period.cycle}
    for kind in sorted(cycles):
        ledger.open_wallet(session, user_id=user_id, kind=kind)
    reset, now = catalog.current(session).reset, moment(session)
    for wallet_id, kind in ledger.lock_wallets(session, user_id=user_id).items():
        if kind not in cycles or cycles[kind].amount <= earlier.get(kind, 0):
            continue
        current = window(Period.cycle, reset, now, anchor=held.anchor_at)
        left = (current.ends_at - now) / (current.ends_at - current.starts_at)
        ledger.grant(
            session,
            wallet_id=wallet_id,
            amount=max(ceil((cycles[kind].amount - earlier.get(kind, 0)) * left), 1),
            source=Source.plan,
            ref=f"{_ref(held, Period.cycle, wallet_id, current.key)}:to:{cycles[kind].amount}",
            expires_at=_expiry(held, cycles[kind], current),
            details={**details_of(Period.cycle, held.plan), "title": "Allowance: the difference"},
        )


def _expiry(held: Held, allowance: Allowance, current: Window) -> datetime | None:
    """When an allowance of this window ends: with it, or with what was paid when that is a shorter time, as a trial."""
    if allowance.rollover:
        return None
    if allowance.period is Period.cycle and held.paid_until is not None:
        return min(current.ends_at, held.paid_until)
    return current.ends_at


def details_of(period: Period, plan: str) -> dict[str, Any]:
    """What a statement says of an allowance."""
    return {"title": TITLES[period], "plan": plan}


def _ref(held: Held, period: Period, wallet_id: int, key: str) -> str:
    """The business fact that an allowance of one period is."""
    if period is not Period.cycle:
        return f"{period}:{wallet_id}:{key}"
    cycles = "signup" if held.origin is Origin.signup else held.series or held.subscription_id
    return f"cycle:{cycles}:{wallet_id}:{key}"
