"""Retention: what is past its use is forgotten, in small batches, oldest first.

Each batch is a transaction of its own, so one that dies loses nothing but its last batch, and two beats share the work.
A run stops before the next one is due: what is left is the next one's.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog
from sqlalchemy.orm import Session

from config import settings
from models import emails, jobs, logins, notices, one_time_tokens, spends, tries
from models.database import sessions
from models.payments import errands, inbox
from worker.app import app

log = structlog.get_logger(__name__)

PAGE = 500

RUN_SECONDS = 45.0
"""How long one run may take, of all that it does: less than beat's period, so that runs do not pile up."""

Verb = Callable[[Session], int]


@app.task(name="maintenance.forget_tokens")
def forget_tokens() -> None:
    """Delete the tokens past their time, of log-ins and of links in e-mails, the windows of tries that are over, and
    errands that ended long ago."""
    _in_batches(
        {
            "refresh_tokens": lambda session: logins.forget_expired(session, limit=PAGE),
            "one_time_tokens": lambda session: one_time_tokens.forget_expired(session, limit=PAGE),
            "try_windows": lambda session: tries.forget_old(session, limit=PAGE),
            "errands": lambda session: errands.forget_old(session, limit=PAGE),
        }
    )


@app.task(name="maintenance.forget_old")
def forget_old() -> None:
    """Forget what is older than its setting says: what jobs and spends were about; e-mails, events of the gateway and
    notices altogether."""
    how = settings()
    verbs: dict[str, tuple[int, Verb]] = {
        "jobs": (how.job_days, lambda session: jobs.forget_old(session, days=how.job_days, limit=PAGE)),
        "spends": (how.job_days, lambda session: spends.forget_old(session, days=how.job_days, limit=PAGE)),
        "emails": (how.email_days, lambda session: emails.forget_old(session, days=how.email_days, limit=PAGE)),
        "gateway_events": (how.event_days, lambda session: inbox.forget_old(session, days=how.event_days, limit=PAGE)),
        "notices": (how.notice_days, lambda session: notices.forget_old(session, days=how.notice_days, limit=PAGE)),
    }
    _in_batches({name: verb for name, (days, verb) in verbs.items() if days})


def _in_batches(verbs: dict[str, Verb]) -> None:
    """Run each verb until it finds less than a page, in turns, so that much of one keeps nothing else from its turn."""
    until = time.monotonic() + RUN_SECONDS
    total = dict.fromkeys(verbs, 0)
    left = dict(verbs)
    while left and time.monotonic() < until:
        for name, verb in list(left.items()):
            with sessions() as session:
                found = verb(session)
            total[name] += found
            if found < PAGE:
                del left[name]
    if any(total.values()):
        log.info("old_rows_forgotten", **{name: number for name, number in total.items() if number})
