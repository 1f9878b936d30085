"""A forgotten password: asked for by anybody, set by who reads the mailbox, once."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from flask.testing import FlaskClient

from models import api_keys, passwords, users
from models.api_keys import Scope
from models.catalog import current
from models.database import now, sessions
from models.one_time_tokens import Purpose
from models.users import User
from tests.accounts.people import (
    ANN,
    NOT_GOOD,
    OTHER_PASSWORD,
    WRONG,
    Mail,
    change,
    code_of,
    id_of,
    join,
    let_links_run_out,
    link,
    log_in,
    mails,
    refresh,
    reset,
    user_of,
    verified,
    verify,
)
from tests.http.conftest import PASSWORD


def test_asking_tells_nothing_and_looks_nobody_up(client: FlaskClient) -> None:
    verified(client)
    before = len(mails())
    answers = [
        client.post("/v1/auth/forgot-password", json={"email": email}) for email in ("ANN@example.com", "x@y.org")
    ]
    assert [(answer.status_code, answer.json) for answer in answers] == [(202, answers[0].json)] * 2
    assert mails()[before:] == [Mail("reset_password", None, ANN), Mail("reset_password", None, "x@y.org")]


def test_a_new_password_ends_every_session_and_every_other_link(client: FlaskClient) -> None:
    caller = verified(client)
    elsewhere = log_in(client).json or {}
    first, second, moving = (
        link(caller, purpose) for purpose in (Purpose.reset_password, Purpose.reset_password, Purpose.change_email)
    )
    before = mails()
    assert reset(client, second).status_code == 204
    for session in (caller.tokens, elsewhere):
        assert code_of(refresh(client, session["refresh_token"])) == WRONG
        headers = {"Authorization": f"Bearer {session['access_token']}"}
        assert client.get("/v1/me", headers=headers).status_code == 401
    for token in (first, second):
        assert code_of(reset(client, token, "not this one either")) == NOT_GOOD
    assert code_of(client.post("/v1/auth/confirm-email", json={"token": moving})) == NOT_GOOD
    assert code_of(log_in(client)) == WRONG
    assert log_in(client, password=OTHER_PASSWORD).status_code == 200
    assert mails() == [*before, Mail("password_changed", id_of(caller), None)]


def test_whoever_reads_the_mail_has_the_address(client: FlaskClient) -> None:
    """Somebody else may have made the account: nothing that they hold opens it any more."""
    caller = join(client)
    with sessions() as session:
        _, key = api_keys.create(session, user_id=id_of(caller), name="theirs", scopes=[Scope.account_read])
    by_key = {"Authorization": f"Bearer {key}"}
    assert client.get("/v1/me", headers=by_key).status_code == 200
    waiting = link(caller)
    assert reset(client, link(caller, Purpose.reset_password)).status_code == 204
    assert user_of(caller).verified_at is not None
    assert code_of(verify(client, waiting)) == NOT_GOOD
    assert client.get("/v1/me", headers=by_key).status_code == 401
    assert mails()[1:] == [Mail("welcome", id_of(caller), None), Mail("password_changed", id_of(caller), None)]


def test_keys_of_a_proved_account_outlive_a_forgotten_password(client: FlaskClient) -> None:
    caller = verified(client)
    with sessions() as session:
        _, key = api_keys.create(session, user_id=id_of(caller), name="server", scopes=[Scope.account_read])
    assert reset(client, link(caller, Purpose.reset_password)).status_code == 204
    assert client.get("/v1/me", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_an_address_that_another_verified_meanwhile_resets_nothing(client: FlaskClient) -> None:
    late = join(client)
    token = link(late, Purpose.reset_password)
    owner = verified(client, password=OTHER_PASSWORD)
    before = user_of(late).password_hash
    assert code_of(reset(client, token, "one more password")) == NOT_GOOD
    assert user_of(late).password_hash == before
    assert refresh(client, late.tokens["refresh_token"]).status_code == 200, "nothing at all has happened"
    assert (log_in(client, password=OTHER_PASSWORD).json or {})["user"]["id"] == str(id_of(owner))


def test_links_for_another_purpose_or_past_their_time_reset_nothing(client: FlaskClient) -> None:
    caller = verified(client)
    token = link(caller, Purpose.reset_password)
    assert code_of(reset(client, link(caller))) == NOT_GOOD
    let_links_run_out()
    assert code_of(reset(client, token)) == NOT_GOOD
    assert log_in(client).status_code == 200


def test_a_link_to_a_mailbox_that_was_left_resets_nothing(client: FlaskClient) -> None:
    caller = verified(client)
    token = link(caller, Purpose.reset_password)
    change(caller, email="moved@example.com")
    assert code_of(reset(client, token)) == NOT_GOOD
    assert log_in(client, "moved@example.com").status_code == 200


@pytest.mark.parametrize("column", ["closing_at", "suspended_at"])
def test_a_new_password_opens_no_closed_door(client: FlaskClient, column: str) -> None:
    caller = verified(client)
    token = link(caller, Purpose.reset_password)
    change(caller, **{column: now()})
    assert reset(client, token).status_code == (410 if column == "closing_at" else 204)
    assert log_in(client, password=OTHER_PASSWORD).status_code == (401 if column == "closing_at" else 403)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"token": "x", "password": "short"}, "password"),
        ({"token": "x", "password": "x" * 129}, "password"),
        ({"password": PASSWORD}, "token"),
        ({"token": "", "password": PASSWORD}, "token"),
        ({"token": "x" * 201, "password": PASSWORD}, "token"),
        ({"token": ["x"], "password": PASSWORD}, "token"),
    ],
)
def test_bad_requests_name_the_field_and_use_nothing_up(client: FlaskClient, body: dict[str, Any], field: str) -> None:
    caller = verified(client)
    token = link(caller, Purpose.reset_password)
    answer = client.post(
        "/v1/auth/reset-password", json={**body, **({"token": token} if body.get("token") == "x" else {})}
    )
    assert (answer.status_code, [error["field"] for error in (answer.json or {})["errors"]]) == (422, [field])
    assert reset(client, token).status_code == 204


def test_a_log_in_that_was_under_way_does_not_outlive_the_new_password(client: FlaskClient) -> None:
    """The old password is found right, then the new one is set, then the log-in would begin."""
    caller = verified(client)
    token = link(caller, Purpose.reset_password)
    right = users.with_password

    def found_right(candidates: Any, password: str) -> User:
        user = right(candidates, password)
        with sessions() as session:
            hashed = users.hash_password(OTHER_PASSWORD)
            passwords.reset(session, current(session), token=token, password_hash=hashed)
        return user

    with mock.patch("web.auth.users.with_password", found_right):
        assert code_of(log_in(client)) == WRONG
    assert code_of(log_in(client)) == WRONG
    assert log_in(client, password=OTHER_PASSWORD).status_code == 200
