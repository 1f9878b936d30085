"""Submission: accepted as a whole, or refused without a trace."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import select

from models import jobs
from models.database import sessions
from models.errors import IdempotencyKeyReused, InsufficientCredits, TooManyJobs
from models.jobs import RUN_TASK, Queue, Status
from models.ledger import Account, Reason
from models.outbox import STAGED, Outbox
from tests.jobs import work
from tests.jobs.work import an_order, refused, unchanged
from tests.ledger import books
from tests.ledger.books import Move, Sums

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("database")


def test_an_accepted_order_is_a_job_with_its_hold_and_its_wake_up(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    order = an_order(user, price=30, key="k", expires_in=60)
    with sessions() as session:
        accepted = jobs.submit(session, order)
        staged = session.info[STAGED]
    assert not accepted.replayed
    assert accepted.job == work.snapshot(order.id)
    row = work.job(order.id)
    assert (row.status, row.version, row.attempt, row.queue) == (Status.queued, 1, 0, Queue.generation)
    assert (row.estimate, row.held, row.charged, row.refunded) == (30, 30, 0, 0)
    assert (row.breakdown, row.input) == ([{"label": "Picture", "amount": 30}], {"prompt": "a red fox"})
    assert row.expires_at is not None
    assert (row.expires_at - row.created_at).total_seconds() == pytest.approx(60, abs=0.01)
    [lot] = books.lots(wallet)
    assert books.moves(wallet, but=1) == [Move(Reason.hold, Account.available, Account.held, 30, lot, 70)]
    assert books.refs(wallet)[1:] == [f"job:{order.id}:hold:{lot}"]
    assert books.sums(wallet) == Sums(70, 30, 0)
    assert work.slots(user) == 1
    with sessions() as session:
        message = session.scalars(select(Outbox)).one()
    assert [message.id] == [each.id for each in staged]
    assert (message.task, message.task_id, message.queue, message.args) == (
        RUN_TASK, str(order.id), "generation", [str(order.id)],
    )  # fmt: skip


def test_a_free_job_holds_nothing(new_user: NewUser) -> None:
    user, _ = new_user()
    made = work.running(user, price=0)
    assert (made.held, books.transfers(), work.slots(user)) == (0, 0, 1)
    assert work.complete(made) is jobs.Ending.completed
    assert (work.cost(made.job_id), books.transfers(), work.slots(user)) == ((0, 0, 0), 0, 0)


def test_a_price_over_several_lots(new_user: NewUser) -> None:
    user, wallet = new_user(20)
    daily = books.lot(wallet, 15, ref="daily", hours=1)
    [bought, _] = books.lots(wallet)
    made = work.running(user, price=30)
    assert [(move.lot_id, move.amount) for move in books.moves(wallet, but=2)] == [(daily, 15), (bought, 15)]
    assert work.complete(made) is jobs.Ending.completed
    assert books.sums(wallet) == Sums(5, 0, 0)


def test_the_same_request_is_answered_with_the_first_job(new_user: NewUser) -> None:
    user, _ = new_user(10)
    first = work.submit(an_order(user, key="k", at_once=1))
    assert not first.replayed
    again = unchanged(jobs.submit, an_order(user, key="k", at_once=1))
    assert again.replayed, "neither the used-up credits nor the taken slot matter to a replay"
    assert again.job == first.job
    work.complete(work.claim(first.job.id))
    assert unchanged(jobs.submit, an_order(user, key="k")).job == first.job


def test_another_request_under_the_same_key_is_refused(new_user: NewUser) -> None:
    user, _ = new_user(100)
    work.submitted(user, key="k")
    refused(IdempotencyKeyReused, jobs.submit, an_order(user, key="k", digest="other"))
    work.complete(work.running(user, key="l"))
    refused(IdempotencyKeyReused, jobs.submit, an_order(user, key="l", digest="other"))


def test_a_key_is_its_users_own(new_user: NewUser) -> None:
    (ann, _), (bob, _) = new_user(10), new_user(10)
    assert work.submitted(ann, key="k") != work.submitted(bob, key="k", digest="other")


def test_without_a_key_every_request_is_a_job(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    assert len({work.submitted(user) for _ in range(3)}) == 3
    assert books.sums(wallet) == Sums(70, 30, 0)


def test_too_few_credits_leave_no_trace(new_user: NewUser) -> None:
    user, _ = new_user(9)
    work.submitted(user, price=4)
    error = refused(InsufficientCredits, jobs.submit, an_order(user, key="k"))
    assert error.members == {"wallet": "credits", "required": 10, "available": 5, "debt": 0, "shortfall": 5}
    assert not work.submit(an_order(user, key="k", price=5)).replayed, "a refused key is still unused"


def test_no_wallet_of_this_kind(new_user: NewUser) -> None:
    user, _ = new_user(9)
    error = refused(InsufficientCredits, jobs.submit, an_order(user, wallet="tokens", price=1))
    assert (error.members["wallet"], error.members["available"]) == ("tokens", 0)


def test_only_so_many_at_once(new_user: NewUser) -> None:
    (user, _), (other, _) = new_user(100), new_user(100)
    first = work.submitted(user, at_once=2)
    work.submitted(user, at_once=2)
    error = refused(TooManyJobs, jobs.submit, an_order(user, at_once=2))
    assert error.members == {"limit": 2, "retry_after": 2}
    work.submitted(other, at_once=2)
    work.complete(work.claim(first))
    work.submitted(user, at_once=2)
    refused(TooManyJobs, jobs.submit, an_order(user, at_once=2))
    assert work.slots(user) == 2
