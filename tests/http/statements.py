"""A small shop with two wallets and a plan, and what can happen to a customer's credits in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import select

from models import jobs, ledger, plans
from models.database import sessions
from models.jobs import Claim
from models.ledger import Lot
from models.plans import Origin
from tests.http.conftest import Caller
from tests.http.offers import sell
from tests.ledger.books import by_hand, let_transfers_be_rewritten

SHOP: dict[str, Any] = {
    "name": "shop",
    "title": "Shop",
    "wallets": {
        "credits": {"title": "Credits", "low_balance": 50, "notice_days": 3},
        "minutes": {"title": "Minutes"},
    },
    "signup_grants": [
        {"wallet": "credits", "amount": 100},
        {"wallet": "minutes", "amount": 10, "title": "Welcome", "expires_days": 30},
    ],
    "actions": {
        "image": {"title": "Picture", "kind": "image", "wallet": "credits", "price": {"amount": 10}},
        "tip": {
            "title": "Tip", "kind": "spend", "wallet": "credits",
            "price": {"form": "per_unit", "quantity": "quantity", "amount": 1},
        },
        "minute": {"title": "Minute", "kind": "spend", "wallet": "minutes", "price": {"amount": 1}},
    },
    "plans": {
        "daily": {
            "title": "Daily", "rank": 1, "allowances": [{"wallet": "credits", "amount": 40, "period": "daily"}],
        },
    },
}  # fmt: skip


def customer(sign_up: Callable[[], Caller]) -> Caller:
    """A new user of the shop: 100 credits and 10 minutes."""
    sell(SHOP)
    return sign_up()


def id_of(caller: Caller) -> UUID:
    return UUID(caller.tokens["user"]["id"])


def wallet_of(caller: Caller, kind: str = "credits") -> int:
    with sessions() as session:
        return ledger.open_wallet(session, user_id=id_of(caller), kind=kind)


def a_job(caller: Caller) -> UUID:
    """A new job for a picture, 10 credits."""
    answer = caller.submit("a fox", action="image")
    assert answer.status_code == 202, answer.json
    return UUID((answer.json or {})["id"])


def claimed(job_id: UUID) -> Claim:
    with sessions() as session:
        claim = jobs.claim(session, job_id, lease_seconds=30)
    assert claim is not None
    return claim


def done(job_id: UUID, *, percent: int = 100) -> UUID:
    """Complete a job, with this much of it delivered."""
    claim = claimed(job_id)
    with sessions() as session:
        jobs.complete(session, claim, outputs=[], usage={}, delivered_percent=percent)
    return job_id


def failed(job_id: UUID) -> UUID:
    """Let a job fail for good: all its credits come back."""
    claim = claimed(job_id)
    with sessions() as session:
        jobs.fail(session, claim, code="provider_refused", message="No.")
    return job_id


def spent(caller: Caller, action: str = "tip", **given: Any) -> str:
    """The id of a new spend."""
    answer = caller.post("/v1/spends", {"action": action, "input": given})
    assert answer.status_code == 201, answer.json
    return str((answer.json or {})["id"])


def allowance_due(caller: Caller) -> None:
    """Subscribe to the plan with a daily allowance, and let its day be long over."""
    wallet = wallet_of(caller)
    with sessions() as session:
        plans.subscribe(session, user_id=id_of(caller), plan="daily", origin=Origin.admin, ref=f"test:{wallet}")
        lot = session.scalars(select(Lot.id).where(Lot.wallet_id == wallet, Lot.ref.startswith("daily:"))).one()
    let_transfers_be_rewritten()
    long_ago = "'2020-02-02 00:00:00.000000'"
    by_hand(
        f"UPDATE wallets SET due_at = {long_ago}, reset_at = {long_ago} WHERE id = {wallet}",
        f"UPDATE lots SET ref = 'daily:{wallet}:2020-02-01', expires_at = {long_ago} WHERE id = {lot}",
        f"UPDATE transfers SET ref = 'daily:{wallet}:2020-02-01' WHERE lot_id = {lot}",
    )
