"""Notices and their e-mails: balances that have become low, credits that expire soon."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError

from models import emails, ledger, low_balances, notices, users
from models.audit import audit
from models.catalog import Catalog
from models.database import insert_into, new_id, now, sessions
from models.emails import Email, EmailState
from models.ledger import Source, Transfer
from models.low_balances import LowBalance, LowBalanceWalk
from models.notices import Notice
from models.users import User
from tasks import maintenance
from tests.http.offers import sell
from tests.ledger import books
from tests.mail.conftest import row, send

LOW = 10


@pytest.fixture(autouse=True)
def shop(database: str) -> Catalog:
    return sell(
        wallets={
            "credits": {"title": "Credits", "low_balance": LOW},
            "tips": {"title": "Tips"},
            "minutes": {"title": "Minutes", "low_balance": 3, "notice_days": 2},
        }
    )


@pytest.fixture
def account(new_user: Callable[..., tuple[UUID, int]]) -> Callable[..., tuple[UUID, int]]:
    """Like `new_user`, with an address that was seen to be theirs."""

    def make(amount: int = 0, *, kind: str = "credits") -> tuple[UUID, int]:
        user_id, wallet_id = new_user(amount, kind=kind)
        with sessions() as session:
            users.verify(session, user_id)
        return user_id, wallet_id

    return make


def spend(wallet_id: int, amount: int) -> None:
    books.once(ledger.spend, wallet_id=wallet_id, amount=amount, ref=f"spend:{new_id()}")


def buy(wallet_id: int, amount: int) -> None:
    books.lot(wallet_id, amount, ref=f"buy:{new_id()}", source=Source.purchase)


def walk() -> None:
    """Have beat look, as if what has moved had moved a while ago."""
    with mock.patch.object(low_balances, "GRACE_SECONDS", -5):
        maintenance.tell_low_balances()


def told(user_id: UUID) -> list[dict[str, Any]]:
    """What a user was told of low balances, oldest first; with each notice an e-mail that says the same."""
    with sessions() as session:
        ours = select(Notice.details).where(Notice.user_id == user_id, Notice.topic == "low_balance")
        found = list(session.scalars(ours.order_by(Notice.id)))
        mailed = select(Email.details).where(Email.user_id == user_id, Email.template == "low_balance")
        assert list(session.scalars(mailed.order_by(Email.id))) == found
    return found


def low(amount: int, kind: str = "credits", threshold: int = LOW) -> dict[str, Any]:
    return {"wallet": kind, "amount": amount, "low_balance": threshold}


def test_who_falls_below_is_told_once(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account(30)
    other_id, _ = account(30)
    spend(wallet_id, 20)
    walk()
    assert told(user_id) == [], "as much as the catalog calls low is not low yet"
    spend(wallet_id, 1)
    for _ in range(2):
        walk()
        assert told(user_id) == [low(9)]
    spend(wallet_id, 9)
    walk()
    assert told(user_id) == [low(9)]
    assert told(other_id) == []


def test_who_rises_and_falls_again_is_told_again(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account(30)
    spend(wallet_id, 25)
    walk()
    buy(wallet_id, 4)
    walk()
    spend(wallet_id, 2)
    walk()
    assert told(user_id) == [low(5)], "nine is no more than low"
    buy(wallet_id, 3)
    walk()
    spend(wallet_id, 3)
    walk()
    assert told(user_id) == [low(5), low(7)]
    buy(wallet_id, 100)
    spend(wallet_id, 101)
    walk()
    assert told(user_id) == [low(5), low(7), low(6)], "also when nobody looked in between"


def test_who_never_had_more_is_not_told(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account(5)
    walk()
    spend(wallet_id, 5)
    walk()
    assert told(user_id) == []
    buy(wallet_id, 20)
    walk()
    spend(wallet_id, 12)
    walk()
    assert told(user_id) == [low(8)]


def test_who_fell_before_anybody_looked_is_told(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account(30)
    spend(wallet_id, 25)
    walk()
    assert told(user_id) == [low(5)]
    other_id, other = account(30)
    walk()
    spend(other, 25)
    walk()
    assert told(other_id) == [low(5)], "also when the walk had passed the time when it had more"


def test_what_jobs_hold_may_come_back_and_counts(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account(12)
    held = new_id()
    books.once(ledger.hold, wallet_id=wallet_id, amount=5, job_id=held)
    walk()
    assert told(user_id) == []
    books.once(ledger.release, job_id=held)
    walk()
    charged = new_id()
    books.once(ledger.hold, wallet_id=wallet_id, amount=5, job_id=charged)
    walk()
    books.once(ledger.settle, job_id=charged, amount=5)
    walk()
    assert told(user_id) == [low(7)]


def test_each_kind_has_its_own_threshold_or_none(account: Callable[..., tuple[UUID, int]]) -> None:
    minutes_user, minutes = account(30, kind="minutes")
    tips_user, tips = account(30, kind="tips")
    spend(minutes, 26)
    spend(tips, 30)
    walk()
    assert told(minutes_user) == told(tips_user) == []
    spend(minutes, 2)
    walk()
    assert told(minutes_user) == [low(2, "minutes", 3)]
    assert told(tips_user) == []


def test_the_walk_goes_to_the_end_page_by_page_and_no_further(account: Callable[..., tuple[UUID, int]]) -> None:
    fallen = []
    for _ in range(4):
        user_id, wallet_id = account(30)
        spend(wallet_id, 25)
        fallen.append(user_id)
    maintenance.tell_low_balances()
    assert [told(user_id) for user_id in fallen] == [[]] * 4, "who moves credits now may not have committed"
    with mock.patch.object(maintenance, "PAGE", 3):
        walk()
    assert [told(user_id) for user_id in fallen] == [[low(5)]] * 4
    with sessions() as session:
        assert session.scalar(select(LowBalanceWalk.transfer_id)) == session.scalar(select(func.max(Transfer.id)))


def test_the_walk_stops_before_the_first_that_is_too_young(account: Callable[..., tuple[UUID, int]]) -> None:
    """A transaction may begin before another and write after it: a later id that is older must not be passed over."""
    user_id, wallet_id = account(30)
    spend(wallet_id, 25)
    with sessions() as session:
        last = session.scalars(select(func.max(Transfer.id))).one()
    # Transfers cannot be made older, so the rule is: those up to the last one are young.
    books.let_transfers_be_rewritten()
    with sessions() as session:
        session.execute(update(Transfer).where(Transfer.id == last).values(created_at=now(-3600)))
    maintenance.tell_low_balances()
    with sessions() as session:
        assert session.scalar(select(LowBalanceWalk.transfer_id)) == 0
    walk()
    assert told(user_id) == [low(5)]


def test_a_walk_begins_where_there_is_no_bookmark(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account(30)
    spend(wallet_id, 25)
    with sessions() as session:
        session.execute(delete(LowBalanceWalk))
    walk()
    assert told(user_id) == [low(5)]
    with sessions() as session, pytest.raises(IntegrityError):
        session.execute(insert_into(session, LowBalanceWalk).values(id=2, transfer_id=0))


@pytest.mark.parametrize(
    "column", [{"notices_by_mail": False}, {"verified_at": None}], ids=["not by mail", "no address of theirs"]
)
def test_who_wants_no_mail_has_the_notice_alone(
    account: Callable[..., tuple[UUID, int]], column: dict[str, Any]
) -> None:
    user_id, wallet_id = account(30)
    books.lot(wallet_id, 5, ref="soon", hours=24)
    with sessions() as session:
        session.execute(update(User).where(User.id == user_id).values(**column))
    maintenance.notice_expiring()
    spend(wallet_id, 30)
    walk()
    with sessions() as session:
        topics = session.scalars(select(Notice.topic).where(Notice.user_id == user_id).order_by(Notice.topic)).all()
        assert topics == ["credits_expiring", "low_balance"]
        assert session.scalar(select(func.count()).select_from(Email)) == 0


def test_a_closing_account_is_told_nothing(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account(30)
    with sessions() as session:
        session.execute(update(User).where(User.id == user_id).values(closing_at=now()))
    spend(wallet_id, 25)
    walk()
    assert told(user_id) == []


def test_two_walkers_tell_nobody_twice(account: Callable[..., tuple[UUID, int]]) -> None:
    fallen = []
    for _ in range(6):
        user_id, wallet_id = account(30)
        spend(wallet_id, 25)
        fallen.append(user_id)
    with (
        mock.patch.object(low_balances, "GRACE_SECONDS", -5),
        mock.patch.object(maintenance, "PAGE", 2),
        ThreadPoolExecutor(4) as threads,
    ):
        for done in [threads.submit(maintenance.tell_low_balances) for _ in range(4)]:
            done.result(60)
    assert [told(user_id) for user_id in fallen] == [[low(5)]] * 6
    with sessions() as session:
        assert audit(session) == []
        assert session.scalar(select(func.count()).select_from(LowBalance)) == 6


def test_the_front_door_shows_it(app: Any, account: Callable[..., tuple[UUID, int]]) -> None:
    client: FlaskClient = app.test_client()
    body = {"email": "zoe@example.com", "password": "correct horse battery"}
    tokens: dict[str, Any] = client.post("/v1/auth/signup", json=body).json or {}
    user_id = UUID(tokens["user"]["id"])
    with sessions() as session:
        wallet_id = ledger.wallet_ids(session, user_id=user_id)["credits"]
    buy(wallet_id, 30)
    spend(wallet_id, 25)
    walk()
    answer = client.get("/v1/notices", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    [notice] = (answer.json or {})["notices"]
    assert (notice["topic"], notice["details"]) == ("low_balance", low(5))


# -- credits that expire soon


def mails(user_id: UUID) -> list[UUID]:
    with sessions() as session:
        ours = select(Email.id).where(Email.user_id == user_id, Email.template == "credits_expiring")
        return list(session.scalars(ours.order_by(Email.id)))


def test_one_mail_for_each_user_and_run(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account(30)
    other_id, other = account(30)
    for number in range(5):
        books.lot(wallet_id, 10 + number, ref=f"lot {number}", hours=24 + number)
    books.lot(other, 3, ref="theirs", hours=24)
    with mock.patch.object(maintenance, "PAGE", 2):
        maintenance.notice_expiring()
        maintenance.notice_expiring()
    assert (len(mails(user_id)), len(mails(other_id))) == (1, 1)
    with sessions() as session:
        assert len(session.scalars(select(Notice.id)).all()) == 6
    books.lot(wallet_id, 1, ref="one more", hours=30)
    maintenance.notice_expiring()
    assert (len(mails(user_id)), len(mails(other_id))) == (2, 1)


def test_the_mail_lists_what_is_left_when_it_is_sent(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account(30)
    with sessions() as session:
        minutes = ledger.open_wallet(session, user_id=user_id, kind="minutes")
    books.lot(wallet_id, 10, ref="first", hours=24)
    books.lot(wallet_id, 20, ref="second", hours=48)
    books.lot(wallet_id, 99, ref="in a year", hours=365 * 24)
    books.lot(wallet_id, 50, ref="today", hours=5, source=Source.daily)
    books.lot(minutes, 7, ref="soon", hours=30)
    books.lot(minutes, 8, ref="later", hours=72)
    maintenance.notice_expiring()
    spend(wallet_id, 64)
    [email_id] = mails(user_id)
    with sessions() as session:
        claim = emails.claim(session, email_id, lease_seconds=60)
        assert claim is not None
        letter = emails.write(session, claim)
    assert letter is not None
    assert [(each["title"], each["amount"]) for each in letter.facts["expiring"]] == [("Minutes", 7), ("Credits", 16)]


def test_nothing_is_sent_when_all_is_used_up(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, wallet_id = account()
    books.lot(wallet_id, 10, ref="soon", hours=24)
    maintenance.notice_expiring()
    spend(wallet_id, 10)
    [email_id] = mails(user_id)
    assert (send(email_id).state, row(email_id).trouble) == (EmailState.dropped, "used_up")


def test_a_notice_is_told_once(account: Callable[..., tuple[UUID, int]]) -> None:
    user_id, _ = account()
    given: dict[str, Any] = {"user_id": user_id, "topic": notices.Topic.low_balance, "ref": "once"}
    with sessions() as session:
        assert notices.notice(session, **given, amount=1)
        assert not notices.notice(session, **given, amount=2)
