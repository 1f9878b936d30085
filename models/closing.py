"""Closing: how an account ends. What says who the user was goes; the books stay, under an id that says nothing.

It begins at once: nobody logs in any more, log-ins, API keys and links are good for nothing, and jobs that wait are
canceled. What runs is let finish. Then a worker erases, file by file and row by row; each step can be done again, so
one that dies leaves no more than work for the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.orm import Session

from models import (
    api_keys,
    emails,
    jobs,
    ledger,
    logins,
    notices,
    one_time_tokens,
    places,
    plans,
    rates,
    referrals,
    saved_replies,
    spends,
    uploads,
    users,
)
from models.errors import LastAdmin
from models.payments import leaving
from models.users import User

GRACE_SECONDS = 60
"""How long an account is closing at least: requests that were let in before may still write something."""


def begin(session: Session, user: User) -> None:
    """Let a user go, whose password was right a moment ago.

    Locks the user and all admins, then the user's waiting jobs, and as these do. Raises `LastAdmin`, and as
    `users.admit`: again, it finds nobody who may log in.
    """
    fresh, other_admins = users.among_admins(session, user.id)
    users.admit(session, user)
    if fresh.acts_as_admin and not other_admins:
        raise LastAdmin("You are the last admin: make somebody else one first.")
    users.begin_closing(session, fresh)
    logins.end_all(session, user_id=user.id)
    api_keys.revoke_all(session, user_id=user.id)
    one_time_tokens.end_all(session, user_id=user.id)
    jobs.cancel_waiting(session, user_id=user.id)
    leaving.stop(session, user_id=user.id)


def due(session: Session, *, limit: int) -> Sequence[UUID]:
    """Up to `limit` users whose accounts can be erased, if their jobs are over. Locks nothing."""
    return users.to_close(session, seconds=GRACE_SECONDS, limit=limit)


def ready(session: Session, *, user_id: UUID) -> bool:
    """Whether no job of a closing user runs or waits any more, and no subscription takes money. What waits is canceled,
    what takes money is stopped; locks as that does."""
    idle = jobs.cancel_waiting(session, user_id=user_id) == 0
    return leaving.stop(session, user_id=user_id) and idle


def finish(session: Session, *, user_id: UUID) -> bool:
    """Erase a closing user, once their files are gone and their jobs erased, and say whether this was the time.

    The credits that are left expire, visibly. An e-mail to the address that was says that it is done. Locks as `ready`,
    then the user, their referral code, and their wallets.
    """
    if not ready(session, user_id=user_id) or jobs.to_erase(session, user_id=user_id, limit=1):
        return False
    address = users.erase(session, user_id)
    if address is None:
        return False
    referrals.forget_code(session, user_id=user_id)
    plans.leave(session, user_id=user_id)
    for wallet_id in ledger.lock_wallets(session, user_id=user_id):
        ledger.forfeit(session, wallet_id=wallet_id)
    spends.erase(session, user_id=user_id)
    for noun in (saved_replies, uploads, notices, rates, one_time_tokens, api_keys):
        noun.forget_all(session, user_id=user_id)
    places.free_all(session, user_id=user_id)
    logins.erase(session, user_id=user_id)
    leaving.erase(session, user_id=user_id)
    emails.erase(session, user_id=user_id)
    emails.stage(session, key=f"account_closed:{user_id}", template="account_closed", recipient=address)
    return True
