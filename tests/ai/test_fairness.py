"""The fair line: one user's thousands delay another's first by no more than a share, and all of them are done once."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select, text, update

from config import settings
from models import jobs
from models.audit import audit
from models.database import at_once, sessions
from models.jobs import Ending, Job, JobSlots, Queue, Status
from models.jobs.express import submit as submit_at_once
from models.jobs.line import SHARE
from models.jobs.rescue import FORGOTTEN_SECONDS
from models.kinds import Kind
from models.outbox import Outbox
from tasks import generation
from tests.audits import prove
from tests.jobs import work
from tests.jobs.test_express import rows
from tests.jobs.work import OUTPUTS, USAGE, an_order
from tests.races.starting_line import race, tally

NewUser = Callable[..., tuple[UUID, int]]

FAIR = 4
MANY = 60


@pytest.fixture(autouse=True)
def share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAIR_SHARE", str(FAIR))
    monkeypatch.setenv("DATABASE_POOL", "40")


def crowd(user: UUID, number: int, **how: Any) -> list[UUID]:
    """The ids of so many new jobs of one user, as the front door submits them."""
    orders = [replace(an_order(user, price=1, at_once=10_000, **how), kind=Kind.chat) for _ in range(number)]
    for order in orders:
        with at_once() as session:
            accepted = jobs.submit_at_once(session, order)
        if accepted is None:
            with sessions() as session:
                jobs.submit_step_by_step(session, order)
    return [order.id for order in orders]


def called(user: UUID) -> int:
    """How many unfinished jobs of a user have had their wake-up."""
    with sessions() as session:
        live = Job.user_id == user, Job.status.in_(jobs.LIVE), Job.waits_for.is_(None)
        return session.execute(select(func.count()).where(*live)).scalar_one()


def in_line(*job_ids: UUID) -> list[bool]:
    return [work.job(job_id).waits_for == SHARE for job_id in job_ids]


def sweep() -> int:
    return work.once(jobs.call_waiting)


@pytest.mark.parametrize("off", ["", "hashjoin mergejoin hashagg sort material"])
def test_no_plan_of_the_database_calls_more_than_was_asked_for(postgresql: str, new_user: NewUser, off: str) -> None:
    """Which plan PostgreSQL takes follows from its statistics, and a limit within an UPDATE does not hold in all."""
    user, _ = new_user(100)
    made = crowd(user, FAIR + 5)
    with sessions() as session:
        for way in off.split():
            session.execute(text(f"SET LOCAL enable_{way} = off"))
        assert jobs.call_next(session, user_id=user) == 1
    assert in_line(*made[FAIR:]) == [False, True, True, True, True]


def test_half_of_what_a_worker_runs_is_fair_unless_somebody_says_otherwise() -> None:
    chosen = settings()
    assert chosen.model_copy(update={"fair_share": None, "generation_concurrency": 200}).called_at_once == 100
    assert chosen.model_copy(update={"fair_share": None, "generation_concurrency": 1}).called_at_once == 1
    assert chosen.model_copy(update={"fair_share": 7}).called_at_once == 7


@pytest.mark.usefixtures("database")
def test_a_crowd_delays_anothers_first_job_by_a_share_at_most(new_user: NewUser, published: deque[UUID]) -> None:
    (greedy, _), (other, _) = new_user(MANY), new_user(10)
    theirs = crowd(greedy, MANY)
    assert list(published) == theirs[:FAIR], "the rest wait without a message"
    [first] = crowd(other, 1)
    ran = []
    while published:
        assert called(greedy) <= FAIR
        ran.append(published.popleft())
        generation.run(str(ran[-1]))
    assert ran.index(first) == FAIR
    assert [each for each in ran if each != first] == theirs, "each once, the oldest first"
    assert {(work.job(each).status, work.job(each).attempt) for each in ran} == {(Status.completed, 1)}
    assert (work.slots(greedy), work.slots(other)) == (0, 0)
    prove(audit)


@pytest.mark.usefixtures("database")
def test_priority_is_called_before_others_of_the_same_user(new_user: NewUser, published: deque[UUID]) -> None:
    user, _ = new_user(100)
    usual = crowd(user, FAIR + 2)
    order = replace(an_order(user), queue=Queue.high)
    work.submit(order)
    published.clear()
    work.complete(work.claim(usual[0]))
    work.complete(work.claim(usual[1]))
    assert list(published) == [order.id, usual[FAIR]]
    with sessions() as session:
        assert session.scalars(select(Outbox.queue).where(Outbox.task_id == str(order.id))).all() == [Queue.high]


def _canceled(user: UUID, job_id: UUID) -> None:
    work.once(jobs.request_cancel, user_id=user, job_id=job_id)


def _canceled_while_it_runs(user: UUID, job_id: UUID) -> None:
    made = work.claim(job_id)
    _canceled(user, job_id)
    assert work.once(jobs.cancel, made, provider_began=False) is Ending.canceled


def _failed(user: UUID, job_id: UUID) -> None:
    assert work.once(jobs.fail, work.claim(job_id), code="x", message="x") is Ending.failed


def _delivered_in_part(user: UUID, job_id: UUID) -> None:
    assert work.complete(work.claim(job_id), percent=50) is Ending.completed


def _expired(user: UUID, job_id: UUID) -> None:
    work.set_back(job_id, "expires_at")
    assert work.once(jobs.expire_waiting) == 1


def _lost(user: UUID, job_id: UUID) -> None:
    made = work.claim(job_id)
    work.lose(made)
    assert work.once(jobs.rescue_silent, base_seconds=1.0) == 1


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize(
    "ended",
    [_canceled, _canceled_while_it_runs, _failed, _delivered_in_part, _expired, _lost],
    ids=lambda how: how.__name__,
)
def test_however_a_job_ends_the_next_is_called(
    new_user: NewUser, published: deque[UUID], ended: Callable[[UUID, UUID], None]
) -> None:
    user, _ = new_user(100)
    crew = crowd(user, FAIR + 2, attempts=1, expires_in=60)
    published.clear()
    ended(user, crew[1])
    assert list(published) == [crew[FAIR]]
    assert in_line(*crew[FAIR:]) == [False, True]
    assert called(user) == FAIR


@pytest.mark.usefixtures("database")
def test_who_leaves_the_line_calls_nobody(new_user: NewUser, published: deque[UUID]) -> None:
    user, _ = new_user(100)
    crew = crowd(user, FAIR + 3, expires_in=60)
    published.clear()
    _canceled(user, crew[FAIR])
    _expired(user, crew[FAIR + 1])
    assert (list(published), called(user)) == ([], FAIR)
    assert work.once(jobs.cancel_waiting, user_id=user) == 0
    assert list(published) == [], "closing an account calls no job of its line"
    assert work.slots(user) == 0
    late = crowd(user, FAIR + 2, expires_in=60)
    published.clear()
    for job_id in late:
        work.set_back(job_id, "expires_at")
    assert work.once(jobs.expire_waiting) == FAIR + 2
    assert (list(published), work.slots(user)) == ([], 0)


@pytest.mark.usefixtures("database")
def test_a_retry_keeps_its_place_and_who_waits_is_not_forgotten(new_user: NewUser, published: deque[UUID]) -> None:
    user, _ = new_user(100)
    crew = crowd(user, FAIR + 1)
    published.clear()
    assert work.once(jobs.retry, work.claim(crew[0]), code="x", message="x", base_seconds=1) is Ending.requeued
    assert (list(published), called(user)) == ([], FAIR)
    for job_id in crew:
        work.set_back(job_id, "run_after", seconds=FORGOTTEN_SECONDS + 1)
    with sessions() as session:
        assert jobs.waiting(session, Queue.generation) == FAIR
    assert work.once(jobs.wake_again, Queue.generation) == FAIR
    assert in_line(crew[-1]) == [True]


@pytest.mark.usefixtures("database")
def test_the_sweep_calls_what_a_crash_left_and_no_more_than_a_share(new_user: NewUser, published: deque[UUID]) -> None:
    users = [new_user(100)[0] for _ in range(2)]
    crews = [crowd(user, FAIR * 3) for user in users]
    assert work.unchanged(jobs.call_waiting) == 0
    with sessions() as session:
        session.execute(update(Job).where(Job.id.in_([*crews[0], *crews[1][:1]])).values(waits_for=SHARE))
    published.clear()
    assert sweep() == 2
    assert set(published) == {*crews[0][:FAIR], crews[1][0]}
    assert work.unchanged(jobs.call_waiting) == 0
    assert [called(user) for user in users] == [FAIR, FAIR]


@pytest.mark.usefixtures("postgresql")
def test_a_worker_killed_between_an_end_and_the_call_loses_nothing(new_user: NewUser, published: deque[UUID]) -> None:
    user, _ = new_user(100)
    crew = crowd(user, FAIR + 1)
    published.clear()
    with at_once() as session:
        done = jobs.complete_at_once(session, work.claim(crew[0]), outputs=OUTPUTS, usage=USAGE, delivered_percent=100)
    assert done is not None
    assert (done.user_id, done.next_waits) == (user, True)
    assert (list(published), called(user)) == ([], FAIR - 1)
    assert sweep() == 1
    assert list(published) == [crew[-1]]
    with at_once() as session:
        last = jobs.complete_at_once(session, work.claim(crew[1]), outputs=OUTPUTS, usage=USAGE, delivered_percent=100)
    assert last is not None
    assert not last.next_waits


@pytest.mark.usefixtures("postgresql")
@pytest.mark.parametrize("before", [FAIR - 1, FAIR])
def test_both_ways_of_submission_know_who_is_called(new_user: NewUser, before: int) -> None:
    user, _ = new_user(100)
    crowd(user, before)
    order = an_order(user, price=1, key="k", at_once=100)
    fast = rows(submit_at_once, order)  # type: ignore[arg-type]
    assert fast == rows(jobs.submit_step_by_step, order)  # type: ignore[arg-type]
    assert len(fast["jobs"]) == before + 1
    assert len(fast["outbox"]) == FAIR, "a job beyond the share has no message"


@pytest.mark.usefixtures("postgresql")
def test_ends_and_submissions_at_the_same_moment_leave_the_line_right(new_user: NewUser) -> None:
    for _ in range(3):
        user, _ = new_user(100)
        claims = [work.claim(job_id) for job_id in crowd(user, FAIR * 3)[:FAIR]]
        ends = [
            lambda session, made=made: jobs.complete(session, made, outputs=OUTPUTS, usage=USAGE, delivered_percent=100)
            for made in claims
        ]
        more = [
            lambda session, order=an_order(user, price=1, at_once=100): jobs.submit(session, order).replayed
            for _ in range(FAIR)
        ]
        assert tally(race(*ends, *more)) == Counter({"completed": FAIR, "False": FAIR})
        with sessions() as session:
            taken = session.scalars(select(JobSlots.taken).where(JobSlots.user_id == user)).one()
        assert (taken, called(user)) == (FAIR * 3, FAIR)
