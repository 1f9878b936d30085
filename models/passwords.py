"""Passwords: a new one for who has forgotten theirs, or wants another."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.orm import Session

from models import api_keys, emails, logins, one_time_tokens, signup, users
from models.catalog import Catalog
from models.database import new_id
from models.one_time_tokens import Purpose
from models.users import User


def ask(session: Session, *, email: str) -> None:
    """Have a link for a new password sent to this address, if somebody has it; who asks is not told.

    So whoever has it, nothing is looked up: the worker that writes the e-mail does that, and drops it.
    """
    emails.stage(session, key=f"reset_password:{new_id()}", template="reset_password", recipient=email.lower())


def reset(session: Session, catalog: Catalog, *, token: str, password_hash: str) -> UUID:
    """Give the user that a link was sent to a new password, and return the user's id.

    Whoever reads the mailbox has the address, so it is verified with that (see `signup.verify`). It ends all that
    somebody else may have got hold of: log-ins and links; and the API keys too where nobody had proved the address
    until now, for then whoever made the account may be a stranger who named it. Locks the user, then the token, then as
    `signup.verify`. Raises `TokenNotGood`: of many uses of one link, or of several, one works.
    """
    used = one_time_tokens.use(session, token, purpose=Purpose.reset_password)
    users.set_password(session, user_id=used.user_id, password_hash=password_hash)
    logins.end_all(session, user_id=used.user_id)
    one_time_tokens.end_all(session, user_id=used.user_id)
    if signup.verify(session, catalog, user_id=used.user_id):
        api_keys.revoke_all(session, user_id=used.user_id)
    emails.stage(session, key=f"password_changed:{used.id}", template="password_changed", user_id=used.user_id)
    return used.user_id


def change(session: Session, user: User, *, password_hash: str, here: UUID) -> None:
    """Give a user, whose password was right a moment ago, a new one. Their other log-ins end, and links that wait.

    The log-in `here` goes on. Locks the user. Raises as `users.admit`.
    """
    users.admit(session, user)
    users.set_password(session, user_id=user.id, password_hash=password_hash)
    logins.end_all(session, user_id=user.id, but=here)
    one_time_tokens.end_all(session, user_id=user.id, purpose=Purpose.reset_password)
    emails.stage(session, key=f"password_changed:{new_id()}", template="password_changed", user_id=user.id)
