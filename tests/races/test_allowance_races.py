"""Beat, its user and their jobs at one wallet at once: a period is granted once, a key charged once, a rate kept."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import jobs, ledger, plans, rates, spends
from models.catalog import Catalog, Rate
from models.database import sessions
from models.jobs import Ending
from models.ledger import Lot, Source
from models.plans import Origin, Subscription
from models.rates import RateWindow
from models.spends import Spend
from tests.jobs import work
from tests.jobs.work import OUTPUTS, USAGE, an_order
from tests.ledger import books
from tests.ledger.books import Sums
from tests.plans import shop
from tests.plans.clock import MONDAY, Clock, utc
from tests.plans.shop import reset_at
from tests.races.starting_line import ROUNDS, Verb, race, tally
from tests.races.test_job_races import wait_until_somebody_waits


@pytest.fixture
def clock(arena: str) -> Iterator[Clock]:
    with Clock() as made:
        made.set(MONDAY)
        yield made


@pytest.fixture
def sold(clock: Clock) -> Catalog:
    return shop.open_shop()


def due(user: UUID) -> Verb:
    return lambda session: plans.grant_due(session, user_id=user)


def of_today(user: UUID, day: int) -> int:
    """How many credits the allowances of a day gave."""
    with sessions() as session:
        ref = f"daily:{shop.wallet(user)}:{day}%"
        return int(session.scalar(select(func.coalesce(func.sum(Lot.issued), 0)).where(Lot.ref.like(ref))) or 0)


def test_two_beats_and_everybody_at_once(clock: Clock, sold: Catalog) -> None:
    people = [shop.sign_up(sold) for _ in range(6)]
    for _ in range(ROUNDS):
        clock.move(days=1)
        before = books.transfers()
        beats = [lambda session: plans.grant_batch(session, limit=4)] * 4
        race(*beats, *(due(user) for user in people for _ in range(2)))
        shop.by_beat(people[0])
        assert books.transfers() - before == 2 * len(people), "one expiry and one grant each"
        assert {books.sums(shop.wallet(user)) for user in people} == {Sums(50, 0, 0)}


def test_a_reset_beside_jobs_that_begin_and_end(clock: Clock, sold: Catalog) -> None:
    user = shop.sign_up(sold)
    wallet = shop.wallet(user)
    for n in range(ROUNDS):
        made = [work.running(user, price=5) for _ in range(3)]
        clock.move(days=1)
        for each in made:
            work.once(jobs.extend, {each.job_id: each.token}, lease_seconds=work.LEASE)

        def complete(session: Session, made: jobs.Claim = made[0]) -> Ending:
            return jobs.complete(session, made, outputs=OUTPUTS, usage=USAGE, delivered_percent=100)

        def deliver_half(session: Session, made: jobs.Claim = made[1]) -> Ending:
            return jobs.complete(session, made, outputs=OUTPUTS, usage=USAGE, delivered_percent=50)

        def fail(session: Session, made: jobs.Claim = made[2]) -> Ending:
            return jobs.fail(session, made, code="x", message="x")

        def submit(session: Session) -> str:
            return "replayed" if jobs.submit(session, an_order(user, price=7)).replayed else "accepted"

        def promote(session: Session, n: int = n) -> None:
            ledger.grant(session, wallet_id=wallet, amount=11, source=Source.promo, ref=f"promo:{n}", expires_at=None)

        results = race(
            complete, deliver_half, fail, submit, submit, promote, due(user), lambda session: plans.grant_batch(session)
        )
        assert {"Ending", "completed", "failed", "accepted"} & set(tally(results))
        assert not [each for each in results if isinstance(each, Exception)], results
        shop.by_beat(user)
        assert books.sums(wallet) == Sums(50 + 11 * (n + 1) - 14, 14, 0)
        assert books.refs(wallet).count(f"daily:{wallet}:2030-05-{7 + n:02}") == 1
        with sessions() as session:
            waiting = session.scalars(select(jobs.Job.id).where(jobs.Job.finished_at.is_(None))).all()
        for job in waiting:
            work.once(jobs.request_cancel, user_id=user, job_id=job)
        assert books.sums(wallet) == Sums(50 + 11 * (n + 1), 0, 0)


def test_changing_plans_at_once(clock: Clock, sold: Catalog) -> None:
    """However they take turns: one plan is open, and the day gave what the largest of them gives."""
    for n in range(ROUNDS):
        user = shop.sign_up(sold)
        wallet = shop.wallet(user)

        def subscribe(plan: str, user: UUID = user, n: int = n) -> Verb:
            return lambda session: plans.subscribe(
                session, user_id=user, plan=plan, origin=Origin.admin, ref=f"{n}:{plan}:{uuid4().hex}"
            )

        def leave(session: Session, user: UUID = user) -> None:
            plans.unsubscribe(session, user_id=user)

        results = race(*[subscribe("plus"), subscribe("top"), subscribe("free"), due(user)] * 3, leave, leave)
        assert not [each for each in results if isinstance(each, Exception)], results
        assert books.sums(wallet) == Sums(200, 0, 0)
        with sessions() as session:
            open_ones = select(func.count()).where(Subscription.user_id == user, Subscription.ended_at.is_(None))
            assert session.scalar(open_ones) == 1


def test_one_fact_subscribes_once(clock: Clock, sold: Catalog) -> None:
    for n in range(ROUNDS):
        user = shop.sign_up(sold)

        def subscribe(session: Session, user: UUID = user, n: int = n) -> int:
            return plans.subscribe(session, user_id=user, plan="plus", origin=Origin.payment, ref=f"fact:{n}", months=1)

        assert len(set(race(*[subscribe] * 8))) == 1
        assert (shop.subscriptions(user), books.sums(shop.wallet(user))) == (2, Sums(80, 0, 0))


def test_wallets_are_locked_in_one_order(clock: Clock, sold: Catalog) -> None:
    """Where only the second wallet is due, whoever grants into it and then uses the first meets whoever has the
    first and comes to the second."""
    for _ in range(ROUNDS):
        user = shop.sign_up(sold)
        shop.buy(shop.wallet(user), 100)
        shop.subscribe(user, "weekly")
        clock.move(days=7)

        def submit(session: Session, user: UUID = user) -> str:
            return "replayed" if jobs.submit(session, an_order(user, price=1)).replayed else "accepted"

        def subscribe(session: Session, user: UUID = user) -> None:
            plans.subscribe(session, user_id=user, plan="mixed", origin=Origin.admin, ref=uuid4().hex)

        results = race(*[submit] * 4, *[subscribe] * 4)
        assert not [each for each in results if isinstance(each, Exception)], results


def test_who_waited_for_a_change_of_plan_goes_by_the_new_one(clock: Clock) -> None:
    """It saw that a week was over, and gets its turn when the plan gives by the day."""
    by_week = {"title": "Slow", "rank": 1, "allowances": [{"wallet": "credits", "amount": 70, "period": "weekly"}]}
    user = shop.sign_up(shop.open_shop(plans={**shop.PLANS, "slow": by_week}))
    wallet = shop.wallet(user)
    shop.subscribe(user, "slow")
    clock.move(days=7)
    with ThreadPoolExecutor(1) as other, sessions() as busy:
        plans.subscribe(busy, user_id=user, plan="plus", origin=Origin.admin, ref="fact:1")
        waiting = other.submit(work.once, plans.grant_due, user_id=user)
        wait_until_somebody_waits(busy)
        busy.commit()
        waiting.result()
    assert books.sums(wallet) == Sums(80, 0, 0)
    assert reset_at(wallet) == utc(2030, 5, 14, 2)


def test_one_key_is_charged_once(clock: Clock, sold: Catalog) -> None:
    for n in range(ROUNDS):
        user = shop.sign_up(sold)
        asked = shop.ask(user, "tip", quantity=7)

        def spend(session: Session, user: UUID = user, n: int = n, asked: object = asked) -> bool:
            return spends.spend(session, *asked, user_id=user, idempotency_key=f"key:{n}").replayed  # type: ignore[misc]

        assert tally(race(*[spend] * 10)) == {"False": 1, "True": 9}
        assert books.sums(shop.wallet(user)) == Sums(43, 0, 0)
        with sessions() as session:
            assert session.scalar(select(func.count()).where(Spend.user_id == user)) == 1
            assert session.scalars(select(RateWindow.used).where(RateWindow.user_id == user)).all() == [1]


def test_no_more_is_spent_than_is_there(clock: Clock, sold: Catalog) -> None:
    for _ in range(ROUNDS):
        user = shop.sign_up(sold)
        asked = shop.ask(user, "tip", quantity=20)
        clock.move(days=1)

        def spend(session: Session, user: UUID = user, asked: object = asked) -> str:
            spends.spend(session, *asked, user_id=user)  # type: ignore[misc]
            return "spent"

        assert tally(race(*[spend] * 10)) == {"spent": 2, "InsufficientCredits": 8}
        assert books.sums(shop.wallet(user)) == Sums(10, 0, 0)
        with sessions() as session:
            used = session.scalars(select(RateWindow.used).where(RateWindow.user_id == user)).all()
        assert used == [2], "what was refused was no use"


def test_a_rate_holds_however_many_come(clock: Clock, sold: Catalog) -> None:
    rate = Rate(uses=5, per="minute")
    for n in range(ROUNDS):
        user = shop.sign_up(sold)

        def use(session: Session, user: UUID = user, n: int = n) -> str:
            rates.count(session, user_id=user, name=f"thing:{n}", rate=rate)
            return "used"

        assert tally(race(*[use] * 20)) == {"used": 5, "TooManyRequests": 15}
        clock.move(seconds=61)
        assert tally(race(*[use] * 20)) == {"used": 5, "TooManyRequests": 15}
