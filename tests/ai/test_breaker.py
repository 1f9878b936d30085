"""The circuit breaker: a provider that is down is left alone by everybody, and its jobs wait without loss."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import delete, event, update

from config import settings
from models import jobs, providers
from models.audit import audit
from models.database import engine, moment, sessions
from models.jobs import Claim, Status
from models.outbox import Outbox
from models.providers import Entry, ProviderState
from tasks import maintenance
from tests.ai.shaky import Shaky, a_chat, run
from tests.audits import prove
from tests.jobs import work
from tests.ledger import books
from tests.ledger.books import Sums
from worker.ai.provider import Refused, Unavailable
from worker.gates import Gates, patience

NewUser = Callable[..., tuple[UUID, int]]

DOWN = Unavailable("provider_error", "The provider has a problem.")


def break_it(user: UUID) -> None:
    """Let the provider fail until the circuit opens."""
    Shaky.fault = DOWN
    assert [run(a_chat(user)) for _ in range(3)] == [Status.failed] * 3
    Shaky.asked.clear()


def state() -> ProviderState:
    with sessions() as session:
        return session.get_one(ProviderState, "shaky")


def seconds_open() -> float | None:
    until = state().open_until
    with sessions() as session:
        return None if until is None else (until - moment(session)).total_seconds()


def time_for_a_probe() -> None:
    with sessions() as session:
        session.execute(update(ProviderState).values(open_until=moment(session, plus=-1), probe=None))


def test_failures_in_a_row_open_the_circuit_and_jobs_wait_without_losing_an_attempt(user: UUID) -> None:
    break_it(user)
    assert seconds_open() == pytest.approx(10, abs=2)
    job = a_chat(user)
    with sessions() as session:
        session.execute(delete(Outbox))
    assert run(job) is Status.queued
    row = work.job(job)
    assert (row.attempt, row.lease_token, row.started_at, row.waits_for) == (0, None, None, "shaky")
    assert (row.error_code, row.version) == ("provider_unavailable", 3)
    assert work.wake_ups(job) == [], "nothing is sent while there is nothing to be done"
    assert Shaky.asked == []
    assert run(a_chat(user)) is Status.queued
    maintenance.call_waiting()
    assert work.wake_ups(job) == []


def test_one_probe_is_let_in_and_its_answer_calls_the_others(user: UUID, published: deque[UUID]) -> None:
    break_it(user)
    first, *others = [a_chat(user) for _ in range(4)]
    assert {run(each) for each in (first, *others)} == {Status.queued}
    time_for_a_probe()
    published.clear()
    maintenance.call_waiting()
    assert list(published) == [first], "one, the oldest"
    Shaky.fault = None
    assert run(first) is Status.completed
    assert list(published) == [first, *others]
    assert {run(each) for each in others} == {Status.completed}
    assert Counter(Shaky.asked) == dict.fromkeys(map(str, (first, *others)), 1)
    assert {work.job(each).attempt for each in (first, *others)} == {1}
    assert (state().failures, state().openings, state().open_until) == (0, 0, None)


def test_a_probe_that_fails_doubles_the_wait_up_to_a_limit(user: UUID) -> None:
    break_it(user)
    waits = []
    for _ in range(7):
        time_for_a_probe()
        assert run(a_chat(user)) is Status.failed
        waits.append(seconds_open())
    assert waits == pytest.approx([20, 40, 80, 160, 300, 300, 300], abs=3)


def test_while_one_probes_others_wait(user: UUID) -> None:
    break_it(user)
    time_for_a_probe()
    claims = [work.claim(a_chat(user)) for _ in range(3)]
    chosen = settings()
    entries = [Gates(chosen).enter(claim, "shaky") for claim in claims]
    assert entries == [Entry.admitted, Entry.waits, Entry.waits]
    with sessions() as session:
        providers.let_go(session, "shaky", token=claims[1].token)
    assert (seconds_open() or 0) > 100, "who is no probe lets nobody in"
    with sessions() as session:
        providers.let_go(session, "shaky", token=claims[0].token)
    assert Gates(chosen).enter(work.claim(a_chat(user)), "shaky") is Entry.admitted


@pytest.mark.parametrize(
    "fault",
    [
        Unavailable("provider_rate_limited", "Too many.", retry_after=1),
        Refused("content_filtered", "No."),
        Refused("bad_answer", "Unreadable."),
    ],
    ids=lambda fault: fault.code,
)
def test_who_answers_at_all_is_not_down(user: UUID, fault: Exception) -> None:
    for _ in range(2):
        Shaky.fault = DOWN
        assert [run(a_chat(user)) for _ in range(2)] == [Status.failed] * 2
        assert state().failures == 2
        Shaky.fault = fault
        run(a_chat(user))
        assert (state().failures, state().open_until) == (0, None)
    for _ in range(5):
        run(a_chat(user))
    assert state().open_until is None


@pytest.mark.parametrize(
    "fault",
    [Refused("provider_rejected_key", "The key."), Refused("image_refused", "No picture."), OSError("bug")],
    ids=str,
)
def test_what_says_nothing_of_the_provider_changes_nothing(user: UUID, fault: Exception) -> None:
    Shaky.fault = DOWN
    run(a_chat(user))
    Shaky.fault = fault
    for _ in range(5):
        run(a_chat(user))
    assert (state().failures, state().open_until) == (1, None)


def test_a_late_answer_of_before_the_outage_closes_nothing(user: UUID) -> None:
    early = work.claim(a_chat(user))
    break_it(user)
    with sessions() as session:
        assert not providers.answered(session, "shaky", token=early.token)
        late = providers.failed(
            session, "shaky", token=early.token, code="provider_error", patience=patience(settings())
        )
    assert late is None
    assert (state().failures, state().openings) == (3, 1)
    assert (seconds_open() or 0) > 5


def test_who_cannot_wait_that_long_fails_at_once_with_everything_back(user: UUID, new_user: NewUser) -> None:
    break_it(user)
    hurried, wallet = new_user(50)
    job = a_chat(hurried, price=30, expires_in=5)
    assert run(job) is Status.failed
    assert (work.job(job).error_code, work.cost(job)) == ("provider_unavailable", (30, 0, 30))
    assert books.sums(wallet) == Sums(50, 0, 0)
    assert [move.reason for move in books.moves(wallet, but=1)] == ["hold", "release"]
    assert Shaky.asked == []


def test_nobody_waits_for_ever(user: UUID, new_user: NewUser, published: deque[UUID]) -> None:
    break_it(user)
    patient, wallet = new_user(50)
    old, young = a_chat(patient), a_chat(patient)
    assert {run(old), run(young)} == {Status.queued}
    first = work.job(old).put_back_at
    work.set_back(old, "put_back_at", seconds=24 * 3600 + 1)
    published.clear()
    maintenance.call_waiting()
    assert list(published) == [old]
    assert run(old) is Status.failed
    assert first is not None
    assert work.job(old).error_code == "provider_unavailable"
    assert books.sums(wallet) == Sums(40, 10, 0)


def test_a_deadline_in_line_is_kept(user: UUID, published: deque[UUID]) -> None:
    break_it(user)
    job = a_chat(user, expires_in=3600)
    assert run(job) is Status.queued
    work.set_back(job, "expires_at", seconds=-5)
    published.clear()
    maintenance.call_waiting()
    assert list(published) == [job]
    assert run(job) is Status.failed


def test_a_job_in_line_can_be_canceled_and_one_canceled_while_it_runs_is_not_put_back(user: UUID) -> None:
    break_it(user)
    job = a_chat(user)
    assert run(job) is Status.queued
    work.once(jobs.request_cancel, user_id=user, job_id=job)
    assert (work.job(job).status, work.cost(job)) == (Status.canceled, (10, 0, 10))
    claim = work.claim(a_chat(user))
    work.once(jobs.request_cancel, user_id=user, job_id=claim.job_id)
    assert Gates(settings()).enter(claim, "shaky") is Entry.over
    assert (work.job(claim.job_id).status, work.cost(claim.job_id)) == (Status.canceled, (10, 0, 10))
    stale = replace(work.claim(a_chat(user)), token=claim.token)
    assert Gates(settings()).enter(stale, "shaky") is Entry.over
    assert work.job(stale.job_id).status is Status.running


def test_other_workers_hear_of_it(user: UUID) -> None:
    others = Gates(settings())
    assert others.enter(work.claim(a_chat(user)), "shaky") is Entry.admitted
    break_it(user)
    assert others.enter(work.claim(a_chat(user)), "shaky") is Entry.waits


def test_a_provider_that_is_well_costs_no_statement(user: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.gates.LOOK_SECONDS", 3600.0)
    gates = Gates(settings())
    claims = [work.claim(a_chat(user)) for _ in range(2)]
    assert gates.enter(claims[0], "shaky") is Entry.admitted
    statements: list[str] = []
    event.listen(engine(), "before_cursor_execute", lambda *about: statements.append(about[2]))
    for provider in ("shaky", "mock"):
        assert gates.enter(claims[1], provider) is Entry.admitted
        with gates.watching(claims[1], provider):
            pass
    with pytest.raises(Unavailable), gates.watching(claims[1], "mock"):
        raise DOWN
    assert statements == [], "and the mock provider is never down"


def test_one_of_many_probes(user: UUID) -> None:
    break_it(user)
    time_for_a_probe()
    claims = [work.claim(a_chat(user, price=1)) for _ in range(8)]

    def enter(claim: Claim) -> Entry:
        with sessions() as session:
            return providers.enter(session, claim, "shaky", patience=patience(settings()))

    with ThreadPoolExecutor(len(claims)) as threads:
        assert Counter(threads.map(enter, claims)) == {Entry.admitted: 1, Entry.waits: 7}
    prove(audit)
