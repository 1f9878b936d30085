"""The audit of jobs: what their rows say is what their transfers prove, and the database refuses what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

import pytest
from sqlalchemy.exc import IntegrityError

from models import jobs, ledger
from models.audit import audit
from models.database import sessions
from tests.jobs import work
from tests.ledger import books

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("database")


@dataclass
class Jobs:
    """One job that runs, and one that was half delivered."""

    user: UUID
    live: UUID
    done: UUID


@pytest.fixture
def right(new_user: NewUser) -> Jobs:
    user, _ = new_user(100)
    live, done = work.running(user), work.running(user)
    work.complete(done, percent=50)
    return Jobs(user, live.job_id, done.job_id)


def found() -> list[str]:
    with sessions() as session:
        return audit(session)


def test_a_live_job_that_was_paid_behind_its_back(right: Jobs) -> None:
    with sessions() as session:
        ledger.settle(session, job_id=right.live, amount=4)
    assert found() == [f"job {right.live} (running) says held 10, charged 0, refunded 0; its transfers say 10, 4, 6"]


def test_an_outcome_that_the_transfers_do_not_prove(right: Jobs) -> None:
    books.by_hand("UPDATE jobs SET charged = 6, refunded = 4 WHERE finished_at IS NOT NULL")
    assert found() == [f"job {right.done} (completed) says held 10, charged 6, refunded 4; its transfers say 10, 5, 5"]


def test_a_hold_that_is_not_there(right: Jobs) -> None:
    books.by_hand("UPDATE jobs SET estimate = 11, held = 11 WHERE finished_at IS NULL")
    assert found() == [f"job {right.live} (running) says held 11, charged 0, refunded 0; its transfers say 10, 0, 0"]


def test_a_hold_of_no_job(right: Jobs) -> None:
    books.by_hand("DELETE FROM jobs WHERE finished_at IS NULL")
    assert found() == [
        f"transfers name job {right.live}, which does not exist",
        f"user {right.user} has 1 slots taken and 0 unfinished jobs",
    ]


def test_slots_that_do_not_add_up(right: Jobs) -> None:
    books.by_hand("UPDATE job_slots SET taken = 2")
    assert found() == [f"user {right.user} has 2 slots taken and 1 unfinished jobs"]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE jobs SET charged = held + 1, refunded = 0",
        "UPDATE jobs SET charged = held, refunded = 1",
        "UPDATE jobs SET charged = -1",
        "UPDATE jobs SET refunded = -1",
        "UPDATE jobs SET held = estimate + 1",
        "UPDATE jobs SET status = 'completed' WHERE finished_at IS NULL",
        "UPDATE jobs SET status = 'queued' WHERE finished_at IS NOT NULL",
        "UPDATE jobs SET finished_at = created_at WHERE finished_at IS NULL",
        "UPDATE jobs SET status = 'failed', finished_at = created_at WHERE finished_at IS NULL",
        "UPDATE jobs SET charged = 4 WHERE finished_at IS NOT NULL",
        "UPDATE jobs SET status = 'lost'",
        "UPDATE jobs SET kind = 'perpetual motion'",
        "UPDATE jobs SET queue = 'other'",
        "UPDATE jobs SET idempotency_key = 'k'",
        "UPDATE job_slots SET taken = -1",
    ],
)
def test_what_cannot_be_is_refused(right: Jobs, statement: str) -> None:
    before = work.everything()
    with pytest.raises(IntegrityError):
        books.by_hand(statement)
    assert work.everything() == before


def test_lists_show_the_jobs_of_their_user(right: Jobs, new_user: NewUser) -> None:
    stranger, _ = new_user()
    with sessions() as session:
        shown, more = jobs.page(session, user_id=right.user, limit=1)
        assert ([each.id for each in shown], more) == ([right.done], right.done)
        shown, more = jobs.page(session, user_id=right.user, limit=1, after=more)
        assert ([each.id for each in shown], more) == ([right.live], None)
        shown, _ = jobs.page(session, user_id=right.user, limit=9, status=jobs.Status.completed)
        assert [each.id for each in shown] == [right.done]
        assert jobs.page(session, user_id=stranger, limit=9) == ([], None)
