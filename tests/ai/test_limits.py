"""Limits of a provider: all workers together ask no more of it than they may, and nobody in line is forgotten."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from flask import Flask
from sqlalchemy import update

from config import BadSettings, settings
from models import jobs, providers
from models.audit import audit
from models.database import moment, sessions
from models.jobs import Claim, Status
from models.providers import Entry, ProviderState
from tasks import generation, maintenance
from tests.ai.shaky import Shaky, a_chat, run
from tests.audits import prove
from tests.jobs import work
from worker.backends import offers
from worker.gates import Gates, patience

NewUser = Callable[..., tuple[UUID, int]]

PLACES = 3


@pytest.fixture(autouse=True)
def limited(shaky_settings: pytest.MonkeyPatch) -> None:
    shaky_settings.setenv("PROVIDER_CONCURRENCY", f"openai=50, shaky={PLACES}")


@pytest.fixture(autouse=True)
def leases_outlive_a_busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A place is free again with its lease, and no test here means to wait for that."""
    monkeypatch.setattr(work, "LEASE", 3600)


@pytest.fixture
def rated(shaky_settings: pytest.MonkeyPatch) -> None:
    """Ask for it before a user."""
    shaky_settings.delenv("PROVIDER_CONCURRENCY")
    shaky_settings.setenv("PROVIDER_RATES", "shaky=4 per minute")


def enter(claim: Claim) -> Entry:
    return Gates(settings()).enter(claim, "shaky")


def claims(user: UUID, number: int) -> list[Claim]:
    return [work.claim(a_chat(user, price=1)) for _ in range(number)]


def test_workers_together_ask_no_more_at_once_than_they_may(user: UUID, published: deque[UUID]) -> None:
    Shaky.seconds = 0.05
    made = [a_chat(user, price=1) for _ in range(15)]
    deadline = time.monotonic() + 60

    def work_on() -> None:
        gates_of_a_process = Gates(settings())
        while time.monotonic() < deadline and len(Shaky.asked) < len(made):
            try:
                job_id = published.popleft()
            except IndexError:
                time.sleep(0.01)
                continue
            claim = claim_of(job_id)
            if claim is not None and gates_of_a_process.enter(claim, "shaky") is Entry.admitted:
                finish(claim)
                gates_of_a_process.leave(claim, "shaky")

    with ThreadPoolExecutor(8) as threads:
        for each in [threads.submit(work_on) for _ in range(8)]:
            each.result()
    assert Shaky.most <= PLACES
    assert Counter(Shaky.asked) == dict.fromkeys(map(str, made), 1)
    assert {(work.job(each).status, work.job(each).attempt) for each in made} == {(Status.completed, 1)}
    prove(audit)


def claim_of(job_id: UUID) -> Claim | None:
    with sessions() as session:
        return jobs.claim(session, job_id, lease_seconds=30)


def finish(claim: Claim) -> None:
    with generation.leases.keep(claim) as lease:
        Shaky().generate(lease)
    with sessions() as session:
        jobs.complete(session, claim, outputs=work.OUTPUTS, usage=work.USAGE, delivered_percent=100)


def test_places_are_counted_exactly_when_all_come_at_once(user: UUID) -> None:
    crowd = claims(user, 10)
    with ThreadPoolExecutor(len(crowd)) as threads:
        assert Counter(threads.map(enter, crowd)) == {Entry.admitted: PLACES, Entry.waits: 10 - PLACES}


def test_who_finds_no_place_waits_without_losing_an_attempt_and_the_next_end_calls(
    user: UUID, published: deque[UUID]
) -> None:
    inside = claims(user, PLACES)
    assert {enter(each) for each in inside} == {Entry.admitted}
    outside = [a_chat(user, price=1) for _ in range(3)]
    published.clear()
    assert {run(each) for each in outside} == {Status.queued}
    row = work.job(outside[0])
    assert (row.attempt, row.waits_for, row.error_code, row.at_provider) == (0, "shaky", None, None)
    maintenance.call_waiting()
    assert (Shaky.asked, list(published)) == ([], [])
    finish(inside[0])
    Gates(settings()).leave(inside[0], "shaky")
    assert list(published) == [outside[0]], "one place, one call"
    assert run(outside[0]) is Status.completed
    assert list(published) == outside[:2]
    assert [run(each) for each in outside[1:]] == [Status.completed] * 2
    assert list(published) == outside


def test_nobody_passes_those_who_wait(user: UUID, published: deque[UUID]) -> None:
    inside = claims(user, PLACES)
    assert {enter(each) for each in inside} == {Entry.admitted}
    first = a_chat(user, price=1)
    assert run(first) is Status.queued
    finish(inside[0])
    published.clear()
    newcomer = a_chat(user, price=1)
    assert run(newcomer) is Status.queued, "there is a place, but it is the first one's"
    assert list(published) == [newcomer, first]
    assert run(first) is Status.completed
    assert run(newcomer) is Status.completed


def test_the_places_of_a_killed_worker_are_free_with_its_leases(user: UUID, published: deque[UUID]) -> None:
    inside = claims(user, PLACES)
    assert {enter(each) for each in inside} == {Entry.admitted}
    job = a_chat(user, price=1)
    assert run(job) is Status.queued
    published.clear()
    for each in inside[:2]:
        work.lose(each)
    maintenance.call_waiting()
    assert list(published) == [job]
    assert run(job) is Status.completed
    assert [enter(each) for each in claims(user, 3)] == [Entry.admitted, Entry.admitted, Entry.waits]


def test_a_job_that_runs_again_counts_once(user: UUID) -> None:
    again, *others = [work.claim(a_chat(user, price=1, attempts=2)) for _ in range(PLACES)]
    assert {enter(each) for each in (again, *others)} == {Entry.admitted}
    work.lose(again)
    assert enter(work.claim(again.job_id)) is Entry.admitted
    assert enter(claims(user, 1)[0]) is Entry.waits


@pytest.mark.usefixtures("rated")
def test_no_more_begin_in_a_window_than_may(user: UUID, published: deque[UUID]) -> None:
    crowd = [a_chat(user, price=1) for _ in range(7)]
    with ThreadPoolExecutor(7) as threads:
        list(threads.map(lambda job_id: generation.run(str(job_id)), crowd))
    ends = Counter(work.job(each).status for each in crowd)
    assert ends == {Status.completed: 4, Status.queued: 3}
    published.clear()
    maintenance.call_waiting()
    assert list(published) == []
    with sessions() as session:
        session.execute(update(ProviderState).values(window_at=moment(session, plus=-61)))
    maintenance.call_waiting()
    left = sorted(each for each in crowd if work.job(each).status is Status.queued)
    assert list(published) == left
    assert {run(each) for each in left} == {Status.completed}
    assert run(a_chat(user, price=1)) is Status.completed
    assert run(a_chat(user, price=1)) is Status.queued
    assert len(Shaky.asked) == 8


def test_a_limit_for_one_is_none_for_others(user: UUID) -> None:
    gates = Gates(settings())
    assert {gates.enter(each, "predictions") for each in claims(user, PLACES + 2)} == {Entry.admitted}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PROVIDER_CONCURRENCY", "openai", "expected provider=limit"),
        ("PROVIDER_CONCURRENCY", "openai=0", "openai has '0'"),
        ("PROVIDER_CONCURRENCY", "openai=many", "expected provider=number"),
        ("PROVIDER_CONCURRENCY", "openai=5,openai=6", "openai has two"),
        ("PROVIDER_CONCURRENCY", "opnai=5", "there is no provider 'opnai'"),
        ("PROVIDER_RATES", "openai=5", "expected a rate such as 500 per minute"),
        ("PROVIDER_RATES", "nobody=5 per hour", "there is no provider 'nobody'"),
        ("PROVIDER_LONGEST_PAUSE_SECONDS", "5", "expected at least PROVIDER_PAUSE_SECONDS"),
        ("FAIR_SHARE", "0", "greater than or equal to 1"),
    ],
)
def test_limits_that_cannot_be_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str) -> None:
    monkeypatch.setenv(name, value)
    settings.cache_clear()
    try:
        with pytest.raises(BadSettings) as refused:
            offers(settings())
    finally:
        settings.cache_clear()
    assert name in str(refused.value)
    assert expected in str(refused.value)


@pytest.fixture
def rated_too(shaky_settings: pytest.MonkeyPatch) -> None:
    """Ask for it before a user."""
    shaky_settings.setenv("PROVIDER_RATES", "shaky=4 per minute")
    shaky_settings.setenv("FAIR_SHARE", "8")


@pytest.mark.usefixtures("rated_too")
def test_ops_see_who_does_what_and_how_they_are(user: UUID, app: Flask) -> None:
    def shown() -> list[str]:
        ended = app.test_cli_runner().invoke(args=["providers"])
        assert ended.exit_code == 0, ended.output
        return [" ".join(line.split()) for line in ended.output.splitlines()]

    assert {"chat shaky one", "video mock mock", "shaky closed 0 of 3 0 of 4 in 60 s 0"} <= set(shown())
    crowd = [a_chat(user, price=1) for _ in range(9)]
    assert [enter(work.claim(each)) for each in crowd[:5]] == [Entry.admitted] * PLACES + [Entry.waits] * 2
    assert "shaky closed 3 of 3 3 of 4 in 60 s 2" in shown()
    assert shown()[-1] == "1 jobs wait for their users' fair share, 8 at a time for each."
    claim = work.claim(crowd[5])
    with sessions() as session:
        providers.failed(session, "shaky", token=claim.token, code="provider_error", patience=patience(settings()))
    assert "shaky closed, 1 failures in a row (provider_error) 3 of 3 3 of 4 in 60 s 2" in shown()
    with sessions() as session:
        for _ in range(2):
            providers.failed(session, "shaky", token=claim.token, code="provider_error", patience=patience(settings()))
        session.execute(update(ProviderState).values(open_until=moment(session, plus=600.5)))
    assert any(line.startswith("shaky open for 600 s (provider_error)") for line in shown())
