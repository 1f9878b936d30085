"""Administration: what admins decide about accounts, each decision with its entry in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy.orm import Session

from models import audit_log, ledger, logins, plans, users
from models.audit_log import By
from models.catalog import Billing
from models.database import new_id
from models.errors import AccountClosing, AlreadySubscribed, LastAdmin, OwnAccount
from models.payments import billing as paying
from models.plans import Held, Origin
from models.users import Role, User


def change(
    session: Session,
    *,
    by: By,
    user_id: UUID,
    role: Role | None = None,
    suspended: bool | None = None,
    reason: str | None = None,
) -> User:
    """Give a user another role, suspend them or let them come back; None leaves it as it is. Returns the user.

    Who is suspended is logged out everywhere, and their API keys are good for nothing meanwhile. What is so already is
    no change and no entry. Locks the user and all admins, then the user's log-ins. Raises `NotFound` when the account
    is gone, `AccountClosing`, `OwnAccount`, and `LastAdmin` when nobody would be an admin who can act any more.
    """
    user, other_admins = users.among_admins(session, user_id)
    if by.actor_id == user_id:
        raise OwnAccount("Nobody changes their own role or suspends themselves: ask another admin.")
    if user.closing_at is not None:
        raise AccountClosing("This account is being closed: there is nothing left to decide.")
    was_admin = user.acts_as_admin
    if role is not None and role is not user.role:
        _record(session, by, user_id, "user.role", "role", user.role.value, role.value, reason)
        users.give_role(session, user, role)
    is_suspended = user.suspended_at is not None
    if suspended is not None and suspended != is_suspended:
        verb = "user.suspend" if suspended else "user.restore"
        _record(session, by, user_id, verb, "suspended", is_suspended, suspended, reason)
        users.suspend(session, user, suspended=suspended)
    if user.suspended_at is not None:
        logins.end_all(session, user_id=user_id)
    if was_admin and not user.acts_as_admin and not other_admins:
        raise LastAdmin("This is the last admin: make somebody else one first.")
    return user


def assign_plan(
    session: Session,
    *,
    by: By,
    user_id: UUID,
    plan: str,
    billing: Billing | None = None,
    months: int | None = None,
    ref: str | None = None,
    reason: str | None = None,
) -> Held | None:
    """`plans.subscribe` a user to a plan that they do not pay for, and return the plan they have then.

    `ref` is a name for this: the same one assigns once. What changes nothing is no entry. Locks the user, then the
    wallets. Raises `NotFound`, `OwnAccount`, `AccountClosing`, `InvalidInput` naming `plan`, and `AlreadySubscribed`
    when the user pays for a plan, which the gateway would go on billing.
    """
    before = _plan_to_decide(session, by, user_id)
    plans.subscribe(
        session, user_id=user_id, plan=plan, origin=Origin.admin, ref=f"admin:{ref or new_id()}", billing=billing,
        months=months,
    )  # fmt: skip
    return _record_plan(session, by, user_id, "plan.assign", before, reason)


def end_plan(session: Session, *, by: By, user_id: UUID, reason: str | None = None) -> Held | None:
    """`plans.unsubscribe` a user who does not pay for the plan, and return the one they fall back to, if any.

    What changes nothing is no entry. Locks and raises as `assign_plan`.
    """
    before = _plan_to_decide(session, by, user_id)
    plans.unsubscribe(session, user_id=user_id)
    return _record_plan(session, by, user_id, "plan.end", before, reason)


def _plan_to_decide(session: Session, by: By, user_id: UUID) -> Held | None:
    users.lock(session, user_id)
    if by.actor_id == user_id:
        raise OwnAccount("Nobody decides about their own plan: ask another admin.")
    if users.get(session, user_id).closing_at is not None:
        raise AccountClosing("This account is being closed: there is nothing left to decide.")
    if paying.going_on(session, user_id=user_id) is not None:
        raise AlreadySubscribed("This user pays for a plan: that subscription has to end first.")
    return plans.entitlements(session, user_id=user_id).held


def _record_plan(
    session: Session, by: By, user_id: UUID, verb: str, before: Held | None, reason: str | None
) -> Held | None:
    after = plans.entitlements(session, user_id=user_id).held
    if (before and before.subscription_id) != (after and after.subscription_id):
        audit_log.record(
            session, by=by, verb=verb, target=target(user_id), before=_told(before), after=_told(after), reason=reason
        )
    return after


def _told(held: Held | None) -> dict[str, Any]:
    if held is None:
        return {"plan": None}
    ends_at = held.ends_at.isoformat() if held.ends_at else None
    return {"plan": held.plan, "origin": held.origin, "billing": held.billing, "ends_at": ends_at}


def reset(session: Session, *, by: By, user_id: UUID, reason: str | None = None) -> bool:
    """Grant a user the allowances that are due now, as their next request would, and say whether any were.

    Locks the wallets. Raises `NotFound` when the account is gone.
    """
    users.lock(session, user_id)
    before = _available(session, user_id)
    due = plans.grant_due(session, user_id=user_id)
    audit_log.record(
        session, by=by, verb="allowances.reset", target=target(user_id), before=before,
        after=_available(session, user_id), reason=reason,
    )  # fmt: skip
    return due


def _available(session: Session, user_id: UUID) -> dict[str, int]:
    return {kind: each.available for kind, each in ledger.balances(session, user_id=user_id).items()}


@dataclass(frozen=True, slots=True)
class Reset:
    """How many wallets and users were `seen` to, and whether nothing was left over (`done`)."""

    seen: int
    done: bool


def reset_all(
    transaction: Callable[[], AbstractContextManager[Session]], *, by: By, seconds: float, reason: str | None = None
) -> Reset:
    """Grant everybody the allowances that are due now, as beat does, in transactions of its own and for at most so many
    seconds, and write down who had it done. What is left over is still due."""
    seen = plans.grant_all_due(transaction, seconds=seconds)
    with transaction() as session:
        done = not plans.users_to_reset(session, limit=1)
        audit_log.record(
            session, by=by, verb="allowances.reset", target="allowances", after={"seen": seen, "done": done},
            reason=reason,
        )  # fmt: skip
    return Reset(seen, done)


def _record(
    session: Session,
    by: By,
    user_id: UUID,
    verb: str,
    what: str,
    before: str | bool,
    after: str | bool,
    reason: str | None,
) -> None:
    audit_log.record(
        session, by=by, verb=verb, target=target(user_id), before={what: before}, after={what: after}, reason=reason
    )


def target(user_id: UUID) -> str:
    """How the audit log names a user."""
    return f"user:{user_id}"
