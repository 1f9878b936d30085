"""That an address is one's own: by a link that works once, for one of all who named it."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select

from models import one_time_tokens, referrals
from models.database import now, sessions
from models.one_time_tokens import OneTimeToken, Purpose
from models.users import User
from tests.accounts.people import (
    ANN,
    NOT_GOOD,
    Mail,
    change,
    code_of,
    id_of,
    join,
    let_links_run_out,
    link,
    mails,
    user_of,
    verified,
    verify,
)
from tests.http.offers import sell

TERMS = {"wallet": "credits", "referrer": 30, "referred": 10, "on": "verification"}


def test_a_link_verifies_once_and_welcomes_once(client: FlaskClient) -> None:
    caller = join(client)
    first, second = link(caller), link(caller)
    assert verify(client, second).status_code == 204
    seen_at = user_of(caller).verified_at
    assert seen_at is not None
    for token in (second, first):
        assert code_of(verify(client, token)) == NOT_GOOD
    assert user_of(caller).verified_at == seen_at
    assert mails() == [Mail("verify_address", id_of(caller), None), Mail("welcome", id_of(caller), None)]


def test_who_was_brought_is_rewarded_when_verified(client: FlaskClient) -> None:
    sold = sell(referral=TERMS, signup_grants=[{"wallet": "tips", "amount": 3}], signup={"credits_at": "verification"})
    friend = join(client, "bob@example.com")
    with sessions() as session:
        code = referrals.standing(session, sold, user_id=id_of(friend)).code
    caller = join(client, referral_code=code)
    assert (_has(friend), _has(caller)) == ({"credits": 0, "tips": 0}, {"credits": 0, "tips": 0})
    assert verify(client, link(caller)).status_code == 204
    assert (_has(friend), _has(caller)) == ({"credits": 30, "tips": 0}, {"credits": 10, "tips": 3})


def test_the_command_verifies_as_the_link_does(app: Flask, client: FlaskClient) -> None:
    sell(signup_grants=[{"wallet": "credits", "amount": 100}], signup={"credits_at": "verification"})
    caller = join(client)
    told = [app.test_cli_runner().invoke(args=["users", "verify", ANN]).output for _ in range(2)]
    assert told == [f"{ANN} is verified.\n", f"{ANN} is verified already.\n"]
    assert _has(caller) == {"credits": 100, "tips": 0}
    assert mails()[1:] == [Mail("welcome", id_of(caller), None)]
    assert verify(client, link(caller)).status_code == 204
    assert (_has(caller), len(mails())) == ({"credits": 100, "tips": 0}, 2)


def test_who_had_the_credits_of_sign_up_gets_none_for_another_mailbox(client: FlaskClient) -> None:
    sell(signup_grants=[{"wallet": "credits", "amount": 100}])
    caller = join(client)
    sell(signup_grants=[{"wallet": "credits", "amount": 120}])
    caller.email = "bob@example.com"
    token = link(caller, Purpose.change_email)
    assert client.post("/v1/auth/confirm-email", json={"token": token}).status_code == 204
    assert user_of(caller).verified_at is not None
    assert _has(caller) == {"credits": 100, "tips": 0}
    assert _has(join(client, "bob+new@example.com"))["credits"] == 120, "that mailbox has had none"


@pytest.mark.parametrize("token", ["x", "x" * 43, "é" * 43, "' OR 1=1 --"])
def test_what_is_no_token_of_ours_verifies_nothing(client: FlaskClient, token: str) -> None:
    join(client)
    assert code_of(verify(client, token)) == NOT_GOOD


def test_a_link_ends_with_its_time(client: FlaskClient) -> None:
    caller = join(client)
    token = link(caller)
    let_links_run_out()
    assert code_of(verify(client, token)) == NOT_GOOD
    assert user_of(caller).verified_at is None


def test_a_link_is_good_for_one_purpose(client: FlaskClient) -> None:
    caller = join(client)
    for purpose in (Purpose.reset_password, Purpose.change_email):
        assert code_of(verify(client, link(caller, purpose))) == NOT_GOOD
    assert user_of(caller).verified_at is None


def test_a_link_says_nothing_of_an_address_that_is_another_by_now(client: FlaskClient) -> None:
    caller = join(client)
    token = link(caller)
    change(caller, email="bob@example.com")
    assert code_of(verify(client, token)) == NOT_GOOD
    assert user_of(caller).verified_at is None


def test_an_account_that_is_being_closed_verifies_nothing(client: FlaskClient) -> None:
    caller = join(client)
    token = link(caller)
    change(caller, closing_at=now())
    assert code_of(verify(client, token)) == NOT_GOOD


def test_a_refused_link_is_not_used_up(client: FlaskClient) -> None:
    """The address may be free again one day, while the link is still good."""
    owner = verified(client)
    late = join(client)
    token = link(late)
    assert code_of(verify(client, token)) == NOT_GOOD
    change(owner, email="elsewhere@example.com")
    assert verify(client, token).status_code == 204


def test_a_mail_that_is_sent_twice_has_one_link(client: FlaskClient) -> None:
    caller = join(client)
    with sessions() as session:
        tokens = {
            one_time_tokens.issue(
                session, user_id=id_of(caller), purpose=Purpose.verify_email, email=ANN, token_id=id_of(caller)
            )
            for _ in range(2)
        }
        assert session.execute(select(func.count()).select_from(OneTimeToken)).scalar_one() == 1
    assert len(tokens) == 1
    assert verify(client, tokens.pop()).status_code == 204


def test_the_database_has_no_token(client: FlaskClient) -> None:
    token = link(join(client))
    with sessions() as session:
        [row] = session.execute(select(OneTimeToken)).scalars()
    assert token not in [str(value) for value in vars(row).values()]


def test_the_link_can_be_sent_again_and_who_asks_is_told_nothing(client: FlaskClient) -> None:
    known = join(client)
    answers = [
        client.post("/v1/auth/resend-verification", json={"email": email}) for email in ("Ann@example.com", "x@y.org")
    ]
    assert [(answer.status_code, answer.json) for answer in answers] == [(202, answers[0].json)] * 2
    assert mails() == [
        Mail("verify_address", id_of(known), None),
        Mail("verify_address", None, ANN),
        Mail("verify_address", None, "x@y.org"),
    ]


def test_nobody_is_verified_who_did_nothing(client: FlaskClient) -> None:
    verified(client)
    join(client)
    join(client, "bob@example.com")
    with sessions() as session:
        assert session.scalars(select(User.email).where(User.verified_at.is_not(None))).all() == [ANN]


def _has(caller: Any) -> dict[str, int]:
    balances: dict[str, Any] = caller.get("/v1/me").json["balances"]
    return {kind: balance["available"] for kind, balance in balances.items()}
