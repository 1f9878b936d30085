"""Attempts: one at a time, again after a while that grows, and not for ever."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from sqlalchemy import select, update

from models import emails, outbox
from models.database import now, sessions
from models.emails import GIVE_UP_SECONDS, Claim, Email, EmailState
from models.emails.attempts import FORGOTTEN_SECONDS
from models.outbox import Outbox
from tasks import email as task
from tests.mail.conftest import MailServer, make_due, new_account, row, send, stage, state, wake_ups
from tests.plans.clock import Clock, clock  # noqa: F401  # a fixture

LEASE = 100.0
THREADS = 8


def claim(email_id: UUID) -> Claim | None:
    with sessions() as session:
        return emails.claim(session, email_id, lease_seconds=LEASE)


def claimed(email_id: UUID) -> Claim:
    made = claim(email_id)
    assert made is not None
    return made


def end(verb: Any, *args: Any, **how: Any) -> Any:
    with sessions() as session:
        return verb(session, *args, **how)


def test_one_attempt_at_a_time(clock: Clock) -> None:  # noqa: F811
    email_id = stage(user_id=new_account())
    assert claimed(email_id) == Claim(email_id, 1, "welcome")
    assert claim(email_id) is None
    clock.move(seconds=LEASE - 1)
    assert claim(email_id) is None
    clock.move(seconds=2)
    assert claimed(email_id).attempt == 2, "a worker that died left it"


def test_each_wait_is_longer_up_to_an_hour(clock: Clock) -> None:  # noqa: F811
    email_id = stage(user_id=new_account())
    with mock.patch("models.emails.attempts.random.uniform", lambda least, most: most):
        for number, wait in enumerate([30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600], start=1):
            attempt = claimed(email_id)
            assert attempt.attempt == number
            assert end(emails.put_off, attempt, trouble="later 451")
            assert state(email_id) == (EmailState.queued, "later 451")
            assert abs(row(email_id).due_at - clock.now() - timedelta(seconds=wait)) < timedelta(seconds=5)
            with sessions() as session:
                woken = session.scalars(select(Outbox.due_at).order_by(Outbox.id.desc()).limit(1)).one()
            assert abs(woken - row(email_id).due_at) < timedelta(seconds=1), "its message comes when it is due"
            assert claim(email_id) is None
            clock.move(seconds=wait + 6)


def test_waits_are_spread() -> None:
    waits = [emails.backoff(1) for _ in range(200)]
    assert min(waits) >= 15
    assert max(waits) <= 30
    assert max(waits) - min(waits) > 5
    assert emails.backoff(1_000) <= 3600


def test_after_three_days_it_is_given_up(clock: Clock) -> None:  # noqa: F811
    email_id = stage("account_closed", recipient="zoe@example.com")
    clock.move(seconds=GIVE_UP_SECONDS - 60)
    assert end(emails.put_off, claimed(email_id), trouble="timeout")
    assert row(email_id).state is EmailState.queued
    clock.move(seconds=120)
    assert end(emails.put_off, claimed(email_id), trouble="timeout")
    ended = row(email_id)
    assert (ended.state, ended.trouble, ended.recipient) == (EmailState.refused, "gave_up timeout", None)
    clock.move(days=1)
    assert claim(email_id) is None


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("verb", [emails.sent, emails.refuse, emails.drop])
def test_an_address_without_an_account_is_forgotten_in_the_end(verb: Any) -> None:
    how = {} if verb is emails.sent else {"trouble": "why"}
    nobody = stage("reset_password", recipient="zoe@example.com")
    somebody = stage("address_changed", user_id=new_account(), recipient="zoe@example.com")
    for email_id in (nobody, somebody):
        attempt = claimed(email_id)
        assert end(verb, attempt, **how)
        assert row(email_id).ended_at is not None
        assert not end(verb, attempt, **how), "once"
        assert claim(email_id) is None
    assert row(nobody).recipient is None
    assert row(somebody).recipient == "zoe@example.com"


@pytest.mark.usefixtures("database")
def test_an_attempt_that_was_overtaken_only_says_that_the_mail_was_taken() -> None:
    email_id = stage(user_id=new_account())
    stale = claimed(email_id)
    make_due(email_id)
    fresh = claimed(email_id)
    before = wake_ups()
    for verb in (emails.put_off, emails.refuse, emails.drop):
        assert not end(verb, stale, trouble="stale")
        assert state(email_id) == (EmailState.queued, None)
    assert wake_ups() == before
    assert end(emails.sent, stale), "true whoever says so"
    assert not end(emails.refuse, fresh, trouble="refused 550")
    assert state(email_id) == (EmailState.sent, None)


@pytest.mark.usefixtures("database")
def test_a_closed_account_leaves_no_trace_of_its_mails() -> None:
    user_id, other = new_account(), new_account()
    ended = stage("address_changed", user_id=user_id, recipient="zoe@example.com")
    end(emails.sent, claimed(ended))
    waiting = stage("low_balance", user_id=user_id, wallet="credits", amount=3)
    theirs = stage("address_changed", user_id=other, recipient="eve@example.com")
    end(emails.erase, user_id=user_id)
    for email_id, left in ((ended, EmailState.sent), (waiting, EmailState.dropped)):
        assert (row(email_id).state, row(email_id).recipient, row(email_id).details) == (left, None, {})
    assert claim(waiting) is None
    assert row(theirs).recipient == "eve@example.com"
    assert claim(theirs) is not None


# -- what was forgotten


def forget(email_id: UUID, seconds: float) -> None:
    """Let a mail be due since then, and its message be lost."""
    with sessions() as session:
        session.execute(update(Email).where(Email.id == email_id).values(due_at=now(-seconds)))
        session.query(Outbox).delete()


def wake_forgotten(depth: int | None = 0) -> list[list[str]]:
    """Have beat look; says which messages are staged."""
    with mock.patch("worker.broker.depth", return_value=depth):
        task.wake_forgotten()
    with sessions() as session:
        return list(session.scalars(select(Outbox.args).order_by(Outbox.id)))


@pytest.mark.usefixtures("database")
def test_a_mail_whose_message_was_lost_is_found() -> None:
    first, second, fresh = (stage(user_id=new_account()) for _ in range(3))
    ended = stage(user_id=new_account())
    end(emails.sent, claimed(ended))
    for email_id in (first, second, ended):
        forget(email_id, FORGOTTEN_SECONDS + 1)
    assert wake_forgotten(depth=2) == [], "they wait in the broker"
    assert wake_forgotten(depth=None) == [], "there is no broker to ask"
    with mock.patch.object(task, "PAGE", 1):
        assert sorted(wake_forgotten()) == [[str(first)], [str(second)]]
    assert len(wake_forgotten()) == 2, "not again at once"
    assert [str(fresh)] not in wake_forgotten()


@pytest.mark.usefixtures("database")
def test_nobody_looks_while_messages_wait_to_be_published() -> None:
    email_id = stage(user_id=new_account())
    forget(email_id, FORGOTTEN_SECONDS + 1)
    stage(user_id=new_account())
    with sessions() as session:
        session.execute(update(Outbox).values(due_at=now(-2 * outbox.GRACE_SECONDS)))
    assert len(wake_forgotten()) == 1


# -- two workers


def test_of_many_workers_one_sends_a_mail(mail_server_everywhere: MailServer) -> None:
    mails = [stage(user_id=new_account()) for _ in range(5)]
    line = Barrier(THREADS)

    def work(_: int) -> None:
        for email_id in mails:
            line.wait(60)
            task.deliver(str(email_id))

    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(work, range(THREADS)))
    taken = Counter(message["Message-ID"] for message in mail_server_everywhere.messages)
    assert taken == {f"<{email_id}@example.com>": 1 for email_id in mails}
    assert {(row(email_id).state, row(email_id).attempts) for email_id in mails} == {(EmailState.sent, 1)}


def test_of_many_that_stage_one_fact_one_does(mail_server_everywhere: MailServer) -> None:
    user_id = new_account()
    line = Barrier(THREADS)

    def work(_: int) -> bool:
        line.wait(60)
        with sessions() as session:
            return emails.stage(session, key="one fact", template="welcome", user_id=user_id)

    with ThreadPoolExecutor(THREADS) as threads:
        assert sorted(threads.map(work, range(THREADS))) == [False] * (THREADS - 1) + [True]
    with sessions() as session:
        [email_id] = session.scalars(select(Email.id)).all()
    assert wake_ups() == 1
    assert send(email_id).state is EmailState.sent
    assert len(mail_server_everywhere.envelopes) == 1
