"""The same fact told many times at once is one fact."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
from sqlalchemy.orm import Session

from models import ledger, logins
from models.database import sessions
from models.ledger import Source
from tests.ledger import books
from tests.ledger.books import Parts, Sums
from tests.races.starting_line import ROUNDS, race, tally

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("arena")


def test_one_grant(new_user: NewUser) -> None:
    for n in range(ROUNDS):
        _, wallet = new_user()

        def grant(session: Session, wallet: int = wallet, n: int = n) -> int:
            return ledger.grant(session, wallet_id=wallet, amount=70, source=Source.purchase, ref=f"checkout:{n}")

        [lot] = set(race(*[grant] * 20))
        assert books.lots(wallet) == [lot]
        assert books.sums(wallet) == Sums(70, 0, 0)


def test_one_spend(new_user: NewUser) -> None:
    for n in range(ROUNDS):
        _, wallet = new_user(100)

        def spend(session: Session, wallet: int = wallet, n: int = n) -> None:
            ledger.spend(session, wallet_id=wallet, amount=30, ref=f"export:{n}")

        assert tally(race(*[spend] * 20)) == {"None": 20}
        assert books.sums(wallet) == Sums(70, 0, 0)


def test_one_clawback_and_one_restoration(new_user: NewUser) -> None:
    for n in range(ROUNDS):
        _, wallet = new_user(100)
        [lot] = books.lots(wallet)
        with sessions() as session:
            ledger.spend(session, wallet_id=wallet, amount=30, ref=f"export:{n}")

        def clawback(session: Session, lot: int = lot, n: int = n) -> tuple[int, int]:
            made = ledger.clawback(session, lot_id=lot, amount=100, ref=f"dispute:{n}")
            return made.taken, made.debt

        def restore(session: Session, n: int = n) -> bool:
            return ledger.restore(session, ref=f"dispute:{n}").restored_at is not None

        assert tally(race(*[clawback] * 20)) == {"(70, 30)": 20}
        assert (books.sums(wallet), books.parts(lot)) == (Sums(0, 0, 30), Parts(spent=30, clawed_back=70))
        assert tally(race(*[restore] * 20)) == {"True": 20}
        assert (books.sums(wallet), books.parts(lot)) == (Sums(70, 0, 0), Parts(available=70, spent=30))


def test_one_expiry(new_user: NewUser) -> None:
    for n in range(ROUNDS):
        _, wallet = new_user(100)
        late = books.lot(wallet, 20, ref=f"daily:{n}", source=Source.daily, hours=1)
        books.time_is_up(late)

        def expire(session: Session, wallet: int = wallet) -> int:
            return ledger.expire(session, wallet_id=wallet)

        assert tally(race(*[expire] * 20)) == {"20": 1, "0": 19}
        assert books.sums(wallet) == Sums(100, 0, 0)


def test_debt_is_paid_once(new_user: NewUser) -> None:
    for n in range(ROUNDS):
        _, wallet = new_user(100)
        [lot] = books.lots(wallet)
        with sessions() as session:
            ledger.spend(session, wallet_id=wallet, amount=100, ref=f"export:{n}")
            ledger.clawback(session, lot_id=lot, amount=100, ref=f"refund:{n}")

        def grant(k: int, wallet: int = wallet, n: int = n) -> Callable[[Session], int]:
            return lambda session: ledger.grant(
                session, wallet_id=wallet, amount=15, source=Source.daily, ref=f"daily:{n}:{k}"
            )

        race(*[grant(k) for k in range(20)])
        assert books.sums(wallet) == Sums(200, 0, 0)


def test_one_use_of_a_refresh_token(new_user: NewUser) -> None:
    for _ in range(ROUNDS):
        user, _ = new_user()
        with sessions() as session:
            _, token = logins.begin(session, user_id=user)
        results = race(*[lambda session, token=token: logins.exchange(session, token_id=token)] * 20)
        assert len([each for each in results if each is None]) == 19
        [(_, successor)] = [each for each in results if each is not None]
        with sessions() as session:
            assert logins.exchange(session, token_id=successor) is None, "a replay ends the log-in"
