"""Administration: what admins decide about accounts, each decision with its entry in the audit log."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from models import audit_log, logins, users
from models.audit_log import By
from models.errors import AccountClosing, LastAdmin, OwnAccount
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
