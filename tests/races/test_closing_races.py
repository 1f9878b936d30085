"""An account that closes while others still do something about it: nobody gets stuck, and nothing is left over."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import closing, jobs, referrals, users
from models.database import sessions
from models.emails import Email
from models.errors import NotCancelable
from models.jobs import Claim, Job, Order
from models.users import User
from tests.http.offers import sell
from tests.jobs.work import LEASE, OUTPUTS, USAGE, an_order
from tests.ledger import books
from tests.ledger.books import Sums
from tests.races.starting_line import ROUNDS, Verb, race, tally

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("arena")


def leaving(user_id: UUID) -> Verb:
    with sessions() as session:
        user = users.get(session, user_id)
    return lambda session: closing.begin(session, user)


def erase(user_id: UUID) -> Verb:
    return lambda session: closing.finish(session, user_id=user_id)


def submit(order: Order) -> Verb:
    return lambda session: jobs.submit(session, order).replayed


def cancel(user_id: UUID, job_id: UUID) -> Verb:
    return lambda session: jobs.request_cancel(session, user_id=user_id, job_id=job_id).status


def complete(claim: Claim) -> Verb:
    return lambda session: jobs.complete(session, claim, outputs=OUTPUTS, usage=USAGE, delivered_percent=100)


def finished(user_id: UUID) -> bool:
    """Erase the account, jobs first."""
    with sessions() as session:
        if not closing.ready(session, user_id=user_id):
            return False
    with sessions() as session:
        jobs.erase(session, jobs.to_erase(session, user_id=user_id, limit=100))
    with sessions() as session:
        return closing.finish(session, user_id=user_id)


def test_closing_meets_whatever_happens_to_the_jobs(new_user: NewUser) -> None:
    for _ in range(ROUNDS):
        user, wallet = new_user(100)
        orders = [an_order(user, at_once=100) for _ in range(6)]
        with sessions() as session:
            for order in orders[:4]:
                jobs.submit(session, order)
        with sessions() as session:
            claim = jobs.claim(session, orders[0].id, lease_seconds=LEASE)
        assert claim is not None

        results = race(
            leaving(user),
            *(submit(order) for order in orders[4:]),
            *(cancel(user, order.id) for order in orders[1:4]),
            jobs.expire_waiting,
            complete(claim),
        )
        errors = [each for each in results if isinstance(each, Exception)]
        assert [each for each in errors if not isinstance(each, NotCancelable)] == []
        assert finished(user)
        assert books.sums(wallet) == Sums(0, 0, 0)
        with sessions() as session:
            told = session.execute(select(Job.input, Job.outputs).where(Job.user_id == user)).all()
        assert {str(tuple(row)) for row in told} == {"({}, None)"}


def test_an_account_is_erased_once(new_user: NewUser) -> None:
    for _ in range(ROUNDS):
        user, wallet = new_user(100)
        with sessions() as session:
            leaving(user)(session)
        assert tally(race(*[erase(user)] * 5)) == {"True": 1, "False": 4}
        assert [move.amount for move in books.moves(wallet)] == [100, 100]
        with sessions() as session:
            told = select(func.count()).where(Email.key == f"account_closed:{user}")
            assert session.scalar(told) == 1


def test_a_reward_comes_before_the_end_or_not_at_all(new_user: NewUser) -> None:
    sold = sell(referral={"wallet": "credits", "referrer": 30, "referred": 10, "on": "purchase"})
    for _ in range(ROUNDS):
        (referrer, earns), (referred, gets) = new_user(), new_user()
        with sessions() as session:
            code = referrals.standing(session, sold, user_id=referrer).code
            referrals.refer(session, sold, user_id=referred, code=code)
            leaving(referrer)(session)

        def reward(session: Session, referred: UUID = referred) -> bool:
            return referrals.reward(session, sold, user_id=referred, on="purchase")

        results = race(reward, erase(referrer))
        assert tally(results) == {"True": 2}
        assert (books.sums(earns), books.sums(gets)) == (Sums(0, 0, 0), Sums(10, 0, 0))
        assert [move.reason for move in books.moves(earns)] in ([], ["grant", "expire"])
        with sessions() as session:
            assert session.get_one(User, referrer).closed_at is not None
