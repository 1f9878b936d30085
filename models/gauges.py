"""Gauges: how things stand now, by the database, for those who watch the system. Reading only.

Each is a few short looks through indexes of what is unfinished, so that a system with years of history behind it is
looked at as quickly as a new one. Ages are in seconds, by the database's clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from models import signs
from models.database import moment, now
from models.emails.tables import Email, EmailState
from models.jobs import Job, Queue, Status
from models.outbox import GRACE_SECONDS, Outbox
from models.payments.inbox import EventState, GatewayEvent
from models.payments.tables import Payment, PaymentState
from models.providers import ProviderState

RECENT_SECONDS = 3600
"""How far back payments are looked at."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One number, by the name of what it measures and the values of its labels."""

    name: str
    labels: tuple[str, ...]
    value: float


LABELS = {
    "queue_depth": ("queue",),
    "queue_oldest_seconds": ("queue",),
    "jobs_in_line": (),
    "jobs_running": (),
    "jobs_silent": (),
    "outbox_backlog": (),
    "outbox_oldest_seconds": (),
    "webhook_backlog": (),
    "webhook_lag_seconds": (),
    "emails_waiting": (),
    "emails_oldest_seconds": (),
    "provider_circuit_open": ("provider",),
    "payments_recent": ("state",),
    "sign_age_seconds": ("sign",),
    "audit_findings": (),
    "ledger_credits": ("wallet", "account"),
}
"""What is measured, and the names of its labels."""

HELP = {
    "queue_depth": "Jobs that were called and wait for a worker.",
    "queue_oldest_seconds": "How long the first of them has been ready.",
    "jobs_in_line": "Jobs that nobody has called yet: their user or their provider has enough.",
    "jobs_running": "Jobs that a worker has.",
    "jobs_silent": "Of these, those whose lease is over.",
    "outbox_backlog": "Messages that should have been published and were not.",
    "outbox_oldest_seconds": "How long the oldest of them has been due.",
    "webhook_backlog": "Events of the gateway that are not handled yet.",
    "webhook_lag_seconds": "How long ago the oldest of them came.",
    "emails_waiting": "E-mails that are due and not sent.",
    "emails_oldest_seconds": "How long the oldest of them has been due.",
    "provider_circuit_open": "1 while a provider is left alone because it failed again and again.",
    "payments_recent": "Payments begun in the last hour, by what became of them.",
    "sign_age_seconds": "How long ago a part of the house was last seen to do its work.",
    "audit_findings": "What the last audit of the books found.",
    "ledger_credits": "Where all credits were at the last audit.",
}  # fmt: skip


def read(session: Session) -> list[Reading]:
    """How everything stands. Locks nothing; each number is right for the moment it was read."""
    clock = moment(session)
    return [
        *_queues(session, clock),
        *_running(session),
        *_waiting(session, clock, "outbox", _overdue_messages()),
        *_webhooks(session, clock),
        *_waiting(session, clock, "emails", _due_emails()),
        *_providers(session),
        *_payments(session, clock),
        *_signs(session),
    ]


def _queues(session: Session, clock: datetime) -> Iterator[Reading]:
    called = select(Job.queue, func.count(), func.min(Job.run_after)).where(
        Job.status == Status.queued, Job.waits_for.is_(None), Job.run_after <= now()
    )
    found = {queue: (count, first) for queue, count, first in session.execute(called.group_by(Job.queue))}
    for queue in Queue:
        count, first = found.get(queue, (0, None))
        yield Reading("queue_depth", (str(queue),), count)
        yield Reading("queue_oldest_seconds", (str(queue),), _age(clock, first))
    in_line = select(func.count()).where(Job.status == Status.queued, Job.waits_for.is_not(None))
    yield Reading("jobs_in_line", (), session.execute(in_line).scalar_one())


def _running(session: Session) -> Iterator[Reading]:
    running = select(func.count(), func.count().filter(Job.lease_until < now()))
    count, silent = session.execute(running.where(Job.status.in_((Status.running, Status.canceling)))).one()
    yield Reading("jobs_running", (), count)
    yield Reading("jobs_silent", (), silent)


def _overdue_messages() -> Select[int, datetime]:
    return select(func.count(), func.min(Outbox.due_at)).where(Outbox.due_at <= now(-GRACE_SECONDS))


def _due_emails() -> Select[int, datetime]:
    return select(func.count(), func.min(Email.due_at)).where(Email.state == EmailState.queued, Email.due_at <= now())


def _waiting(session: Session, clock: datetime, noun: str, statement: Select[int, datetime]) -> Iterator[Reading]:
    count, first = session.execute(statement).one()
    yield Reading("outbox_backlog" if noun == "outbox" else f"{noun}_waiting", (), count)
    yield Reading(f"{noun}_oldest_seconds", (), _age(clock, first))


def _webhooks(session: Session, clock: datetime) -> Iterator[Reading]:
    received = select(func.count(), func.min(GatewayEvent.received_at)).where(GatewayEvent.state == EventState.received)
    count, first = session.execute(received).one()
    yield Reading("webhook_backlog", (), count)
    yield Reading("webhook_lag_seconds", (), _age(clock, first))


def _providers(session: Session) -> Iterator[Reading]:
    for provider, until in session.execute(select(ProviderState.provider, ProviderState.open_until)):
        yield Reading("provider_circuit_open", (provider,), int(until is not None))


def _payments(session: Session, clock: datetime) -> Iterator[Reading]:
    since = datetime.fromtimestamp(clock.timestamp() - RECENT_SECONDS, UTC)
    recent = select(Payment.state, func.count()).where(Payment.id >= first_id_of(since)).group_by(Payment.state)
    found: dict[PaymentState, int] = dict(session.execute(recent).all())
    for state in PaymentState:
        yield Reading("payments_recent", (str(state),), found.get(state, 0))


def _signs(session: Session) -> Iterator[Reading]:
    for sign in signs.read(session):
        if sign.name.startswith(signs.CREDITS):
            _, wallet, account = sign.name.split(":")
            yield Reading("ledger_credits", (wallet, account), sign.value or 0)
            continue
        yield Reading("sign_age_seconds", (sign.name,), sign.age)
        if sign.name == signs.AUDIT:
            yield Reading("audit_findings", (), sign.value or 0)


def first_id_of(time: datetime) -> UUID:
    """The smallest id that anything made at that time may have: ours begin with the milliseconds (RFC 9562)."""
    return UUID(int=int(time.timestamp() * 1000) << 80)


def _age(clock: datetime, since: datetime | None) -> float:
    return max((clock - since).total_seconds(), 0.0) if since else 0.0
