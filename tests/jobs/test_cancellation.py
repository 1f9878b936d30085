"""Cancellation: free while a job waits, then by how far it came; and never after it has ended."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest

from models import jobs
from models.errors import NotCancelable, NotFound
from models.jobs import Ending, Status
from tests.jobs import work
from tests.jobs.work import refused, unchanged
from tests.ledger import books
from tests.ledger.books import Sums

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("database")


def test_a_waiting_job_ends_at_once_and_costs_nothing(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    job = work.submitted(user)
    shown = work.once(jobs.request_cancel, user_id=user, job_id=job)
    assert (shown.status, shown.version, shown.final) == (Status.canceled, 2, True)
    assert shown.finished_at is not None
    assert (work.cost(job), books.sums(wallet), work.slots(user)) == ((10, 0, 10), Sums(100, 0, 0), 0)
    assert unchanged(jobs.request_cancel, user_id=user, job_id=job) == shown
    assert unchanged(jobs.claim, job, lease_seconds=30) is None


def test_a_job_that_waits_for_its_retry_costs_nothing(new_user: NewUser) -> None:
    user, wallet = new_user(100)
    made = work.running(user)
    work.once(jobs.provider_began, made, "request")
    work.once(jobs.retry, made, code="busy", message="later", base_seconds=8)
    assert work.once(jobs.request_cancel, user_id=user, job_id=made.job_id).status is Status.canceled
    assert books.sums(wallet) == Sums(100, 0, 0)


@pytest.mark.parametrize(
    ("how", "charged"),
    [
        ("canceled before the provider began", 0),
        ("canceled after it began", 5),
        ("completed", 5),
        ("completed in part", 5),
        ("failed", 0),
        ("to be retried", 0),
        ("to be retried for the last time", 0),
    ],
)
def test_a_running_job_is_stopped_by_its_worker(new_user: NewUser, how: str, charged: int) -> None:
    user, wallet = new_user(100)
    made = work.running(user, price=11, cancel_charge=50, attempts=1 if how.endswith("last time") else 3)
    shown = work.once(jobs.request_cancel, user_id=user, job_id=made.job_id)
    assert (shown.status, shown.version, shown.final) == (Status.canceling, 3, False)
    assert unchanged(jobs.request_cancel, user_id=user, job_id=made.job_id) == shown
    assert books.sums(wallet) == Sums(89, 11, 0)
    ending = {
        "canceled before": lambda: work.once(jobs.cancel, made, provider_began=False),
        "canceled after": lambda: work.once(jobs.cancel, made, provider_began=True),
        "completed": lambda: work.complete(made),
        "completed in": lambda: work.complete(made, percent=30),
        "failed": lambda: work.once(jobs.fail, made, code="x", message="x"),
        "to be": lambda: work.once(jobs.retry, made, code="x", message="x", base_seconds=1),
    }[" ".join(how.split()[:2])]()
    assert ending is Ending.canceled
    row = work.job(made.job_id)
    assert (row.status, row.version, row.outputs, row.error_code) == (Status.canceled, 4, None, None)
    assert work.cost(made.job_id) == (11, charged, 11 - charged)
    assert (books.sums(wallet), work.slots(user)) == (Sums(100 - charged, 0, 0), 0)
    assert unchanged(jobs.cancel, made, provider_began=True) is Ending.stale


def test_a_worker_cannot_cancel_what_nobody_asked_to(new_user: NewUser) -> None:
    user, _ = new_user(100)
    made = work.running(user)
    assert unchanged(jobs.cancel, made, provider_began=False) is Ending.stale


@pytest.mark.parametrize("status", [Status.completed, Status.failed, Status.expired])
def test_what_has_ended_cannot_be_canceled(new_user: NewUser, status: Status) -> None:
    user, _ = new_user(100)
    if status is Status.expired:
        job = work.submitted(user, expires_in=60)
        work.set_back(job, "expires_at")
        work.once(jobs.expire_waiting)
    else:
        made = work.running(user)
        job = made.job_id
        if status is Status.completed:
            work.complete(made)
        else:
            work.once(jobs.fail, made, code="x", message="x")
    assert refused(NotCancelable, jobs.request_cancel, user_id=user, job_id=job).members == {"job_status": status}


def test_the_jobs_of_others_do_not_exist(new_user: NewUser) -> None:
    (ann, _), (bob, _) = new_user(100), new_user(100)
    job = work.submitted(ann)
    refused(NotFound, jobs.request_cancel, user_id=bob, job_id=job)
    refused(NotFound, jobs.request_cancel, user_id=ann, job_id=uuid4())
