"""An address has one owner and a link works once, however many come at the same moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID, uuid4

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from models import ledger, mailboxes, one_time_tokens, passwords, referrals, signup, tries, users
from models.catalog import Catalog
from models.database import sessions
from models.emails import Email
from models.errors import TokenNotGood
from models.ledger import Wallet
from models.one_time_tokens import Purpose
from models.tries import Limit, TryWindow
from models.users import User
from tests.http.offers import sell
from tests.ledger import books
from tests.ledger.books import Sums
from tests.races.starting_line import PATIENCE_SECONDS, ROUNDS, race, tally

pytestmark = pytest.mark.usefixtures("arena")

AT_VERIFICATION = {"signup_grants": [{"wallet": "credits", "amount": 100}, {"wallet": "tips", "amount": 7}]}
RUNNERS = 20


@pytest.fixture
def shop(arena: str) -> Catalog:
    return sell(**AT_VERIFICATION, signup={"credits_at": "verification"})


def test_one_use_of_a_link_for_a_new_password(shop: Catalog) -> None:
    for _ in range(ROUNDS):
        user = _join(shop)
        token = _link(user, Purpose.reset_password)
        resets = [_reset(shop, token, f"hash {n}") for n in range(RUNNERS)]
        results = race(*resets)
        assert tally(results) == {str(user): 1, "TokenNotGood": RUNNERS - 1}
        [winner] = [n for n, each in enumerate(results) if not isinstance(each, Exception)]
        with sessions() as session:
            assert users.get(session, user).password_hash == f"hash {winner}"
            assert _staged(session, "password_changed", user) == 1
        assert _available(user) == {"credits": 100, "tips": 7}


def test_one_of_many_links_to_one_user(shop: Catalog) -> None:
    """Each ends the others, so each holds what another wants: nobody waits in a circle."""
    for _ in range(ROUNDS):
        user = _join(shop)
        links = [_link(user, Purpose.reset_password) for _ in range(RUNNERS)]
        results = race(*[_reset(shop, token, "hash") for token in links])
        assert tally(results) == {str(user): 1, "TokenNotGood": RUNNERS - 1}


def test_an_address_has_one_owner(shop: Catalog) -> None:
    for _ in range(2):  # rounds; twenty sign-ups in each
        email = f"{uuid4().hex}@example.com"
        people = [_join(shop, email) for _ in range(RUNNERS)]
        results = race(*[_verify(shop, _link(user)) for user in people])
        assert sum(isinstance(each, TokenNotGood) for each in results) == RUNNERS - 1
        [owner] = [each for each in results if not isinstance(each, Exception)]
        with sessions() as session:
            verified = select(User.id).where(User.email == email, User.verified_at.is_not(None))
            assert session.scalars(verified).all() == [owner]
            assert [_staged(session, "welcome", user) for user in people].count(1) == 1
        assert sorted(_available(user)["credits"] for user in people) == [0] * (RUNNERS - 1) + [100]


def test_a_mailbox_is_claimed_once(shop: Catalog) -> None:
    for _ in range(ROUNDS):
        local = uuid4().hex
        spelled = [f"{local}+{n}@example.com" for n in range(RUNNERS)]
        assert tally(race(*[_claim(email) for email in spelled])) == {"True": 1, "False": RUNNERS - 1}


TERMS = {"wallet": "tips", "referrer": 30, "referred": 10, "on": "verification"}


def test_many_who_were_brought_are_verified_at_once(shop: Catalog) -> None:
    sold = sell(**AT_VERIFICATION, signup={"credits_at": "verification"}, referral={**TERMS, "cap": 5})
    referrer, *people = _brought(sold, 8)
    assert not any(isinstance(each, Exception) for each in race(*[_verify(sold, _link(user)) for user in people]))
    assert _available(referrer) == {"credits": 0, "tips": 150}
    assert [_available(user) for user in people] == [{"credits": 100, "tips": 17}] * 8


def test_who_waits_for_a_wallet_holds_no_later_one(shop: Catalog) -> None:
    """What a verification gives goes into several wallets, and others lock several as well: all in one order."""
    sold = sell(**AT_VERIFICATION, signup={"credits_at": "verification"}, referral=TERMS)
    _, user = _brought(sold, 1)
    token = _link(user)
    with sessions() as session:
        first, second = sorted(ledger.wallet_ids(session, user_id=user).values())
    with ThreadPoolExecutor(1) as threads:
        with sessions() as session:
            session.execute(select(Wallet.id).where(Wallet.id == first).with_for_update())
            verifying = threads.submit(_alone, _verify(sold, token))
            _until_somebody_waits()
            session.execute(select(Wallet.id).where(Wallet.id == second).with_for_update(nowait=True))
        assert verifying.result() == user
    assert _available(user) == {"credits": 100, "tips": 17}


def test_no_more_tries_get_through_than_the_limit(shop: Catalog) -> None:
    limit = Limit(tries=7, seconds=900)
    for n in range(ROUNDS):

        def attempt(session: Session, n: int = n) -> None:
            tries.count(session, subject=f"round {n}", name="password", limit=limit)

        assert tally(race(*[attempt] * RUNNERS)) == {"None": 7, "TooManyRequests": RUNNERS - 7}

        def was_right(session: Session, n: int = n) -> None:
            tries.take_back(session, subject=f"round {n}", name="password", limit=limit)

        assert tally(race(*[was_right] * RUNNERS)) == {"None": RUNNERS}
        with sessions() as session:
            assert session.scalars(select(TryWindow.tried).where(TryWindow.tried != 0)).all() == []


def _brought(sold: Catalog, number: int) -> list[UUID]:
    """Somebody and so many whom they brought; the wallets of the first lie between those of the others."""
    people = [_join(sold) for _ in range(number + 1)]
    referrer = people.pop(number // 2)
    with sessions() as session:
        code = referrals.standing(session, sold, user_id=referrer).code
        for user in people:
            referrals.refer(session, sold, user_id=user, code=code)
    return [referrer, *people]


def _alone(verb: Callable[[Session], UUID]) -> UUID:
    with sessions() as session:
        return verb(session)


def _until_somebody_waits() -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    with sessions() as session:
        while not session.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar_one():
            assert time.monotonic() < deadline, "nobody waits for a lock"
            time.sleep(0.01)


def _join(sold: Catalog, email: str | None = None) -> UUID:
    with sessions() as session:
        email = email or f"{uuid4().hex}@example.com"
        return signup.sign_up(session, sold, email=email, password_hash="x").id


def _link(user_id: UUID, purpose: Purpose = Purpose.verify_email) -> str:
    with sessions() as session:
        email = users.get(session, user_id).email
        assert email is not None
        return one_time_tokens.issue(session, user_id=user_id, purpose=purpose, email=email)


def _reset(sold: Catalog, token: str, password_hash: str) -> Callable[[Session], UUID]:
    return lambda session: passwords.reset(session, sold, token=token, password_hash=password_hash)


def _verify(sold: Catalog, token: str) -> Callable[[Session], UUID]:
    return lambda session: signup.verify_by_token(session, sold, token=token)


def _claim(email: str) -> Callable[[Session], bool]:
    return lambda session: mailboxes.claim(session, email)


def _staged(session: Session, template: str, user_id: UUID) -> int:
    staged = select(func.count()).where(Email.template == template, Email.user_id == user_id)
    return session.execute(staged).scalar_one()


def _available(user_id: UUID) -> dict[str, int]:
    with sessions() as session:
        wallets = ledger.wallet_ids(session, user_id=user_id)
    sums: dict[str, Sums] = {kind: books.sums(wallet) for kind, wallet in wallets.items()}
    return {kind: each.available for kind, each in sums.items()}
