"""Attempts: claiming an e-mail to send it, and what the attempt came to.

An attempt that takes longer than its lease may be overtaken by another. It then changes nothing more, but for one
thing: that a server took the mail is true whoever says so.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, null, select, update
from sqlalchemy.orm import Session

from models import outbox, retention
from models.database import DAY_SECONDS, now
from models.emails.staging import wake_up
from models.emails.tables import Email, EmailState

FIRST_WAIT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 3600.0

GIVE_UP_SECONDS = 3 * DAY_SECONDS
"""How long after it was staged a mail is still tried: longer than a weekend with nobody to look after a server."""

FORGOTTEN_SECONDS = 30
"""How long an e-mail may be due before we ask whether its wake-up was lost, or its attempt."""

GAVE_UP = "gave_up"
LONGEST_TROUBLE = 200


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt's right to send an e-mail; `attempt` is what fences it."""

    email_id: UUID
    attempt: int
    template: str


def claim(session: Session, email_id: UUID, *, lease_seconds: float) -> Claim | None:
    """Take an e-mail to send it, or None: it has ended, waits for later, or somebody else is at it.

    One statement; commit it before anything else. For `lease_seconds` nobody else may take it.
    """
    row = session.execute(
        update(Email)
        .where(Email.id == email_id, Email.state == EmailState.queued, Email.due_at <= now())
        .values(attempts=Email.attempts + 1, due_at=now(lease_seconds))
        .returning(Email.attempts, Email.template)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return None if row is None else Claim(email_id, row.attempts, row.template)


def sent(session: Session, claim: Claim) -> bool:
    """Note that a server took the mail; False when it had ended already."""
    return _end(session, claim, EmailState.sent, trouble=None, fenced=False)


def refuse(session: Session, claim: Claim, *, trouble: str) -> bool:
    """Note that the mail will never be taken, and why. False when the attempt was overtaken."""
    return _end(session, claim, EmailState.refused, trouble=trouble)


def drop(session: Session, claim: Claim, *, trouble: str) -> bool:
    """Note that nobody is to be told any more, and why. False when the attempt was overtaken."""
    return _end(session, claim, EmailState.dropped, trouble=trouble)


def put_off(session: Session, claim: Claim, *, trouble: str) -> bool:
    """Have the mail tried again later, each time later than before, or refuse it when it is too old for that.

    False when the attempt was overtaken.
    """
    delay = backoff(claim.attempt)
    row = session.execute(
        update(Email)
        .where(*_ours(claim), Email.created_at > now(-GIVE_UP_SECONDS))
        .values(due_at=now(delay), trouble=trouble[:LONGEST_TROUBLE])
        .returning(Email.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if row is None:
        return refuse(session, claim, trouble=f"{GAVE_UP} {trouble}")
    outbox.stage(session, wake_up(claim.email_id), delay=delay)
    return True


def backoff(attempt: int) -> float:
    """Seconds to wait after the given attempt: twice as long each time, up to an hour, less up to a half by chance, so
    that what failed together does not come back together."""
    return min(FIRST_WAIT_SECONDS * 2.0 ** (attempt - 1), LONGEST_WAIT_SECONDS) * random.uniform(0.5, 1)  # noqa: S311


def waiting(session: Session) -> int:
    """How many e-mails have been due for so long that their wake-up may have got lost."""
    return session.execute(select(func.count()).select_from(Email).where(*_forgotten())).scalar_one()


def wake_again(session: Session, *, limit: int) -> int:
    """Stage a new wake-up for up to `limit` e-mails that are due for too long, among them those whose attempt died.

    A spare wake-up does no harm. Skips those that another sweep is busy with. Returns how many there were.
    """
    due = (
        select(Email.id)
        .where(*_forgotten())
        .order_by(Email.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    woken = session.scalars(
        update(Email)
        .where(Email.id.in_(select(due.c.id)))
        .values(due_at=now())
        .returning(Email.id)
        .execution_options(synchronize_session=False)
    ).all()
    outbox.stage(session, *(wake_up(email_id) for email_id in woken))
    return len(woken)


def erase(session: Session, *, user_id: UUID) -> None:
    """Forget what a user was told and where it went: for an account that is closed. What is still queued is dropped."""
    session.execute(
        update(Email)
        .where(Email.user_id == user_id)
        .values(
            recipient=None,
            details={},
            state=case((Email.state == EmailState.queued, EmailState.dropped), else_=Email.state),
            ended_at=func.coalesce(Email.ended_at, now()),
        )
        .execution_options(synchronize_session=False)
    )


def forget_old(session: Session, *, days: int, limit: int) -> int:
    """Delete up to `limit` e-mails that have ended and were staged at least so many days ago, the oldest first, and
    return how many. Others skip the rows meanwhile."""
    ended = (Email.id < retention.older_than(session, days), Email.state != EmailState.queued)
    return retention.delete_first(session, Email.id, *ended, order=[Email.id], limit=limit)


def _forgotten() -> tuple[Any, ...]:
    return Email.state == EmailState.queued, Email.due_at < now(-FORGOTTEN_SECONDS)


def _ours(claim: Claim) -> tuple[Any, ...]:
    return Email.id == claim.email_id, Email.state == EmailState.queued, Email.attempts == claim.attempt


def _end(session: Session, claim: Claim, state: EmailState, *, trouble: str | None, fenced: bool = True) -> bool:
    ours = _ours(claim) if fenced else _ours(claim)[:2]
    row = session.execute(
        update(Email)
        .where(*ours)
        .values(
            state=state,
            trouble=trouble and trouble[:LONGEST_TROUBLE],
            recipient=case((Email.user_id.is_(None), null()), else_=Email.recipient),
            ended_at=now(),
        )
        .returning(Email.id)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    return row is not None
