"""What is given once, or so many times, is given that often however many ask at the same moment."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import promotions
from models.database import sessions
from models.promotions import PromotionUse
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
    plans = {"pro": {"title": "Pro", "rank": 1, "allowances": [{"wallet": "tips", "amount": 7, "period": "cycle"}]}}
    codes = {
        f"ROUND-{n}": {"title": "Once", "credits": {"credits": 9}, "plan": "pro", "months": n + 1}
        for n in range(ROUNDS)
    }
    sold = sell(plans=plans, promotions=codes)
    for code in codes:
        user, wallet = new_user()

        def redeem(session: Session, user: UUID = user, code: str = code) -> str:
            return promotions.redeem(session, sold, user_id=user, code=code).code

        assert tally(race(*[redeem] * 10)) == {code: 1, "CodeNotGood": 9}
        assert books.sums(wallet) == Sums(9, 0, 0)
        with sessions() as session:
            assert session.scalars(select(PromotionUse.redeemed).where(PromotionUse.code == code)).one() == 1
