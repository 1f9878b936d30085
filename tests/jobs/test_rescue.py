"""Rescue: whatever fell silent, got lost or waited too long still gets its one outcome."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from models import jobs
from models.database import sessions
from models.jobs import PAGE, Claim, Queue, Status
from models.jobs.rescue import FORGOTTEN_SECONDS
from tests.jobs import work
from tests.jobs.work import unchanged
from tests.ledger import books
from tests.ledger.books import Sums

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("database")


def rescue(*lost: Claim) -> None:
    """Let leases run out and sweep, then again: the second time there is nothing to do."""
    for each in lost:
        work.lose(each)
    assert work.once(jobs.rescue_silent, base_seconds=8.0) == len(lost)
    assert unchanged(jobs.rescue_silent, base_seconds=8.0) == 0


def test_who_is_heard_of_is_left_alone(new_user: NewUser) -> None:
    user, _ = new_user(100)
    work.running(user)
    work.submitted(user)
    work.complete(work.running(user))
    assert unchanged(jobs.rescue_silent, base_seconds=8.0) == 0


def test_the_first_loss_is_queued_at_once_the_next_ones_wait(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    first = work.running(user, attempts=3)
    rescue(first)
    row = work.job(first.job_id)
    assert (row.status, row.version, row.lease_token, row.lease_until) == (Status.queued, 3, None, None)
    assert len(work.wake_ups(first.job_id)) == 2
    second = work.claim(first.job_id)
    rescue(second)
    assert unchanged(jobs.claim, first.job_id, lease_seconds=30) is None
    waits = work.wake_ups(first.job_id)
    assert len(waits) == 3
    assert 8 - 1 <= waits[-1] <= 24, "sixteen seconds after the second loss, give or take a half"
    assert (books.sums(wallet), work.slots(user)) == (Sums(90, 10, 0), 1)


def test_lost_for_the_last_time_is_failed_and_refunded(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    made = work.running(user, attempts=1)
    work.once(jobs.provider_began, made, "request")
    rescue(made)
    row = work.job(made.job_id)
    assert (row.status, row.error_code) == (Status.failed, "worker_lost")
    assert (work.cost(made.job_id), books.sums(wallet), work.slots(user)) == ((10, 0, 10), Sums(100, 0, 0), 0)


def test_lost_past_its_deadline_is_failed_and_refunded(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    made = work.running(user, expires_in=60)
    work.set_back(made.job_id, "expires_at")
    rescue(made)
    assert (work.job(made.job_id).status, books.sums(wallet)) == (Status.failed, Sums(100, 0, 0))


@pytest.mark.parametrize("began", [False, True])
def test_a_canceled_job_whose_worker_is_lost_is_settled_by_how_far_it_came(new_user: NewUser, began: bool) -> None:
    user, wallet = new_user(100)
    made = work.running(user, price=11, cancel_charge=50)
    if began:
        work.once(jobs.provider_began, made, "request")
    work.once(jobs.request_cancel, user_id=user, job_id=made.job_id)
    assert unchanged(jobs.rescue_silent, base_seconds=8.0) == 0
    rescue(made)
    charged = 5 if began else 0
    assert (work.job(made.job_id).status, work.cost(made.job_id)) == (Status.canceled, (11, charged, 11 - charged))
    assert (books.sums(wallet), work.slots(user)) == (Sums(100 - charged, 0, 0), 0)


def test_who_waited_too_long_is_refunded(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    late, patient, begun = work.submitted(user, expires_in=60), work.submitted(user, expires_in=60), work.running(user)
    endless = work.submitted(user)
    work.set_back(late, "expires_at")
    work.set_back(begun.job_id, "expires_at")
    assert work.once(jobs.expire_waiting) == 1
    assert unchanged(jobs.expire_waiting) == 0
    assert [work.job(each).status for each in (late, patient, begun.job_id, endless)] == [
        Status.expired, Status.queued, Status.running, Status.queued,
    ]  # fmt: skip
    assert work.job(late).error_code == "expired"
    assert (work.cost(late), books.sums(wallet), work.slots(user)) == ((10, 0, 10), Sums(70, 30, 0), 3)


def test_the_forgotten_are_woken_again(new_user: NewUser) -> None:
    user, _ = new_user(100)
    forgotten, fresh, begun = work.submitted(user), work.submitted(user), work.running(user)
    for each in (forgotten, begun.job_id):
        work.set_back(each, "run_after", seconds=FORGOTTEN_SECONDS + 1)
    with sessions() as session:
        assert jobs.waiting(session, Queue.generation) == 1
        assert jobs.waiting(session, Queue.high) == 0
    assert unchanged(jobs.wake_again, Queue.high) == 0
    assert work.once(jobs.wake_again, Queue.generation) == 1
    assert unchanged(jobs.wake_again, Queue.generation) == 0
    assert [len(work.wake_ups(each)) for each in (forgotten, fresh, begun.job_id)] == [2, 1, 1]
    assert work.job(forgotten).version == 1, "being woken changes nothing that a client can see"
    assert work.claim(forgotten).attempt == 1


def test_work_comes_in_pages(new_user: NewUser, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PAGE >= 100
    monkeypatch.setattr("models.jobs.rescue.PAGE", 2)
    user, wallet = new_user(100)
    silent, waiting = [work.running(user) for _ in range(3)], [work.submitted(user, expires_in=9) for _ in range(3)]
    for made in silent:
        work.lose(made)
    for job in waiting:
        work.set_back(job, "expires_at")
    assert [work.once(jobs.rescue_silent, base_seconds=8.0) for _ in range(3)] == [2, 1, 0]
    assert [work.once(jobs.expire_waiting) for _ in range(3)] == [2, 1, 0]
    assert books.sums(wallet) == Sums(70, 30, 0)
