"""Adjustments: credits that somebody of the house gives or takes away, for a reason, once for each key.

The entry in the audit log is the record of an adjustment: it is written with the credits, never changes, and is found
again by its key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from models import administration, audit_log, catalog, ledger, users
from models.audit_log import AuditEntry, By
from models.database import moment
from models.errors import AccountClosing, Fault, IdempotencyKeyReused, InvalidInput, OwnAccount
from models.ledger import Source

VERB = "credits.adjust"
MOST = 1_000_000_000
"""The most credits in one adjustment: a slip of the finger is no more than that."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """`amount` credits of `wallet` that came, or went when it is below zero. `available` and `debt` are those of the
    wallet right after it. `replayed` says that an earlier request with the same key made it."""

    id: int
    user_id: UUID
    wallet: str
    amount: int
    expires_at: datetime | None
    available: int
    debt: int
    reason: str | None
    created_at: datetime
    replayed: bool


def adjust(
    session: Session,
    *,
    by: By,
    user_id: UUID,
    wallet: str,
    amount: int,
    reason: str,
    key: str,
    expires_at: datetime | None = None,
) -> Adjustment:
    """Give a user `amount` credits, or take that many away when it is below zero, and write down who decided so.

    What is given is a lot of its own, which pays the wallet's debt first. What is taken was available: neither held
    credits nor debt are touched. The same `key` for the same user moves credits once, for ever. Locks the user, then
    the wallet. Raises `NotFound`, `AccountClosing`, `OwnAccount`, `IdempotencyKeyReused` when the key came with
    something else, and `InvalidInput` naming `wallet`, `amount` or `expires_at`.
    """
    users.lock(session, user_id)
    target, digest = administration.target(user_id), hashlib.sha256(key.encode()).hexdigest()
    asked = {"wallet": wallet, "amount": amount, "expires_at": expires_at.isoformat() if expires_at else None}
    earlier = audit_log.decided_before(session, verb=VERB, target=target, key=digest)
    if earlier is not None:
        if {name: (earlier.after or {})[name] for name in asked} != asked:
            raise IdempotencyKeyReused("This idempotency key came with another adjustment before.")
        return _adjustment(earlier, user_id, replayed=True)
    if by.actor_id == user_id:
        raise OwnAccount("Nobody adjusts their own credits: ask another admin.")
    if users.get(session, user_id).closing_at is not None:
        raise AccountClosing("This account is being closed: there is nothing left to decide.")
    _check(session, user_id, wallet, amount, expires_at)
    wallet_id = ledger.open_wallet(session, user_id=user_id, kind=wallet)
    ledger.expire(session, wallet_id=wallet_id)
    before = _standing(session, user_id, wallet)
    ref, details = f"adjustment:{user_id.hex}:{digest}", {"title": "Adjustment"}
    if amount > 0:
        ledger.grant(
            session, wallet_id=wallet_id, amount=amount, source=Source.admin, ref=ref, expires_at=expires_at,
            details=details,
        )  # fmt: skip
    else:
        ledger.remove(session, wallet_id=wallet_id, amount=-amount, ref=ref, details=details)
    after = {**asked, **_standing(session, user_id, wallet), "key": digest}
    made = audit_log.record(session, by=by, verb=VERB, target=target, before=before, after=after, reason=reason)
    return _adjustment(made, user_id, replayed=False)


def _check(session: Session, user_id: UUID, wallet: str, amount: int, expires_at: datetime | None) -> None:
    known = {*catalog.current(session).wallets, *ledger.wallet_ids(session, user_id=user_id)}
    if wallet not in known:
        raise InvalidInput(Fault("wallet", f"there is no such wallet; this product has {', '.join(sorted(known))}"))
    if amount == 0 or abs(amount) > MOST:
        raise InvalidInput(Fault("amount", f"expected 1 to {MOST}, or as many below zero"))
    if expires_at is not None and amount < 0:
        raise InvalidInput(Fault("expires_at", "only credits that are given can expire"))
    if expires_at is not None and expires_at <= moment(session):
        raise InvalidInput(Fault("expires_at", "expected a time that is still to come"))


def _standing(session: Session, user_id: UUID, wallet: str) -> dict[str, Any]:
    balance = ledger.balances(session, user_id=user_id)[wallet]
    return {"available": balance.available, "debt": balance.debt}


def _adjustment(entry: AuditEntry, user_id: UUID, *, replayed: bool) -> Adjustment:
    after = entry.after or {}
    return Adjustment(
        id=entry.id,
        user_id=user_id,
        wallet=after["wallet"],
        amount=after["amount"],
        expires_at=datetime.fromisoformat(after["expires_at"]) if after["expires_at"] else None,
        available=after["available"],
        debt=after["debt"],
        reason=entry.reason,
        created_at=entry.created_at,
        replayed=replayed,
    )
