"""The express lane leaves exactly the rows that the steps leave, and none at all when it does not ride."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import inspect

from models import jobs, ledger
from models.database import Base, sessions
from models.errors import InsufficientCredits
from models.jobs import Attempt, Effort, Order, Snapshot, Status
from models.jobs.express import complete as complete_at_once
from models.jobs.express import submit as submit_at_once
from models.jobs.runs import end
from models.jobs.submission import submit_step_by_step
from models.ledger import Source
from tests.jobs import work
from tests.jobs.work import OUTPUTS, USAGE, an_order, unchanged
from tests.ledger import books

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("postgresql")

PASSING = {"created_at", "started_at", "finished_at", "ended_at", "run_after", "due_at", "lease_until", "expires_at"}
"""Moments, which differ from one run to the next: only whether they are set is compared."""


TABLES: tuple[type[Base], ...] = (*work.TABLES, Attempt)


@pytest.fixture
def user(new_user: NewUser) -> UUID:
    """Somebody with two lots, 50 that expire and 100 bought, and a job in the making."""
    user, wallet = new_user(100)
    books.lot(wallet, 50, ref=f"daily:{wallet}", source=Source.daily, hours=5)
    work.submitted(user, price=1)
    return user


def at_once(order: Order) -> Snapshot:
    made = work.once(submit_at_once, order)
    assert made is not None
    return made


def by_steps(order: Order) -> Snapshot:
    return work.once(submit_step_by_step, order).job


def rows(run: Callable[[Order], Any], order: Order) -> dict[str, list[Any]]:
    """All rows after a run that is rolled back, without what is born anew in each run."""

    class Undone(Exception):
        pass

    before = work.everything()
    found: dict[str, list[Any]] = {}
    try:
        with sessions() as session:
            run(session, order)  # type: ignore[call-arg, arg-type]
            for table in TABLES:
                columns = list(table.__table__.c)
                for row in session.execute(table.__table__.select().order_by(*inspect(table).primary_key)):
                    kept = {
                        column.name: value is not None if column.name in PASSING else value
                        for column, value in zip(columns, row, strict=True)
                        if not (column.name == "id" and table.__tablename__ in ("outbox", "transfers"))
                    }
                    found.setdefault(table.__tablename__, []).append(kept)
            raise Undone
    except Undone:
        assert work.everything() == before
    return found


@pytest.mark.parametrize("expires_in", [None, 60])
@pytest.mark.parametrize("price", [1, 49])
def test_both_ways_of_submission_write_the_same_rows(user: UUID, expires_in: int | None, price: int) -> None:
    order = an_order(user, price=price, key="k", expires_in=expires_in)
    fast = rows(submit_at_once, order)  # type: ignore[arg-type]
    slow = rows(submit_step_by_step, order)  # type: ignore[arg-type]
    assert fast == slow
    assert len(fast["jobs"]) == len(fast["outbox"]) == 2
    assert len(fast["transfers"]) == 4


def test_both_ways_of_submission_answer_alike(user: UUID) -> None:
    order = an_order(user, price=5, expires_in=60)
    other = replace(order, id=uuid4())
    fast, slow = at_once(order), by_steps(other)
    assert (fast, slow) == (work.snapshot(order.id), work.snapshot(other.id))
    assert replace(fast, id=slow.id, created_at=slow.created_at, expires_at=slow.expires_at) == slow


EFFORTS = [
    Effort(),
    Effort("openai", "gpt-x", "req_1", {"input_tokens": 3}, 17),
    Effort("openai", "m" * 300, "r" * 300, {}, 0),
]


@pytest.mark.parametrize("effort", EFFORTS, ids=["nobody", "known", "long"])
@pytest.mark.parametrize("price", [0, 1, 49, 70, 149])
def test_both_ways_of_completion_write_the_same_rows(user: UUID, price: int, effort: Effort) -> None:
    order = an_order(user, price=price)
    work.submit(order)
    made = work.claim(order.id)

    def fast(session: Any, _: Order) -> None:
        assert complete_at_once(
            session, job_id=made.job_id, token=made.token, outputs=OUTPUTS, usage=USAGE, effort=effort
        )

    def slow(session: Any, _: Order) -> None:
        assert end(
            session, made.job_id, Status.completed, charge=price, token=made.token, outputs=OUTPUTS, usage=USAGE,
            effort=effort,
        )  # fmt: skip

    written = rows(fast, order)  # type: ignore[arg-type]
    assert written == rows(slow, order)  # type: ignore[arg-type]
    (attempt,) = written["attempts"]
    assert attempt["cost_micros"] == effort.cost_micros


def misses(why: str, user: UUID, wallet: int) -> Order:
    """An order that the express lane must leave to the steps, because of `why`."""
    if why == "free":
        return an_order(user, price=0)
    if why == "price over one lot":
        return an_order(user, price=50)
    if why == "price over the wallet":
        return an_order(user, price=150)
    if why == "slots full":
        return an_order(user, at_once=1)
    if why == "no wallet of this kind":
        return an_order(user, wallet="tokens")
    if why == "key used":
        work.submitted(user, price=1, key="k")
        return an_order(user, key="k")
    if why == "key used with another request":
        work.submitted(user, price=1, key="k")
        return an_order(user, key="k", digest="other")
    if why == "debt":
        lot = books.lot(wallet, 1, ref="spent", hours=1)
        with sessions() as session:
            ledger.spend(session, wallet_id=wallet, amount=1, ref="x")
            ledger.clawback(session, lot_id=lot, amount=1, ref="refund:1")
        return an_order(user)
    if why == "wallet due":
        books.time_is_up(books.lot(wallet, 5, ref="late", hours=1))
        return an_order(user, price=1)
    raise AssertionError(why)


@pytest.mark.parametrize(
    "why",
    [
        "free", "price over one lot", "price over the wallet", "slots full", "no wallet of this kind", "key used",
        "key used with another request", "debt", "wallet due",
    ],
)  # fmt: skip
def test_what_does_not_ride_leaves_no_trace(user: UUID, why: str) -> None:
    wallet = work.everything()["wallets"][0][0]
    order = misses(why, user, wallet)
    assert unchanged(submit_at_once, order) is None


def test_the_first_job_of_a_user_takes_the_steps(new_user: NewUser) -> None:
    user, _ = new_user(10)
    assert unchanged(submit_at_once, an_order(user)) is None
    work.submit(an_order(user, price=1))
    assert work.once(submit_at_once, an_order(user, price=9)) is not None


def test_the_usual_order_rides(user: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
    def steps(*_: Any) -> None:
        raise AssertionError("a usual order must not need the steps")

    monkeypatch.setattr("models.jobs.submission.submit_step_by_step", steps)
    monkeypatch.setattr("models.jobs.runs.end", steps)
    made = work.running(user, price=49)
    assert work.complete(made) is jobs.Ending.completed


@pytest.mark.parametrize("why", ["another token", "queued again", "ended", "canceling", "unknown"])
def test_completion_that_does_not_own_the_job_leaves_no_trace(user: UUID, why: str) -> None:
    made = work.running(user)
    token, job_id = made.token, made.job_id
    if why == "another token":
        token = uuid4()
    elif why == "queued again":
        work.once(jobs.retry, made, code="c", message="m", base_seconds=1)
    elif why == "ended":
        work.complete(made)
    elif why == "canceling":
        work.once(jobs.request_cancel, user_id=user, job_id=job_id)
    else:
        job_id = uuid4()
    assert not unchanged(complete_at_once, job_id=job_id, token=token, outputs=OUTPUTS, usage=USAGE, effort=Effort())


def test_a_wallet_that_says_it_has_less_than_its_lots_is_believed(user: UUID) -> None:
    books.by_hand("UPDATE wallets SET available = 3")
    with sessions() as session:
        assert submit_at_once(session, an_order(user, price=4)) is None
    with pytest.raises(InsufficientCredits), sessions() as session:
        jobs.submit(session, an_order(user, price=4))
