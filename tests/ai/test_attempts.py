"""Attempts: each run of a job leaves one record of who was asked, what they used and how it ended, whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from models import jobs
from models.audit import audit
from models.database import sessions
from models.jobs import Attempt, Claim, Effort, Ending, Status
from tests.ai import shop
from tests.jobs import work
from tests.ledger import books
from tests.ledger.books import Sums

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("database")

SPENT = Effort("openai", "gpt-x", "req_1", {"input_tokens": 3}, 17)
CLIP = {"prompt": "a red fox runs", "seconds": 4}


def of(job_id: UUID) -> list[tuple[Any, ...]]:
    return [
        (each.number, each.ending, each.error_code, each.provider, each.usage, each.cost_micros)
        for each in shop.attempts(job_id)
    ]


ENDED: dict[str, tuple[Callable[[Claim], Ending], Ending, str | None]] = {
    "completed": (
        lambda made: work.once(
            jobs.complete, made, outputs=work.OUTPUTS, usage=work.USAGE, delivered_percent=100, effort=SPENT
        ),
        Ending.completed,
        None,
    ),
    "completed for less": (
        lambda made: work.once(
            jobs.complete, made, outputs=work.OUTPUTS, usage=work.USAGE, delivered_percent=40, effort=SPENT
        ),
        Ending.completed,
        None,
    ),
    "failed": (
        lambda made: work.once(jobs.fail, made, code="bad_answer", message="", effort=SPENT),
        Ending.failed,
        "bad_answer",
    ),
    "tried again": (
        lambda made: work.once(jobs.retry, made, code="busy", message="", base_seconds=1, effort=SPENT),
        Ending.requeued,
        "busy",
    ),
}


@pytest.mark.parametrize("how", ENDED)
def test_each_ending_is_written_down_with_what_it_took(new_user: NewUser, how: str) -> None:
    made = work.running(new_user(100)[0])
    finish, ending, code = ENDED[how]
    assert finish(made) is ending
    assert of(made.job_id) == [(1, ending, code, "openai", {"input_tokens": 3}, 17)]
    [row] = shop.attempts(made.job_id)
    assert (row.model, row.provider_request_id) == ("gpt-x", "req_1")
    assert row.started_at == work.job(made.job_id).started_at
    assert row.started_at is not None
    assert row.ended_at >= row.started_at


@pytest.mark.parametrize("how", ["canceled", "failed", "tried again"])
def test_an_attempt_whose_user_canceled_keeps_what_was_wrong_with_it(new_user: NewUser, how: str) -> None:
    user, _ = new_user(100)
    made = work.running(user)
    work.once(jobs.request_cancel, user_id=user, job_id=made.job_id)
    if how == "canceled":
        work.once(jobs.cancel, made, provider_began=True, effort=SPENT)
    else:
        ENDED[how][0](made)
    code = ENDED[how][2] if how in ENDED else None
    assert of(made.job_id) == [(1, Ending.canceled, code, "openai", {"input_tokens": 3}, 17)]


def test_a_stale_attempt_costs_too(new_user: NewUser) -> None:
    """Its worker was given up; then it turns up with what it used. The job is charged once and has cost twice."""
    user, wallet = new_user(100)
    first = work.running(user)
    work.lose(first)
    work.once(jobs.rescue_silent, base_seconds=1)
    assert of(first.job_id) == [(1, Ending.lost, None, None, None, None)]
    second = work.claim(first.job_id)
    for _ in range(2):
        assert work.once(jobs.fail, first, code="late", message="", effort=SPENT) is Ending.stale
    ENDED["completed"][0](second)
    assert of(first.job_id) == [
        (1, Ending.stale, "late", "openai", {"input_tokens": 3}, 17),
        (2, Ending.completed, None, "openai", {"input_tokens": 3}, 17),
    ]
    assert shop.attempts(first.job_id)[0].started_at is not None
    assert (work.cost(first.job_id), books.sums(wallet)) == ((10, 10, 0), Sums(90, 0, 0))


def test_a_finish_that_is_said_twice_is_written_down_once(new_user: NewUser) -> None:
    """The first answer of the database got lost: the attempt is taken for stale, and its record stays."""
    made = work.running(new_user(100)[0])
    ENDED["completed"][0](made)
    assert ENDED["completed"][0](made) is Ending.stale
    assert of(made.job_id) == [(1, Ending.completed, None, "openai", {"input_tokens": 3}, 17)]


@pytest.mark.parametrize("how", ["tried again", "given up", "too late", "canceling"])
def test_an_attempt_that_died_is_lost(new_user: NewUser, how: str) -> None:
    user, _ = new_user(100)
    made = work.running(user, attempts=1 if how == "given up" else 3, expires_in=60 if how == "too late" else None)
    if how == "too late":
        work.set_back(made.job_id, "expires_at")
    if how == "canceling":
        work.once(jobs.request_cancel, user_id=user, job_id=made.job_id)
    work.lose(made)
    assert work.once(jobs.rescue_silent, base_seconds=1) == 1
    assert of(made.job_id) == [(1, Ending.lost, None, None, None, None)]
    assert shop.attempts(made.job_id)[0].started_at == work.job(made.job_id).started_at


def test_one_that_another_took_over_from_unnoticed_is_lost_too(new_user: NewUser) -> None:
    """The message came again before anybody looked for silent jobs. What is known of an attempt is left alone."""
    shop.open_shop(video=shop.action("video", shop.A_SECOND))
    job_id = shop.ordered(new_user(100)[0], "video", CLIP)
    work.lose(work.claim(job_id))
    shop.run(job_id)
    assert of(job_id) == [
        (1, Ending.lost, None, None, None, None),
        (2, Ending.completed, None, "mock", {"seconds": 4}, 0),
    ]
    assert shop.attempts(job_id)[0].started_at is None


def test_what_the_mock_does_costs_nothing(new_user: NewUser) -> None:
    shop.open_shop(video=shop.action("video", shop.A_SECOND))
    user, _ = new_user(100)
    job_id = shop.ordered(user, "video", {**CLIP, "prompt": "a fox [mock:fail-twice]"})
    for _ in range(3):
        shop.run(job_id)
        work.set_back(job_id, "run_after")
    assert of(job_id) == [
        (1, Ending.requeued, "provider_unavailable", "mock", None, 0),
        (2, Ending.requeued, "provider_unavailable", "mock", None, 0),
        (3, Ending.completed, None, "mock", {"seconds": 4}, 0),
    ]
    assert [each.provider_request_id for each in shop.attempts(job_id)][2] == f"mock_{job_id.hex}"


def test_a_job_that_was_never_begun_has_none(new_user: NewUser) -> None:
    user, _ = new_user(100)
    job_id = work.submitted(user)
    work.once(jobs.request_cancel, user_id=user, job_id=job_id)
    assert (work.job(job_id).status, of(job_id)) == (Status.canceled, [])


def test_what_the_provider_calls_it_is_forgotten_with_the_user(new_user: NewUser) -> None:
    ours, theirs = (work.running(new_user(100)[0]) for _ in range(2))
    for made in (ours, theirs):
        ENDED["completed"][0](made)
    work.once(jobs.erase, [ours.job_id])
    assert shop.attempts(ours.job_id)[0].provider_request_id is None
    assert of(ours.job_id) == of(theirs.job_id)
    assert shop.attempts(theirs.job_id)[0].provider_request_id == "req_1"


def test_an_attempt_that_claims_what_another_did_is_found(new_user: NewUser) -> None:
    made = work.running(new_user(100)[0])
    ENDED["completed"][0](made)
    with sessions() as session:
        session.execute(update(Attempt).values(number=2))
    with sessions() as session:
        assert audit(session) == [
            f"attempt 2 says it completed job {made.job_id}, which is completed by attempt 1",
        ]
        assert session.scalars(select(Attempt.number)).all() == [2]
