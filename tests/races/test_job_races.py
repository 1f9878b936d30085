"""Many hands at one wallet, at one job, at one key: exactly as much happens as may."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier, BrokenBarrierError
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from models import jobs, ledger
from models.database import sessions
from models.jobs import Ending, Order, Status
from models.jobs.runs import end
from tests.jobs import work
from tests.jobs.work import LEASE, OUTPUTS, USAGE, an_order, once
from tests.ledger import books
from tests.ledger.books import Parts, Sums
from tests.races.starting_line import PATIENCE_SECONDS, ROUNDS, Verb, race, tally

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("arena")


def submit(order: Order) -> Verb:
    return lambda session: "replayed" if jobs.submit(session, order).replayed else "accepted"


@pytest.mark.parametrize("lots", [[1_000], [300, 300, 400], [250, 250, 250, 250]], ids=str)
def test_no_more_is_sold_than_is_there(new_user: NewUser, lots: list[int]) -> None:
    for n in range(ROUNDS):
        user, wallet = new_user()
        for k, amount in enumerate(lots):
            books.lot(wallet, amount, ref=f"lot:{n}:{k}")
        results = race(*(submit(an_order(user, price=100, at_once=1_000)) for _ in range(50)))
        assert tally(results) == {"accepted": 10, "InsufficientCredits": 40}
        assert books.sums(wallet) == Sums(0, 1_000, 0)
        assert work.slots(user) == 10


def test_no_more_slots_are_taken_than_there_are(new_user: NewUser) -> None:
    for _ in range(ROUNDS):
        user, wallet = new_user(1_000)
        results = race(*(submit(an_order(user, at_once=5)) for _ in range(30)))
        assert tally(results) == {"accepted": 5, "TooManyJobs": 25}
        assert (books.sums(wallet), work.slots(user)) == (Sums(950, 50, 0), 5)


def test_one_request_is_one_job(new_user: NewUser) -> None:
    for again in range(ROUNDS):
        user, wallet = new_user(1_000)
        if again % 2:
            work.complete(work.running(user))
        spent = 10 if again % 2 else 0
        results = race(*(submit(an_order(user, key="k")) for _ in range(20)))
        assert tally(results) == {"accepted": 1, "replayed": 19}
        assert books.sums(wallet) == Sums(990 - spent, 10, 0)


def test_one_key_is_one_request(new_user: NewUser) -> None:
    for _ in range(ROUNDS):
        user, wallet = new_user(1_000)
        work.complete(work.running(user))
        results = race(*(submit(an_order(user, key="k", digest=str(n))) for n in range(20)))
        assert tally(results) == {"accepted": 1, "IdempotencyKeyReused": 19}
        assert books.sums(wallet) == Sums(980, 10, 0)


@pytest.mark.parametrize("lost", [False, True])
def test_one_claim(new_user: NewUser, lost: bool) -> None:
    for _ in range(ROUNDS):
        user, _ = new_user(100)
        job = work.submitted(user)
        if lost:
            work.lose(work.claim(job))
        results = race(*[lambda session, job=job: jobs.claim(session, job, lease_seconds=LEASE)] * 20)
        assert len([each for each in results if each is not None]) == 1
        assert work.job(job).attempt == 1 + lost


@pytest.mark.parametrize("lots", [[1_000], [4, 4, 1_000]], ids=str)
@pytest.mark.parametrize("canceled", [False, True])
def test_one_outcome(new_user: NewUser, lots: list[int], canceled: bool) -> None:
    for n in range(ROUNDS):
        user, wallet = new_user()
        for k, amount in enumerate(lots):
            books.lot(wallet, amount, ref=f"lot:{n}:{k}")
        made = work.running(user, price=10, cancel_charge=50)

        def complete(percent: int, made: jobs.Claim = made) -> Verb:
            return lambda session: jobs.complete(session, made, outputs=OUTPUTS, usage=USAGE, delivered_percent=percent)

        def fail(session: Session, made: jobs.Claim = made) -> Ending:
            return jobs.fail(session, made, code="x", message="x")

        def cancel(session: Session, made: jobs.Claim = made) -> Ending:
            return jobs.cancel(session, made, provider_began=True)

        def ask_to_cancel(session: Session, made: jobs.Claim = made, user: UUID = user) -> None:
            jobs.request_cancel(session, user_id=user, job_id=made.job_id)

        askers = [ask_to_cancel] * 20 if canceled else []
        results = race(*[complete(100)] * 30, *askers, *[complete(50)] * 20, *[fail] * 20, *[cancel] * 10)
        endings = [each for each in results if isinstance(each, Ending) and each is not Ending.stale]
        assert len(endings) == 1, tally(results)
        assert not {"OperationalError", "IntegrityError", "LedgerError"} & set(tally(results))
        row = work.job(made.job_id)
        assert row.status.value == endings[0].value
        charged = {Status.completed: (10, 5), Status.failed: (0,), Status.canceled: (5, 0)}[row.status]
        assert row.charged in charged
        assert (row.charged + row.refunded, work.slots(user)) == (10, 0)
        assert books.sums(wallet) == Sums(sum(lots) - row.charged, 0, 0)


def test_finishing_beside_other_movements_of_the_wallet(new_user: NewUser) -> None:
    for _ in range(ROUNDS):
        user, wallet = new_user(1_000)
        made = [work.running(user, price=7) for _ in range(10)]

        def complete(claim: jobs.Claim) -> Verb:
            return lambda session: jobs.complete(session, claim, outputs=OUTPUTS, usage=USAGE, delivered_percent=100)

        results = race(*(complete(each) for each in made), *(submit(an_order(user, price=3)) for _ in range(10)))
        assert tally(results) == {"completed": 10, "accepted": 10}
        assert (books.sums(wallet), work.slots(user)) == (Sums(900, 30, 0), 10)


def test_the_worker_or_the_rescue_but_not_both(new_user: NewUser) -> None:
    for n in range(ROUNDS):
        user, wallet = new_user(1_000)
        made = [work.running(user, attempts=1 + n % 2) for _ in range(10)]
        for each in made:
            work.lose(each)

        def complete(claim: jobs.Claim) -> Verb:
            return lambda session: jobs.complete(session, claim, outputs=OUTPUTS, usage=USAGE, delivered_percent=100)

        def rescue(session: Session) -> int:
            return jobs.rescue_silent(session, base_seconds=1.0)

        results = race(*(complete(each) for each in made), *[rescue] * 5)
        completed = tally(results)["completed"]
        rescued = sum(each for each in results if isinstance(each, int))
        assert completed + rescued == 10, tally(results)
        assert books.sums(wallet) == Sums(1_000 - 10 * completed - 10 * (n % 2) * rescued, 10 * (n % 2) * rescued, 0)


def test_a_replay_does_not_wait_for_whoever_is_busy_with_the_job(new_user: NewUser) -> None:
    """Ending a job locks it and then its user's slots; a replay that had the slots and waited for the job would be
    waited for in turn."""
    user, _ = new_user(100)
    made = work.running(user, key="k")
    with sessions() as busy:
        jobs.extend(busy, {made.job_id: made.token}, lease_seconds=LEASE)
        with sessions() as session:
            session.execute(text("SET LOCAL lock_timeout = '300ms'"))
            assert jobs.submit(session, an_order(user, key="k")).replayed
        ending = jobs.complete(busy, made, outputs=OUTPUTS, usage=USAGE, delivered_percent=100)
    assert ending is Ending.completed


def test_replays_beside_the_end_of_their_job(new_user: NewUser) -> None:
    user, wallet = new_user(1_000)
    for n in range(ROUNDS):
        made = work.running(user, key=f"k{n}")

        def complete(session: Session, made: jobs.Claim = made) -> Ending:
            return jobs.complete(session, made, outputs=OUTPUTS, usage=USAGE, delivered_percent=100)

        results = race(*[complete] * 5, *(submit(an_order(user, key=f"k{n}")) for _ in range(15)))
        assert tally(results) == {"completed": 1, "stale": 4, "replayed": 15}
    assert books.sums(wallet) == Sums(1_000 - 10 * ROUNDS, 0, 0)


def test_two_sweeps_that_meet_the_same_users_do_not_block_each_other(
    new_user: NewUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has two jobs of the same two users in its page, in opposite orders of age, and stops after the first."""
    people = [new_user(100)[0] for _ in range(2)]
    for n, user in enumerate(people):
        work.set_back(work.running(user, attempts=1).job_id, "lease_until", seconds=100 - n)
        work.set_back(work.submitted(user, expires_in=60), "expires_at", seconds=100 + n)
    meeting = Barrier(2)

    def end_and_meet(*args: Any, **kwargs: Any) -> bool:
        ended = end(*args, **kwargs)
        with suppress(BrokenBarrierError):
            meeting.wait(0.5)
        return ended

    def rescue(session: Session) -> int:
        return jobs.rescue_silent(session, base_seconds=1.0)

    monkeypatch.setattr("models.jobs.rescue.end", end_and_meet)
    assert race(rescue, jobs.expire_waiting) == [2, 2]


def test_a_lot_that_grew_while_the_wallet_was_locked(new_user: NewUser) -> None:
    """The statement began when the lot had less than the price, and gets its turn when it has more."""
    user, wallet = new_user(100)
    lot = books.lot(wallet, 50, ref="daily", hours=1)
    work.submitted(user, price=1)
    once(ledger.clawback, lot_id=lot, amount=30, ref="dispute:1")
    with ThreadPoolExecutor(1) as other, sessions() as busy:
        ledger.restore(busy, ref="dispute:1")
        waiting = other.submit(once, jobs.submit, an_order(user, price=25))
        wait_until_somebody_waits(busy)
        busy.commit()
        assert not waiting.result().replayed
    assert (books.sums(wallet), books.parts(lot)) == (Sums(124, 26, 0), Parts(available=24, held=26))


def wait_until_somebody_waits(session: Session) -> None:
    """Return as soon as another transaction waits for a lock of this one."""
    until = time.monotonic() + PATIENCE_SECONDS
    while not session.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")):
        assert time.monotonic() < until
        time.sleep(0.01)
