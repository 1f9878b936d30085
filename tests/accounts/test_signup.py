"""Sign-up: it makes an account whoever has the address, and one mailbox gets the credits once."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select

from models.database import sessions
from models.ledger import Lot, Source, Wallet
from models.users import User
from tests.accounts.people import (
    ANN,
    OTHER_PASSWORD,
    Mail,
    code_of,
    id_of,
    join,
    link,
    log_in,
    mails,
    user_of,
    verified,
    verify,
)
from tests.http.conftest import PASSWORD
from tests.http.offers import sell

GRANTS = [{"wallet": "credits", "amount": 100}, {"wallet": "tips", "amount": 7, "expires_days": 30}]
AT_VERIFICATION: dict[str, Any] = {"signup_grants": GRANTS, "signup": {"credits_at": "verification"}}
BOTH, NONE = {"credits": 100, "tips": 7}, {"credits": 0, "tips": 0}


def test_a_link_to_verify_the_address_is_staged_with_the_account(client: FlaskClient) -> None:
    caller = join(client, "Ann@Example.com")
    assert caller.tokens["user"]["email"] == ANN
    assert user_of(caller).verified_at is None
    assert mails() == [Mail("verify_address", id_of(caller), None)]


def test_a_known_address_can_be_named_again_and_stays_its_owners(client: FlaskClient) -> None:
    owner = verified(client)
    stranger = join(client, password=OTHER_PASSWORD)
    assert id_of(stranger) != id_of(owner)
    assert (log_in(client).json or {})["user"]["id"] == str(id_of(owner))
    assert (log_in(client, password=OTHER_PASSWORD).json or {})["user"]["id"] == str(id_of(stranger))
    assert code_of(verify(client, link(stranger))) == (410, "token_not_good")
    with sessions() as session:
        assert session.scalars(select(User.id).where(User.verified_at.is_not(None))).all() == [id_of(owner)]


def test_of_those_who_only_named_an_address_the_newest_can_log_in(client: FlaskClient) -> None:
    first, second = join(client), join(client, password=OTHER_PASSWORD)
    assert log_in(client).status_code == 401
    assert (log_in(client, password=OTHER_PASSWORD).json or {})["user"]["id"] == str(id_of(second))
    # The first still has its session, and the mailbox decides.
    assert verify(client, link(first)).status_code == 204
    assert (log_in(client).json or {})["user"]["id"] == str(id_of(first))


def test_the_balance_at_sign_up_does_not_tell_that_the_address_is_known(client: FlaskClient) -> None:
    sell(signup_grants=GRANTS)
    assert [_has(join(client)) for _ in range(2)] == [BOTH, BOTH]


@pytest.mark.parametrize(
    ("first", "again"),
    [("ann@example.com", "Ann+more@example.com"), ("a.nn@gmail.com", "ann@googlemail.com")],
)
def test_a_mailbox_gets_its_credits_once_however_it_is_spelled(client: FlaskClient, first: str, again: str) -> None:
    sell(signup_grants=GRANTS)
    assert _has(join(client, first)) == BOTH
    late = join(client, again)
    assert _has(late) == NONE
    assert verify(client, link(late)).status_code == 204
    assert _has(late) == NONE


def test_dots_count_where_they_mean_something(client: FlaskClient) -> None:
    sell(signup_grants=GRANTS)
    assert [_has(join(client, email)) for email in ("a.nn@example.com", ANN)] == [BOTH, BOTH]


def test_credits_can_wait_for_the_verification(client: FlaskClient) -> None:
    sell(**AT_VERIFICATION)
    caller = join(client)
    assert _has(caller) == NONE
    token = link(caller)
    assert verify(client, token).status_code == 204
    assert _has(caller) == BOTH
    assert code_of(verify(client, token)) == (410, "token_not_good")
    assert _lots() == [("credits", 100, False), ("tips", 7, True)]


def test_credits_at_verification_come_once_for_a_mailbox(client: FlaskClient) -> None:
    sell(**AT_VERIFICATION)
    assert _has(verified(client)) == BOTH
    assert _has(join(client)) == NONE
    assert _has(verified(client, "ann+two@example.com")) == NONE
    assert _has(verified(client, "bob@example.com")) == BOTH


@pytest.mark.parametrize(("before", "after"), [("signup", "verification"), ("verification", "signup")])
def test_a_change_of_when_credits_come_gives_nobody_none_or_twice(client: FlaskClient, before: str, after: str) -> None:
    sell(signup_grants=GRANTS, signup={"credits_at": before})
    caller = join(client)
    sell(signup_grants=GRANTS, signup={"credits_at": after})
    assert verify(client, link(caller)).status_code == 204
    assert _has(caller) == BOTH
    assert len(_lots()) == 2


def test_a_refused_sign_up_leaves_nothing(client: FlaskClient) -> None:
    sell(signup_grants=GRANTS, referral={"wallet": "credits", "referrer": 1, "referred": 1})
    body = {"email": ANN, "password": PASSWORD, "referral_code": "NOSUCH22"}
    assert client.post("/v1/auth/signup", json=body).status_code == 422
    assert (mails(), _lots()) == ([], [])
    with sessions() as session:
        assert session.execute(select(func.count()).select_from(User)).scalar_one() == 0
    assert _has(join(client)) == BOTH, "the mailbox was not claimed"


def _has(caller: Any) -> dict[str, int]:
    balances: dict[str, Any] = caller.get("/v1/me").json["balances"]
    return {kind: balance["available"] for kind, balance in balances.items()}


def _lots() -> list[tuple[str, int, bool]]:
    """The wallet of each lot of sign-up, its credits and whether they expire."""
    with sessions() as session:
        rows = session.execute(
            select(Wallet.kind, Lot.issued, Lot.expires_at.is_not(None))
            .join(Wallet, Wallet.id == Lot.wallet_id)
            .where(Lot.source == Source.signup)
            .order_by(Lot.id)
        )
        return [(kind, issued, bool(expires)) for kind, issued, expires in rows]
