"""Runs: one attempt owns a job at a time, and gives it its one outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from models import jobs
from models.database import sessions
from models.jobs import Claim, Ending, Queue, Status
from models.jobs.runs import LONGEST_BACKOFF_SECONDS, LONGEST_MESSAGE, backoff
from tests.jobs import work
from tests.jobs.work import LEASE, OUTPUTS, USAGE, unchanged
from tests.ledger import books
from tests.ledger.books import Parts, Sums

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("database")


def assert_stale(made: Claim) -> None:
    """Nothing works for an attempt that does not own its job, and nothing at all changes."""
    assert unchanged(jobs.complete, made, outputs=[], usage={}, delivered_percent=100) is Ending.stale
    assert unchanged(jobs.complete, made, outputs=[], usage={}, delivered_percent=50) is Ending.stale
    assert unchanged(jobs.fail, made, code="x", message="x") is Ending.stale
    assert unchanged(jobs.retry, made, code="x", message="x", base_seconds=1) is Ending.stale
    last = replace(made, attempt=made.max_attempts)
    assert unchanged(jobs.retry, last, code="x", message="x", base_seconds=1) is Ending.stale
    assert unchanged(jobs.cancel, made, provider_began=True) is Ending.stale
    assert unchanged(jobs.extend, {made.job_id: made.token}, lease_seconds=LEASE) == {}
    assert unchanged(jobs.provider_began, made, "request") is False


def cannot_be_claimed(job_id: UUID) -> bool:
    return unchanged(jobs.claim, job_id, lease_seconds=LEASE) is None


def test_a_claim_says_all_that_the_work_needs(new_user: NewUser) -> None:
    user, _ = new_user(100)
    order = work.an_order(user)
    work.submit(order)
    made = work.claim(order.id)
    assert (made.job_id, made.kind, made.queue, made.input) == (order.id, order.kind, order.queue, order.input)
    assert (made.attempt, made.max_attempts, made.held, made.cancel_charge) == (1, 3, 10, 50)
    assert made.provider_request_id is None
    row = work.job(order.id)
    assert (row.status, row.version, row.attempt, row.lease_token) == (Status.running, 2, 1, made.token)
    assert row.started_at is not None
    assert row.lease_until is not None
    assert (row.lease_until - row.started_at).total_seconds() == pytest.approx(LEASE, abs=0.01)


def test_a_job_is_claimed_by_one(new_user: NewUser) -> None:
    user, _ = new_user(100)
    made = work.running(user)
    assert cannot_be_claimed(made.job_id)
    assert cannot_be_claimed(uuid4())
    work.complete(made)
    assert cannot_be_claimed(made.job_id)


def test_a_silent_attempt_loses_its_job_to_the_next_claim(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    first = work.running(user)
    work.lose(first)
    second = work.claim(first.job_id)
    assert (second.attempt, work.job(first.job_id).version) == (2, 3)
    assert_stale(first)
    assert work.complete(second) is Ending.completed
    assert_stale(first)
    assert_stale(second)
    assert books.sums(wallet) == Sums(90, 0, 0)


def test_no_attempt_beyond_the_last(new_user: NewUser) -> None:
    user, _ = new_user(100)
    made = work.running(user, attempts=1)
    work.lose(made)
    assert cannot_be_claimed(made.job_id)


def test_a_job_that_waits_for_later_is_not_claimed(new_user: NewUser) -> None:
    user, _ = new_user(100)
    made = work.running(user)
    work.once(jobs.retry, made, code="x", message="x", base_seconds=30)
    assert cannot_be_claimed(made.job_id)
    work.set_back(made.job_id, "run_after")
    assert work.claim(made.job_id).attempt == 2


def test_a_job_past_its_deadline_is_not_begun(new_user: NewUser) -> None:
    user, _ = new_user(100)
    job = work.submitted(user, expires_in=60)
    work.set_back(job, "expires_at")
    assert cannot_be_claimed(job)


def test_extending_keeps_what_is_owned(new_user: NewUser) -> None:
    user, _ = new_user(100)
    kept, lost, canceling, done = (work.running(user) for _ in range(4))
    work.once(jobs.request_cancel, user_id=user, job_id=canceling.job_id)
    work.complete(done)
    work.lose(lost)
    work.claim(lost.job_id)
    claims = {each.job_id: each.token for each in (kept, lost, canceling, done)}
    before = {each: work.job(each).lease_until for each in claims}
    assert work.once(jobs.extend, claims, lease_seconds=500) == {
        kept.job_id: Status.running,
        canceling.job_id: Status.canceling,
    }
    for each, then in before.items():
        after = work.job(each).lease_until
        if each in (kept.job_id, canceling.job_id):
            assert then is not None
            assert after is not None
            assert (after - then).total_seconds() > 400
        else:
            assert after == then
    assert unchanged(jobs.extend, {}, lease_seconds=500) == {}
    with sessions() as session:
        assert jobs.canceling(session, claims) == [canceling.job_id]


@pytest.mark.parametrize(("percent", "charged"), [(100, 11), (250, 11), (99, 10), (50, 5), (9, 0), (0, 0), (-5, 0)])
def test_what_was_delivered_is_charged(new_user: NewUser, percent: int, charged: int) -> None:
    user, wallet = new_user(100)
    made = work.running(user, price=11)
    assert work.complete(made, percent=percent) is Ending.completed
    row = work.job(made.job_id)
    assert (row.status, row.version, row.lease_token, row.lease_until) == (Status.completed, 3, None, None)
    assert (row.outputs, row.usage) == (OUTPUTS, USAGE)
    assert row.finished_at is not None
    assert work.cost(made.job_id) == (11, charged, 11 - charged)
    assert books.sums(wallet) == Sums(100 - charged, 0, 0)
    assert books.parts(books.lots(wallet)[0]) == Parts(available=100 - charged, spent=charged)
    assert work.slots(user) == 0
    assert_stale(made)


def test_a_failure_costs_nothing(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    made = work.running(user)
    assert work.once(jobs.fail, made, code="content_filtered", message="m" * 900) is Ending.failed
    row = work.job(made.job_id)
    assert (row.status, row.error_code, row.error_message) == (Status.failed, "content_filtered", "m" * LONGEST_MESSAGE)
    assert (work.cost(made.job_id), books.sums(wallet), work.slots(user)) == ((10, 0, 10), Sums(100, 0, 0), 0)
    assert_stale(made)


def test_a_retry_waits_and_then_runs_again(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    made = work.running(user)
    work.once(jobs.provider_began, made, "request 1")
    assert work.once(jobs.retry, made, code="busy", message="later", base_seconds=8) is Ending.requeued
    row = work.job(made.job_id)
    assert (row.status, row.version, row.lease_token, row.lease_until) == (Status.queued, 3, None, None)
    assert (row.error_code, row.error_message) == ("busy", "later")
    assert (books.sums(wallet), work.slots(user)) == (Sums(90, 10, 0), 1)
    first_call, again = work.wake_ups(made.job_id)
    assert first_call <= 10
    assert 4 - 1 <= again <= 12
    assert_stale(made)
    work.set_back(made.job_id, "run_after")
    second = work.claim(made.job_id)
    assert (second.attempt, second.provider_request_id) == (2, "request 1")
    work.complete(second)
    row = work.job(made.job_id)
    assert (row.status, row.error_code, row.error_message) == (Status.completed, None, None)


def test_a_retry_waits_at_least_as_long_as_the_provider_asks(new_user: NewUser) -> None:
    user, _ = new_user(100)
    made = work.running(user)
    work.once(jobs.retry, made, code="busy", message="later", base_seconds=1, retry_after=90)
    assert work.wake_ups(made.job_id)[1] == pytest.approx(90, abs=2)


def test_the_last_retry_is_a_failure(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    made = work.running(user, attempts=1)
    assert work.once(jobs.retry, made, code="busy", message="later", base_seconds=8) is Ending.failed
    assert (work.job(made.job_id).status, work.job(made.job_id).error_code) == (Status.failed, "busy")
    assert (work.cost(made.job_id), books.sums(wallet)) == ((10, 0, 10), Sums(100, 0, 0))


def test_waits_double_and_are_capped_and_spread() -> None:
    for attempt, middle in ((1, 2.0), (2, 4.0), (3, 8.0), (20, LONGEST_BACKOFF_SECONDS)):
        waits = [backoff(attempt, 2.0) for _ in range(200)]
        assert middle * 0.5 <= min(waits) < middle * 0.7
        assert middle * 1.3 < max(waits) <= middle * 1.5


def test_a_job_of_the_high_queue_stays_there(new_user: NewUser) -> None:
    user, _ = new_user(100)
    order = replace(work.an_order(user), queue=Queue.high)
    work.submit(order)
    made = work.claim(order.id)
    work.once(jobs.retry, made, code="busy", message="later", base_seconds=8)
    assert [row[3] for row in work.everything()["outbox"]] == [Queue.high, Queue.high]
