"""What is given once, or so many times, is given that often however many ask at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import places, plans, promotions, referrals
from models.database import sessions
from models.errors import Refusal
from models.plans import Origin
from models.promotions import PromotionUse
from models.referrals import Referral
from tests.http.offers import sell
from tests.ledger import books
from tests.ledger.books import Sums
from tests.races.starting_line import ROUNDS, race, tally

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("arena")


def test_a_cap_is_kept(new_user: NewUser) -> None:
    codes = {f"ROUND-{n}": {"title": "Five", "credits": {"credits": 9, "tips": 1}, "cap": 5} for n in range(ROUNDS)}
    sold = sell(promotions=codes)
    for code in codes:
        people = [new_user() for _ in range(20)]

        def redeem(user: UUID, code: str = code) -> Callable[[Session], str]:
            return lambda session: promotions.redeem(session, sold, user_id=user, code=code).code

        assert tally(race(*[redeem(user) for user, _ in people])) == {code: 5, "CodeNotGood": 15}
        assert sorted(books.sums(wallet) for _, wallet in people) == [Sums(0, 0, 0)] * 15 + [Sums(9, 0, 0)] * 5
        with sessions() as session:
            assert session.scalars(select(PromotionUse.redeemed).where(PromotionUse.code == code)).one() == 5


def test_one_user_redeems_a_code_once(new_user: NewUser) -> None:
    tiers = {"pro": {"title": "Pro", "rank": 1, "allowances": [{"wallet": "tips", "amount": 7, "period": "cycle"}]}}
    codes = {
        f"ROUND-{n}": {"title": "Once", "credits": {"credits": 9}, "plan": "pro", "months": n + 1}
        for n in range(ROUNDS)
    }
    sold = sell(plans=tiers, promotions=codes)
    for code in codes:
        user, wallet = new_user()

        def redeem(session: Session, user: UUID = user, code: str = code) -> str:
            return promotions.redeem(session, sold, user_id=user, code=code).code

        assert tally(race(*[redeem] * 10)) == {code: 1, "CodeNotGood": 9}
        assert books.sums(wallet) == Sums(9, 0, 0)
        with sessions() as session:
            assert session.scalars(select(PromotionUse.redeemed).where(PromotionUse.code == code)).one() == 1


TERMS = {"wallet": "credits", "referrer": 30, "referred": 10, "on": "purchase", "cap": 3}


def test_a_referral_is_rewarded_once(new_user: NewUser) -> None:
    sold = sell(referral=TERMS)
    for _ in range(ROUNDS):
        (referrer, earns), (referred, gets) = new_user(), new_user()
        with sessions() as session:
            code = referrals.standing(session, sold, user_id=referrer).code
            referrals.refer(session, sold, user_id=referred, code=code)

        def reward(session: Session, user: UUID = referred) -> bool:
            return referrals.reward(session, sold, user_id=user, on="purchase")

        assert tally(race(*[reward] * 10)) == {"True": 1, "False": 9}
        assert (books.sums(earns), books.sums(gets)) == (Sums(30, 0, 0), Sums(10, 0, 0))


def test_a_referrer_is_rewarded_up_to_the_cap(new_user: NewUser) -> None:
    sold = sell(referral=TERMS)
    for _ in range(ROUNDS):
        # The wallet of the referrer lies between those of the others, so that a wrong order of locks would show.
        people = [new_user() for _ in range(11)]
        referrer, earns = people.pop(5)
        with sessions() as session:
            code = referrals.standing(session, sold, user_id=referrer).code
            for user, _ in people:
                referrals.refer(session, sold, user_id=user, code=code)

        def reward(user: UUID) -> Callable[[Session], bool]:
            return lambda session: referrals.reward(session, sold, user_id=user, on="purchase")

        assert tally(race(*[reward(user) for user, _ in people])) == {"True": 10}
        assert books.sums(earns) == Sums(90, 0, 0)
        assert {books.sums(wallet) for _, wallet in people} == {Sums(10, 0, 0)}


def test_two_users_never_bring_each_other(new_user: NewUser) -> None:
    sold = sell(referral=TERMS)
    for _ in range(ROUNDS):
        pair = [new_user()[0] for _ in range(2)]
        with sessions() as session:
            codes = [referrals.standing(session, sold, user_id=user).code for user in pair]

        def refer(user: UUID, code: str) -> Callable[[Session], str]:
            return lambda session: type(referrals.refer(session, sold, user_id=user, code=code)).__name__

        results = race(*[refer(pair[0], codes[1]), refer(pair[1], codes[0])] * 5)
        assert tally(results) == {"Referral": 1, "ReferralRefused": 9}
        assert {each.members["why"] for each in results if isinstance(each, Refusal)} <= {
            "each_other", "already_referred",
        }  # fmt: skip
        with sessions() as session:
            both = select(func.count()).where(Referral.referred_id.in_(pair))
            assert session.execute(both).scalar_one() == 1


def test_a_limit_is_kept(new_user: NewUser) -> None:
    sell(plans={"few": {"title": "Few", "rank": 1, "limits": {"companions": 3}}})
    for n in range(ROUNDS):
        user, _ = new_user()
        with sessions() as session:
            plans.subscribe(session, user_id=user, plan="few", origin=Origin.admin, ref=f"gift:{n}")

        def take(item: str, user: UUID = user) -> Callable[[Session], bool]:
            return lambda session: places.take(session, user_id=user, limit_name="companions", item=item)[1]

        assert tally(race(*[take(f"companion {k}") for k in range(10)])) == {"True": 3, "LimitReached": 7}
        with sessions() as session:
            kept, _ = places.taken(session, user_id=user, limit_name="companions", limit=10)
            places.free(session, user_id=user, limit_name="companions", item=kept[0].item)
        assert tally(race(*[take("the same")] * 10)) == {"True": 1, "False": 9}
