"""Unlimited plans: free up to a fair rate, with nothing held, and each promise counted by itself."""

from __future__ import annotations

from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import jobs, rates, spends
from models.catalog import Catalog, Rate
from models.database import sessions
from models.errors import FairUseExceeded, IdempotencyKeyReused, InsufficientCredits, TooManyRequests
from models.rates import RateWindow
from tests.jobs import work
from tests.jobs.work import once, refused
from tests.ledger import books
from tests.plans import shop
from tests.plans.clock import MONDAY, Clock

HOUR = 3600


@pytest.fixture
def sold(clock: Clock) -> Catalog:
    clock.set(MONDAY)
    return shop.open_shop(signup={})


@pytest.fixture
def user(sold: Catalog) -> UUID:
    """Somebody with the endless plan and no credits at all."""
    made = shop.sign_up(sold)
    shop.subscribe(made, "endless")
    return made


def chat(user: UUID, key: str | None = None) -> jobs.Order:
    sold, asked = shop.ask(user, "chat", prompt="hello")
    return jobs.order(sold, asked, user_id=user, max_attempts=3, idempotency_key=key)


def used(user: UUID) -> dict[str, int]:
    with sessions() as session:
        rows = session.execute(select(RateWindow.name, RateWindow.used).where(RateWindow.user_id == user))
        return {row.name: row.used for row in rows}


def test_jobs_are_free_up_to_the_rate_and_again_when_the_window_has_passed(clock: Clock, user: UUID) -> None:
    for _ in range(2):
        made = [work.submit(chat(user)).job for _ in range(4)]
        error = refused(FairUseExceeded, jobs.submit, chat(user))
        refused(FairUseExceeded, jobs.submit, chat(user))
        assert (error.status, error.code) == (429, "fair_use_exceeded")
        assert error.members["limit"] == 4
        assert HOUR - 60 < error.members["retry_after"] <= HOUR
        assert {(job.status, work.cost(job.id)) for job in made} == {("queued", work.Cost(0, 0, 0))}
        clock.move(minutes=58)
        later = refused(FairUseExceeded, jobs.submit, chat(user)).members["retry_after"]
        assert 60 < later <= 121
        clock.move(seconds=later)
    assert books.transfers() == 0
    work.complete(work.claim(made[0].id))
    assert work.cost(made[0].id) == work.Cost(0, 0, 0)
    assert books.transfers() == 0


def test_spends_are_free_up_to_the_rate(clock: Clock, user: UUID) -> None:
    for _ in range(2):
        assert [shop.spend(user, "token").spend.charged for _ in range(3)] == [0, 0, 0]
        refused(FairUseExceeded, spends.spend, *shop.ask(user, "token"), user_id=user)
        clock.move(hours=1)
    assert books.transfers() == 0


def test_each_promise_is_counted_by_itself(user: UUID) -> None:
    """Chats, tips and what tokens pay for have rates of their own, also where two are paid from one wallet."""
    for _ in range(4):
        work.submit(chat(user))
    for _ in range(2):
        assert shop.spend(user, "tip", quantity=9).spend.charged == 0
    for _ in range(3):
        shop.spend(user, "token")
    assert refused(FairUseExceeded, jobs.submit, chat(user)).members["limit"] == 4
    tip = refused(FairUseExceeded, spends.spend, *shop.ask(user, "tip"), user_id=user)
    assert (tip.members["limit"], tip.members["per_seconds"]) == (2, 24 * HOUR)
    assert refused(FairUseExceeded, spends.spend, *shop.ask(user, "token"), user_id=user).members["limit"] == 3
    assert sorted(used(user).values()) == [2, 3, 4, 5], "and five spends in all"


def test_a_request_that_comes_again_is_no_second_use(user: UUID) -> None:
    for _ in range(9):
        work.submit(chat(user, key="k"))
        shop.spend(user, "token", key="k")
    assert sorted(used(user).values()) == [1, 1, 1]
    refused(IdempotencyKeyReused, spends.spend, *shop.ask(user, "token", quantity=2), user_id=user, idempotency_key="k")


def test_what_is_rolled_back_was_no_use(user: UUID) -> None:
    class Undone(Exception):
        pass

    def submit_and_fail(session: Session) -> None:
        jobs.submit(session, chat(user))
        raise Undone

    for _ in range(9):
        refused(Undone, submit_and_fail)
    assert used(user) == {}
    for _ in range(4):
        work.submit(chat(user))


def test_without_the_plan_it_has_its_price(sold: Catalog) -> None:
    user = shop.sign_up(sold)
    error = refused(InsufficientCredits, jobs.submit, chat(user))
    assert error.members["required"] == 5
    refused(InsufficientCredits, spends.spend, *shop.ask(user, "token"), user_id=user)
    assert used(user) == {}


@pytest.mark.parametrize(("per", "seconds"), [("minute", 60), ("hour", HOUR), ("day", 24 * HOUR)])
def test_a_rate_has_windows_that_begin_with_their_first_use(clock: Clock, user: UUID, per: str, seconds: int) -> None:
    rate = Rate.model_validate({"uses": 2, "per": per})
    for _ in range(2):
        for _ in range(2):
            once(rates.count, user_id=user, name="thing", rate=rate)
        error = refused(TooManyRequests, rates.count, user_id=user, name="thing", rate=rate)
        assert (error.code, error.members["per_seconds"]) == ("too_many_requests", seconds)
        assert 1 <= error.members["retry_after"] <= seconds
        once(rates.count, user_id=user, name="another thing", rate=Rate(uses=9, per="day"))
        clock.move(seconds=seconds)
    assert used(user)["thing"] == 2


def test_a_clock_set_back_does_not_lock_anybody_out_for_longer_than_a_window(clock: Clock, user: UUID) -> None:
    rate = Rate(uses=1, per="minute")
    once(rates.count, user_id=user, name="thing", rate=rate)
    clock.move(days=-2)
    once(rates.count, user_id=user, name="thing", rate=rate)
    error = refused(TooManyRequests, rates.count, user_id=user, name="thing", rate=rate)
    assert 1 <= error.members["retry_after"] <= 60
