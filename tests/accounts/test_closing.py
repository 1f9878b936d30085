"""Closing an account: at once for its owner, thoroughly for what it said of them, and the books stay."""

from __future__ import annotations

import json
from typing import Any
from unittest import mock
from uuid import UUID

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from models import closing, emails, jobs, ledger, plans, uploads
from models.database import Base, at_once, now, sessions
from models.emails import Email, EmailState
from models.jobs import Job, Status
from models.ledger import Transfer
from models.logins import Login, RefreshToken
from models.users import User
from tasks.maintenance import close_accounts
from tasks.retention import forget_tokens
from tests.accounts.lives import PRODUCT, live, run, shop
from tests.accounts.people import (
    NOT_GOOD,
    OTHER_PASSWORD,
    Mail,
    change,
    code_of,
    id_of,
    join,
    link,
    log_in,
    mails,
    refresh,
    user_of,
    verified,
    verify,
)
from tests.http.conftest import PASSWORD, Caller
from tests.http.offers import sell
from tests.ledger import books
from web import tokens
from worker.storage import storage

WORD = "Canary"
ADDRESS = "canary@example.com"
STRANGER = (401, "unauthorized")


@pytest.fixture(autouse=True)
def afresh() -> None:
    tokens.look_again()


def leave(caller: Caller, password: str = PASSWORD) -> TestResponse:
    return caller.client.delete("/v1/me", json={"password": password}, headers=caller.headers)


def closed(caller: Caller) -> bool:
    """Let the account be closed by the next run, if it can be."""
    with sessions() as session:
        later = update(User).where(User.closing_at.is_not(None), User.closed_at.is_(None))
        session.execute(later.values(closing_at=now(-closing.GRACE_SECONDS)))
    close_accounts()
    return user_of(caller).closed_at is not None


def gone(client: FlaskClient, email: str = ADDRESS) -> Caller:
    """Sign up, verify, and leave again."""
    caller = verified(client, email)
    assert leave(caller).status_code == 202
    assert closed(caller)
    return caller


def rows(*, without: UUID | None = None) -> dict[str, list[str]]:
    """Every row of every table as text, without those that name a user."""
    with sessions() as session:
        found = {
            table.name: sorted(
                json.dumps([str(value) for value in row], ensure_ascii=False) for row in session.execute(select(table))
            )
            for table in Base.metadata.sorted_tables
        }
    theirs = [str(without), without.hex] if without else []
    return {name: [row for row in each if not any(id_ in row for id_ in theirs)] for name, each in found.items()}


def begun(caller: Caller) -> UUID:
    """A job that runs."""
    job_id = UUID((caller.submit(f"prompt of {WORD}").json or {})["id"])
    with at_once() as session:
        assert jobs.claim(session, job_id, lease_seconds=300) is not None
    return job_id


def test_without_the_password_nothing_ends(client: FlaskClient) -> None:
    caller = join(client)
    assert code_of(leave(caller, "wrong horse battery")) == (403, "wrong_password")
    assert client.delete("/v1/me", headers=caller.headers).status_code == 422
    assert client.delete("/v1/me", json={"password": PASSWORD, "now": True}, headers=caller.headers).status_code == 422
    assert caller.get("/v1/me").status_code == 200
    assert user_of(caller).closing_at is None


def test_it_ends_at_once_for_its_owner(client: FlaskClient) -> None:
    caller, other = verified(client), verified(client, "bob@example.com")
    key = (caller.post("/v1/api-keys", {"name": "x", "scopes": ["jobs:read"]}).json or {})["key"]
    as_key = {"Authorization": f"Bearer {key}"}
    assert client.get("/v1/jobs", headers=as_key).status_code == 200
    waiting = link(caller)
    running = begun(caller)
    queued = UUID((caller.submit().json or {})["id"])
    answer = leave(caller)
    assert (answer.status_code, (answer.json or {})["status"]) == (202, "closing")
    assert code_of(caller.get("/v1/me")) == STRANGER
    assert code_of(client.get("/v1/jobs", headers=as_key)) == STRANGER
    assert refresh(client, caller.tokens["refresh_token"]).status_code == 401
    assert log_in(client).status_code == 401
    assert code_of(verify(client, waiting)) == NOT_GOOD
    assert code_of(leave(caller)) == STRANGER
    with sessions() as session:
        states = dict(session.execute(select(Job.id, Job.status)).all())
        wallet = ledger.wallet_ids(session, user_id=id_of(caller))["credits"]
    assert states == {queued: Status.canceled, running: Status.running}
    assert [(move.reason, move.amount) for move in books.moves(wallet)] == [
        ("grant", 100), ("hold", 5), ("hold", 5), ("release", 5),
    ]  # fmt: skip
    assert other.get("/v1/me").status_code == 200


def test_a_job_that_runs_is_settled_first(client: FlaskClient) -> None:
    caller = verified(client)
    job_id = UUID((caller.submit().json or {})["id"])
    with at_once() as session:
        claim = jobs.claim(session, job_id, lease_seconds=300)
    assert claim is not None
    assert leave(caller).status_code == 202
    assert not closed(caller)
    assert user_of(caller).email is not None
    with sessions() as session:
        jobs.complete(session, claim, outputs=[{"type": "text", "text": WORD}], usage={}, delivered_percent=100)
    assert closed(caller)
    with sessions() as session:
        wallet = ledger.wallet_ids(session, user_id=id_of(caller))["credits"]
        job = session.get_one(Job, job_id)
        assert (job.status, job.charged, job.input, job.outputs) == (Status.completed, 5, {}, None)
    lot = books.lots(wallet)[0]
    assert books.moves(wallet) == [
        ("grant", "issued", "available", 100, lot, 100),
        ("hold", "available", "held", 5, lot, 95),
        ("settle", "held", "spent", 5, lot, 95),
        ("expire", "available", "expired", 95, lot, 0),
    ]


def test_it_waits_until_what_was_let_in_before_is_over(client: FlaskClient) -> None:
    caller = verified(client)
    assert leave(caller).status_code == 202
    close_accounts()
    assert user_of(caller).closed_at is None
    # A request that was on its way submits one more job.
    with mock.patch("web.tokens._ended.has", return_value=False):
        late = UUID((caller.submit().json or {})["id"])
    assert closed(caller)
    with sessions() as session:
        assert session.get_one(Job, late).status is Status.canceled


def test_nothing_is_left_that_says_who_they_were(client: FlaskClient) -> None:
    shop()
    caller, other = verified(client, ADDRESS), verified(client, "bob@example.com")
    job_id = live(caller, client, word=WORD)
    kept = live(other, client, word="Bob")
    before = rows(without=id_of(caller))
    assert any("canary" in row.lower() for each in rows().values() for row in each)
    assert leave(caller).status_code == 202
    assert closed(caller)
    for row in (row for each in rows().values() for row in each):
        assert ADDRESS not in row.lower() or "account_closed" in row, "but for the mail that says so"
    farewell = _send_farewell()
    assert (farewell.recipient, farewell.name) == (ADDRESS, None)
    for table, found in rows().items():
        for row in found:
            assert "canary" not in row.lower(), (table, row)
    for key in (f"{job_id}/1/0", uploads.key_of(id_of(caller), id_of(caller))):
        with pytest.raises(FileNotFoundError):
            storage().read(key)

    user = user_of(caller)
    assert (user.email, user.password_hash, user.name) == (None, None, None)
    empty = ("api_keys", "one_time_tokens", "saved_replies", "notices", "places", "uploads", "referral_codes")
    with sessions() as session:
        for table in empty:
            columns = Base.metadata.tables[table].c
            assert session.execute(select(columns.user_id).where(columns.user_id == id_of(caller))).all() == [], table
        assert plans.entitlements(session, user_id=id_of(caller)).held is None

    # Whoever else there is has all they had, and the other's files are there.
    after = rows(without=id_of(caller))
    for table in ("users", "logins", "api_keys", "saved_replies", "notices", "places", "uploads", "one_time_tokens"):
        assert after[table] == before[table], table
    assert storage().read(f"{kept}/1/0")
    assert storage().read(uploads.key_of(id_of(other), id_of(other)))


def test_the_books_stay_and_what_was_left_expires_visibly(client: FlaskClient) -> None:
    shop()
    caller = verified(client, ADDRESS)
    live(caller, client, word=WORD)
    with sessions() as session:
        wallets = ledger.wallet_ids(session, user_id=id_of(caller))
        bought = ledger.grant(
            session, wallet_id=wallets["credits"], amount=50, source=ledger.Source.purchase, ref="checkout:1"
        )
    before = {kind: books.moves(wallet) for kind, wallet in wallets.items()}
    left = {kind: books.sums(wallet).available for kind, wallet in wallets.items()}
    assert left == {"credits": 142 + 500 + 30 - 1 - 2, "tips": 10}
    assert leave(caller).status_code == 202
    assert closed(caller)
    for kind, wallet in wallets.items():
        moves = books.moves(wallet)
        assert moves[: len(before[kind])] == before[kind]
        added = moves[len(before[kind]) :]
        assert {(move.reason, move.source, move.target) for move in added} == {("expire", "available", "expired")}
        assert sum(move.amount for move in added) == left[kind]
        assert books.sums(wallet) == (0, 0, 0)
    assert books.parts(bought).expired == 50
    with sessions() as session:
        spent = session.scalars(select(Transfer.amount).where(Transfer.reason == "spend")).all()
    assert list(spent) == [2]


def test_nothing_comes_to_an_account_that_is_closed(client: FlaskClient) -> None:
    shop()
    caller = verified(client, ADDRESS)
    code = (caller.get("/v1/referrals").json or {})["code"]
    friend = join(client, "friend@example.com", referral_code=code)
    assert leave(caller).status_code == 202
    assert closed(caller)
    with sessions() as session:
        wallets = ledger.wallet_ids(session, user_id=id_of(caller))
    moves = {kind: books.moves(wallet) for kind, wallet in wallets.items()}
    assert verify(client, link(friend)).status_code == 204
    assert friend.balance()["available"] == 110, "the friend is rewarded all the same"
    with sessions() as session:
        session.execute(update(ledger.Wallet).values(reset_at=None, due_at=None))
        assert not plans.grant_due(session, user_id=id_of(caller))
    assert {kind: books.moves(wallet) for kind, wallet in wallets.items()} == moves
    refused = client.post(
        "/v1/auth/signup", json={"email": "new@example.com", "password": PASSWORD, "referral_code": code}
    )
    assert refused.status_code == 422


def test_again_it_does_no_harm_and_a_crash_leaves_it_to_the_next(client: FlaskClient) -> None:
    shop()
    caller, other = verified(client, ADDRESS), verified(client, "bob@example.com")
    for who, word in ((caller, WORD), (other, "Bob")):
        live(who, client, word=word)
        assert leave(who).status_code == 202
    with sessions() as session:
        assert not closing.finish(session, user_id=id_of(caller)), "jobs come first, while their files can be found"
    for step in (
        "tasks.maintenance.jobs.erase",
        "tasks.maintenance.closing.finish",
        "models.closing.ledger.forfeit",
        "models.closing.emails.stage",
    ):
        with mock.patch(step, side_effect=RuntimeError("the power went")):
            assert not closed(caller), step
        user = user_of(caller)
        assert (user.email, user.password_hash is None) == (ADDRESS, False), "rows go together"
    assert closed(caller)
    assert user_of(other).closed_at is not None
    after = rows()
    with sessions() as session:
        assert not closing.finish(session, user_id=id_of(caller))
    assert closed(caller)
    assert rows() == after
    assert [mail.template for mail in mails()].count("account_closed") == 2


def test_a_token_that_is_still_about_stays_refused(client: FlaskClient) -> None:
    caller = gone(client)
    forget_tokens()
    tokens.look_again()
    for path in ("/v1/jobs", "/v1/me", "/v1/transactions"):
        assert code_of(caller.get(path)) == STRANGER
    with sessions() as session:
        [login] = session.scalars(select(Login).where(Login.user_id == id_of(caller))).all()
        assert (login.user_agent, login.address) == (None, None)
        assert session.scalars(select(RefreshToken.id)).all() == []


def test_one_account_that_cannot_be_closed_keeps_no_other(client: FlaskClient) -> None:
    caller, other = verified(client, ADDRESS), verified(client, "bob@example.com")
    stuck = UUID((caller.submit().json or {})["id"])
    run(stuck, {"type": "text", "text": "x"})
    for who in (caller, other):
        assert leave(who).status_code == 202
    real = storage().delete_all

    def delete_all(prefix: str) -> None:
        if prefix == str(stuck):
            raise PermissionError(prefix)
        real(prefix)

    with mock.patch("worker.storage.Folder.delete_all", side_effect=delete_all):
        assert not closed(caller)
    assert user_of(other).closed_at is not None
    assert closed(caller)


def test_the_mail_that_says_so_goes_to_the_address_that_was(client: FlaskClient) -> None:
    caller = verified(client, ADDRESS)
    client.post("/v1/auth/forgot-password", json={"email": ADDRESS})
    assert leave(caller).status_code == 202
    assert closed(caller)
    assert mails()[-1] == Mail("account_closed", None, ADDRESS)
    with sessions() as session:
        others = session.execute(select(Email.template, Email.state).where(Email.user_id == id_of(caller))).all()
    assert {tuple(each) for each in others} == {
        ("verify_address", EmailState.dropped), ("welcome", EmailState.dropped),
    }  # fmt: skip


def test_the_address_can_be_signed_up_again_and_its_mailbox_has_had_its_credits(client: FlaskClient) -> None:
    sell(**{**PRODUCT, "signup": {"credits_at": "verification"}})
    first = gone(client)
    second = verified(client, ADDRESS)
    assert id_of(second) != id_of(first)
    assert (second.get("/v1/me").json or {})["verified"] is True
    assert second.balance()["available"] == 0
    assert verified(client, "c.a.n.a.r.y+x@example.com").balance()["available"] == 100, "another mailbox"
    assert log_in(client, ADDRESS).status_code == 200


def test_while_it_is_closing_a_stranger_does_not_get_the_address(client: FlaskClient) -> None:
    caller = verified(client, ADDRESS)
    assert leave(caller).status_code == 202
    stranger = join(client, ADDRESS, OTHER_PASSWORD)
    token = link(stranger)
    assert code_of(verify(client, token)) == NOT_GOOD
    assert closed(caller)
    assert verify(client, token).status_code == 204


def test_many_jobs_are_erased_page_by_page(client: FlaskClient) -> None:
    caller = verified(client, ADDRESS)
    made = [UUID((caller.submit(f"prompt of {WORD}").json or {})["id"]) for _ in range(5)]
    for job_id in made[:3]:
        storage().put(f"{job_id}/1/0", b"x")
        storage().put(f"{job_id}/2/0", b"of an attempt that was overtaken")
        run(job_id, {"type": "file", "key": f"{job_id}/2/0"})
    assert leave(caller).status_code == 202
    with mock.patch("tasks.maintenance.PAGE", 2):
        assert closed(caller)
    with sessions() as session:
        found = session.execute(select(Job.input, Job.outputs, Job.request_digest, Job.status, Job.charged)).all()
    assert [tuple(row) for row in found] == [({}, None, "", status, charged) for _, _, _, status, charged in found]
    assert sorted((str(row.status), row.charged) for row in found) == [("canceled", 0)] * 2 + [("completed", 5)] * 3
    assert [key for job_id in made for key in storage().older_than(str(job_id), seconds=-60)] == []


def test_a_closed_account_is_shown_to_admins_by_its_id_alone(client: FlaskClient) -> None:
    caller, admin = gone(client), join(client, "root@example.com")
    change(admin, role="admin")
    found: list[dict[str, Any]] = (admin.get(f"/v1/admin/users?search={id_of(caller)}").json or {})["users"]
    assert [(each["email"], each["name"], each["closed_at"] is None) for each in found] == [(None, None, False)]
    seen: dict[str, Any] = admin.get(f"/v1/admin/users/{id_of(caller)}").json or {}
    assert (seen["sessions"], seen["plan"]) == ([], None)
    answer = client.patch(
        f"/v1/admin/users/{id_of(caller)}", json={"suspended": True, "reason": "x"}, headers=admin.headers
    )
    assert code_of(answer) == (404, "not_found")


def _send_farewell() -> emails.Letter:
    """Have the last mail sent, as a worker does it."""
    with sessions() as session:
        [email_id] = session.scalars(select(Email.id).where(Email.template == "account_closed"))
        claim = emails.claim(session, email_id, lease_seconds=30)
    assert claim is not None
    with sessions() as session:
        letter = emails.write(session, claim)
    assert letter is not None
    with sessions() as session:
        assert emails.sent(session, claim)
    return letter
