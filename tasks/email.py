"""E-mail: one attempt at one mail, and looking for those that were forgotten."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import counters
import tracing
from config import settings
from models import emails, outbox
from models.database import readings, sessions
from models.emails import Claim
from worker import broker
from worker.app import app
from worker.mail import Gateway, MailError, Refused, Unavailable, compose, gateway_for

log = structlog.get_logger(__name__)

PAGE = 500

MARGIN_SECONDS = 30.0
"""What an attempt may take beside the talk with the server: writing the mail, and writing down what came of it."""

PAUSES_SECONDS = (0.5, 2.0, 5.0)
"""How long to wait for a database that is away before a mail that was sent is sent again."""

Outcome = Callable[[Session, Claim], bool]
"""How an attempt is to be written down."""


@app.task(name=emails.DELIVER_TASK)
def deliver(email_id: str) -> None:
    """Send an e-mail if it is due: claim it, write it, hand it over, write down what came of it.

    At least once: between a server's taking the mail and our writing that down, a crash has it sent again, with the
    same Message-ID.
    """
    gateway = gateway_for(settings())
    with sessions() as session:
        claim = emails.claim(session, UUID(email_id), lease_seconds=gateway.longest_seconds + MARGIN_SECONDS)
    if claim is None:
        return
    outcome = attempt(gateway, claim)
    for pause in (*PAUSES_SECONDS, None):
        try:
            with sessions() as session:
                outcome(session, claim)
            return
        except OperationalError as error:
            if pause is None:
                raise
            log.warning("mail_outcome_delayed", error=type(error.orig).__name__, pause=pause)
            time.sleep(pause)


def attempt(gateway: Gateway, claim: Claim) -> Outcome:
    """Write a claimed e-mail and hand it over, with no transaction open meanwhile; returns what came of it."""
    about = log.bind(id=str(claim.email_id), template=claim.template, attempt=claim.attempt)
    began = time.monotonic()
    try:
        with sessions() as session:
            letter = emails.write(session, claim)
        if letter is None:
            counters.EMAILS.labels("dropped").inc()
            about.info("mail_dropped")
            return _as_it_is
        with tracing.step("hand over mail", template=claim.template, attempt=claim.attempt):
            gateway.send(compose(letter, mail_from=settings().mail_from))
    except Refused as error:
        counters.EMAILS.labels("refused").inc()
        about.warning("mail_refused", trouble=error.trouble)
        return partial(emails.refuse, trouble=error.trouble)
    except MailError as error:
        counters.EMAILS.labels("put_off").inc()
        misconfigured = isinstance(error, Unavailable) and error.misconfigured
        (about.error if misconfigured else about.warning)("mail_put_off", trouble=error.trouble)
        return partial(emails.put_off, trouble=error.trouble)
    except Exception as error:
        # Where, and not what: its message may quote an address.
        counters.EMAILS.labels("broke").inc()
        where = traceback.extract_tb(error.__traceback__)[-1]
        about.error("mail_broke", error=type(error).__name__, where=f"{where.filename}:{where.lineno}")
        return partial(emails.put_off, trouble=f"internal_error {type(error).__name__}")
    counters.EMAILS.labels("sent").inc()
    about.info("mail_sent", seconds=round(time.monotonic() - began, 3))
    return emails.sent


def _as_it_is(_session: Session, _claim: Claim) -> bool:
    return True


@app.task(name="email.wake_forgotten")
def wake_forgotten() -> None:
    """Wake e-mails whose message was lost, or whose attempt died. It runs where no slow mail server holds it up.

    An e-mail may also wait because many are before it, so as with jobs the broker is asked first.
    """
    with readings() as session:
        waiting = 0 if outbox.overdue(session) else emails.waiting(session)
    messages = broker.depth(app, emails.QUEUE) if waiting else None
    if messages is None or messages >= waiting:
        return
    while True:
        with sessions() as session:
            woken = emails.wake_again(session, limit=PAGE)
        log.info("mails_woken_again", mails=woken)
        if woken < PAGE:
            return
