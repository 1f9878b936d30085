"""One's own account: profile, password, address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from config import settings
from models import one_time_tokens, users
from models.database import sessions
from models.emails import Email
from models.ledger import Lot
from models.one_time_tokens import Purpose
from models.users import Role
from tests.accounts.people import (
    ANN,
    NOT_GOOD,
    OTHER_PASSWORD,
    TOO_OFTEN,
    Mail,
    change,
    code_of,
    id_of,
    join,
    link,
    log_in,
    mails,
    refresh,
    reset,
    user_of,
    verified,
)
from tests.http.conftest import PASSWORD, Caller
from tests.http.offers import sell

NEW = "ann@elsewhere.example"
WRONG_PASSWORD = (403, "wrong_password")


def patch(caller: Caller, body: Any) -> TestResponse:
    return caller.client.patch("/v1/me", json=body, headers=caller.headers)


def new_password(caller: Caller, current: str = PASSWORD, new: str = OTHER_PASSWORD) -> TestResponse:
    return caller.post("/v1/me/password", {"current_password": current, "new_password": new})


def new_address(caller: Caller, email: str = NEW, password: str = PASSWORD) -> TestResponse:
    return caller.post("/v1/me/email", {"current_password": password, "email": email})


def link_to(caller: Caller, email: str = NEW) -> str:
    """The token of the link that the reader of `email`'s mailbox finds."""
    with sessions() as session:
        return one_time_tokens.issue(session, user_id=id_of(caller), purpose=Purpose.change_email, email=email)


def confirm(client: FlaskClient, token: str) -> TestResponse:
    return client.post("/v1/auth/confirm-email", json={"token": token})


@contextmanager
def limit(name: str, rate: str) -> Iterator[None]:
    with mock.patch("web.limits.settings", return_value=settings().model_copy(update={name: rate})):
        yield


def test_the_account_says_who_it_is(client: FlaskClient) -> None:
    caller = join(client)
    seen: dict[str, Any] = caller.get("/v1/me").json or {}
    assert {**seen, "created_at": None} == {
        "id": str(id_of(caller)), "email": ANN, "verified": False, "name": None, "notices_by_mail": True,
        "role": "user", "created_at": None, "balances": {"credits": {"available": 100, "held": 0, "debt": 0}},
    }  # fmt: skip
    assert {**caller.tokens["user"]} == seen


def test_a_profile_is_changed_by_what_is_sent_and_no_more(client: FlaskClient) -> None:
    caller, other = join(client), join(client, "bob@example.com")
    assert (patch(caller, {"name": "  Ann Ångström 🪙 "}).json or {})["name"] == "Ann Ångström 🪙"
    seen: dict[str, Any] = patch(caller, {"notices_by_mail": False}).json or {}
    assert (seen["name"], seen["notices_by_mail"]) == ("Ann Ångström 🪙", False)
    assert patch(caller, {}).json == seen
    assert caller.get("/v1/me").json == seen
    assert (patch(caller, {"name": None}).json or {}) == {**seen, "name": None}
    assert (other.get("/v1/me").json or {})["notices_by_mail"] is True


def test_a_profile_that_cannot_be_is_refused_by_the_field(client: FlaskClient) -> None:
    caller = join(client)
    bad: list[tuple[Any, str]] = [
        *(
            ({"name": name}, "name")
            for name in ("", "   ", "x" * 101, 7, "Ann\r\nBcc: all@example.com", "A\u2028B", "A\x00B")
        ),
        *(({"notices_by_mail": value}, "notices_by_mail") for value in (None, "yes", 1)),
        ({"role": "admin"}, "role"),
        ({"email": "mallory@example.com"}, "email"),
        ({"verified": True}, "verified"),
    ]
    for body, field in bad:
        answer = patch(caller, body)
        assert answer.status_code == 422, body
        assert [fault["field"] for fault in (answer.json or {})["errors"]] == [field]
    after = user_of(caller)
    assert (after.name, after.role, after.email, after.verified_at) == (None, Role.user, ANN, None)
    assert after.notices_by_mail is True


def test_a_new_password_ends_the_other_sessions_and_the_links_for_another(client: FlaskClient) -> None:
    caller = verified(client)
    elsewhere = Caller(client, ANN, log_in(client).json or {})
    waiting = link(caller, Purpose.reset_password)
    assert new_password(caller).status_code == 204
    assert caller.get("/v1/me").status_code == 200
    assert refresh(client, caller.tokens["refresh_token"]).status_code == 200
    assert elsewhere.get("/v1/me").status_code == 401
    assert refresh(client, elsewhere.tokens["refresh_token"]).status_code == 401
    assert code_of(reset(client, waiting, "yet another password")) == NOT_GOOD
    assert log_in(client).status_code == 401
    assert log_in(client, password=OTHER_PASSWORD).status_code == 200
    assert mails()[-1] == Mail("password_changed", id_of(caller), None)


def test_each_new_password_is_told(client: FlaskClient) -> None:
    caller = join(client)
    assert new_password(caller).status_code == 204
    assert new_password(caller, OTHER_PASSWORD, PASSWORD).status_code == 204
    assert [mail.template for mail in mails()].count("password_changed") == 2


def test_without_the_current_password_nothing_changes(client: FlaskClient) -> None:
    caller = join(client)
    before = mails()
    assert code_of(new_password(caller, "wrong horse battery")) == WRONG_PASSWORD
    assert code_of(new_address(caller, password="wrong horse battery")) == WRONG_PASSWORD
    assert new_password(caller, new="short").status_code == 422
    assert mails() == before
    assert log_in(client).status_code == 200


def test_of_two_new_passwords_at_once_one_is_taken(client: FlaskClient) -> None:
    caller = join(client)
    real = users.hash_password

    def meanwhile(password: str) -> str:
        with mock.patch("models.users.hash_password", real):
            assert new_password(caller, new="the one that was faster").status_code == 204
        return real(password)

    with mock.patch("models.users.hash_password", meanwhile):
        assert new_password(caller).status_code == 401
    assert log_in(client, password="the one that was faster").status_code == 200
    assert [mail.template for mail in mails()].count("password_changed") == 1


def test_guesses_at_the_current_password_have_a_limit_and_right_ones_do_not_count(client: FlaskClient) -> None:
    caller, other = join(client), join(client, "bob@example.com")
    with limit("login_rate_limit", "3 per hour"):
        for _ in range(4):
            assert new_address(caller, NEW).status_code == 202
        for path in ("password", "email", "password"):
            ask = new_password if path == "password" else lambda who, guess: new_address(who, password=guess)
            assert code_of(ask(caller, "wrong horse battery")) == WRONG_PASSWORD
        for answer in (new_password(caller), new_address(caller)):
            assert code_of(answer) == TOO_OFTEN
            assert int(answer.headers["Retry-After"]) > 0
        assert code_of(new_address(other, password="wrong horse battery")) == WRONG_PASSWORD
    assert log_in(client).status_code == 200


def test_an_address_is_changed_once_its_mailbox_was_seen_to_be_theirs(client: FlaskClient) -> None:
    caller = verified(client)
    assert new_address(caller, "Ann@Elsewhere.example").status_code == 202
    assert mails()[-1] == Mail("confirm_new_address", id_of(caller), NEW)
    assert (caller.get("/v1/me").json or {})["email"] == ANN
    old_reset = link(caller, Purpose.reset_password)
    token = link_to(caller)
    assert confirm(client, token).status_code == 204
    assert (caller.get("/v1/me").json or {})["email"] == NEW
    assert user_of(caller).verified_at is not None
    assert mails()[-1] == Mail("address_changed", id_of(caller), ANN)
    assert code_of(confirm(client, token)) == NOT_GOOD
    assert code_of(reset(client, old_reset)) == NOT_GOOD, "the old mailbox opens nothing"
    assert log_in(client).status_code == 401
    assert log_in(client, NEW).status_code == 200
    assert [mail.template for mail in mails()].count("welcome") == 1


def test_who_never_verified_an_address_is_verified_by_the_new_one(client: FlaskClient) -> None:
    sell(signup_grants=[{"wallet": "credits", "amount": 100}], signup={"credits_at": "verification"})
    caller = join(client)
    assert caller.balance()["available"] == 0
    assert confirm(client, link_to(caller)).status_code == 204
    seen: dict[str, Any] = caller.get("/v1/me").json or {}
    assert (seen["email"], seen["verified"]) == (NEW, True)
    assert seen["balances"]["credits"]["available"] == 100
    assert [mail.template for mail in mails()] == ["verify_address", "welcome", "address_changed"]
    with sessions() as session:
        assert session.scalars(select(Lot.ref)).all() == [f"signup:{id_of(caller)}:0"]


def test_the_answer_is_the_same_whether_the_address_is_taken(client: FlaskClient) -> None:
    owner, caller = verified(client, NEW), verified(client)
    before = len(mails())
    taken, free = new_address(caller, NEW), new_address(caller, "nobody@example.com")
    assert (taken.status_code, taken.json) == (free.status_code, free.json) == (202, free.json)
    assert [mail.recipient for mail in mails()[before:]] == [NEW, "nobody@example.com"]
    # The link is only ever written when nobody has the address; somebody may have it by the time it is used.
    assert code_of(confirm(client, link_to(caller))) == NOT_GOOD
    assert (user_of(caller).email, user_of(owner).email) == (ANN, NEW)
    assert [mail.template for mail in mails()].count("address_changed") == 0


def test_ones_own_address_is_no_new_one(client: FlaskClient) -> None:
    caller = join(client)
    answer = new_address(caller, "ANN@example.com")
    assert (answer.status_code, (answer.json or {})["errors"][0]["field"]) == (422, "email")


def test_nobody_has_mails_sent_to_one_stranger_after_another(client: FlaskClient) -> None:
    caller, other = join(client), join(client, "bob@example.com")
    with limit("mail_rate_limit", "2 per hour"):
        assert new_address(caller, "a@example.org").status_code == 202
        assert new_address(other, "a+b@example.org").status_code == 202
        assert code_of(new_address(other, "A@example.org")) == TOO_OFTEN, "by mailbox, however it is spelled"
        assert new_address(caller, "c@example.org").status_code == 202
        assert code_of(new_address(caller, "d@example.org")) == TOO_OFTEN, "by account"
    with sessions() as session:
        sent = session.scalars(select(Email.recipient).where(Email.template == "confirm_new_address"))
        assert sorted(str(each) for each in sent) == ["a+b@example.org", "a@example.org", "c@example.org"]


def test_a_link_of_an_account_that_is_closing_moves_nothing(client: FlaskClient) -> None:
    caller = verified(client)
    token = link_to(caller)
    change(caller, closing_at=user_of(caller).created_at)
    assert code_of(confirm(client, token)) == NOT_GOOD
    assert user_of(caller).email == ANN
