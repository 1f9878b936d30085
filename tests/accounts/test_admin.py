"""What the people of the house may do: who is let in, what they see, what they change, and what is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock
from uuid import UUID, uuid4

import pytest
from click.testing import Result
from flask import Flask
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError
from werkzeug.test import TestResponse

from config import settings
from models import administration
from models.audit_log import Actor, AuditEntry, By
from models.database import is_postgresql, now, sessions
from models.errors import LastAdmin
from models.jobs import Job
from models.users import Role, User
from tests.accounts.people import ANN, SUSPENDED, change, code_of, id_of, join, log_in, refresh, user_of, verified
from tests.http.conftest import Caller
from tests.http.offers import sell
from tests.races.starting_line import race, tally
from web import tokens

KEY = "an admin key that is only for these tests"
NO_ROLE, STRANGER = (403, "role_required"), (401, "unauthorized")
LAST, OWN = (409, "last_admin"), (403, "own_account")


@pytest.fixture(autouse=True)
def admin_key() -> Iterator[None]:
    tokens.look_again()
    given = settings().model_copy(update={"admin_api_key": SecretStr(KEY)})
    with mock.patch("web.admin.doors.settings", return_value=given):
        yield


def having(caller: Caller, role: Role) -> Caller:
    change(caller, role=role)
    return caller


@pytest.fixture
def admin(client: FlaskClient) -> Caller:
    return having(join(client, "root@example.com"), Role.admin)


def patch(who: Caller, whom: Caller, **body: Any) -> TestResponse:
    path = f"/v1/admin/users/{id_of(whom)}"
    return who.client.patch(path, json={"reason": "Ticket 7", **body}, headers=who.headers)


def by_key(client: FlaskClient, path: str, *, key: str = KEY, method: str = "GET", **more: Any) -> TestResponse:
    return client.open(path, method=method, headers={"Authorization": f"Bearer {key}"}, **more)


def found(answer: TestResponse) -> list[str | None]:
    assert answer.status_code == 200, answer.json
    return [each["email"] for each in (answer.json or {})["users"]]


def entries() -> list[tuple[Any, ...]]:
    """What the audit log has, in order: who, what, about whom, before, after, why."""
    with sessions() as session:
        rows = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    return [(str(row.actor), row.actor_id, row.verb, row.target, row.before, row.after, row.reason) for row in rows]


def test_users_are_let_in_by_their_role_and_support_changes_nothing(client: FlaskClient) -> None:
    user, support = join(client), having(join(client, "sue@example.com"), Role.support)
    admin = having(join(client, "root@example.com"), Role.admin)
    for path in ("/v1/admin/users", f"/v1/admin/users/{id_of(user)}", "/v1/admin/audit-log"):
        assert code_of(client.get(path)) == STRANGER
        assert code_of(user.get(path)) == NO_ROLE
        assert [who.get(path).status_code for who in (support, admin)] == [200, 200]
    assert code_of(patch(user, support, suspended=True)) == NO_ROLE
    refused = patch(support, user, suspended=True)
    assert (code_of(refused), (refused.json or {})["role"]) == (NO_ROLE, "admin")
    assert user_of(user).suspended_at is None
    assert patch(admin, user, suspended=True).status_code == 200


def test_a_role_is_looked_up_each_time(client: FlaskClient, admin: Caller) -> None:
    caller = join(client)
    assert code_of(caller.get("/v1/admin/users")) == NO_ROLE
    change(caller, role=Role.support)
    assert caller.get("/v1/admin/users").status_code == 200
    for gone in (
        {"suspended_at": now()},
        {"suspended_at": None, "closing_at": now()},
        {"closing_at": None, "role": Role.user},
    ):
        change(caller, **gone)
        assert code_of(caller.get("/v1/admin/users")) == NO_ROLE


def test_the_admin_key_opens_the_admin_calls_and_nothing_else(client: FlaskClient, admin: Caller) -> None:
    assert found(by_key(client, "/v1/admin/users")) == ["root@example.com"]
    for wrong in ("", KEY[:-1], f"{KEY}x", KEY.upper(), "Ünïcode", "coinop_x"):
        assert code_of(by_key(client, "/v1/admin/users", key=wrong)) == STRANGER
    assert code_of(client.get("/v1/admin/users", headers={"Authorization": KEY})) == STRANGER
    for path in ("/v1/me", "/v1/jobs", "/v1/api-keys"):
        assert code_of(by_key(client, path)) == STRANGER
    caller = join(client)
    answer = by_key(
        client, f"/v1/admin/users/{id_of(caller)}", method="PATCH", json={"suspended": True, "reason": "Abuse"}
    )
    assert answer.status_code == 200
    assert entries() == [
        ("admin_key", None, "user.suspend", f"user:{id_of(caller)}", {"suspended": False}, {"suspended": True}, "Abuse")
    ]


def test_without_an_admin_key_no_key_is_right(client: FlaskClient) -> None:
    with mock.patch("web.admin.doors.settings", return_value=settings().model_copy(update={"admin_api_key": None})):
        for key in ("", "None", KEY):
            assert code_of(by_key(client, "/v1/admin/users", key=key)) == STRANGER


def test_accounts_are_found_by_how_the_address_begins_or_by_id(client: FlaskClient, admin: Caller) -> None:
    people = [join(client, f"{name}@example.com") for name in ("ann", "anna", "bob", "a_b", "a%b")]
    ann = people[0]
    assert found(admin.get("/v1/admin/users?search=ANN")) == ["anna@example.com", "ann@example.com"]
    assert found(admin.get("/v1/admin/users?search=ann@")) == ["ann@example.com"]
    assert found(admin.get("/v1/admin/users?search=a_")) == ["a_b@example.com"], "no pattern"
    assert found(admin.get("/v1/admin/users?search=a%25")) == ["a%b@example.com"]
    assert found(admin.get("/v1/admin/users?search=nn")) == []
    assert found(admin.get(f"/v1/admin/users?search={id_of(ann)}")) == ["ann@example.com"]
    assert found(admin.get(f"/v1/admin/users?search={uuid4()}")) == []
    seen: list[str | None] = []
    path = "/v1/admin/users?limit=2"
    while path:
        page = admin.get(path)
        seen += found(page)
        path = f"/v1/admin/users?limit=2&after={(page.json or {})['next']}" if (page.json or {})["next"] else ""
    assert seen == [*(person.email for person in reversed(people)), "root@example.com"]
    for bad in ("limit=0", "limit=101", "after=x", "search=", "what=1"):
        assert admin.get(f"/v1/admin/users?{bad}").status_code == 422


def test_an_account_is_shown_with_its_credits_plan_sessions_and_jobs(client: FlaskClient, admin: Caller) -> None:
    sell(
        signup_grants=[{"wallet": "credits", "amount": 100}], signup={"plan": "free"},
        plans={"free": {"title": "Free", "rank": 0}},
    )  # fmt: skip
    caller = join(client)
    made = [caller.submit() for _ in range(3)]
    caller.post(f"/v1/jobs/{(made[0].json or {})['id']}/cancel")
    with sessions() as session:
        old = update(Job).where(Job.id == UUID((made[1].json or {})["id"]))
        session.execute(old.values(created_at=now(-31 * 86_400)))
    seen: dict[str, Any] = admin.get(f"/v1/admin/users/{id_of(caller)}").json or {}
    assert (seen["id"], seen["email"], seen["role"], seen["suspended_at"]) == (str(id_of(caller)), ANN, "user", None)
    assert seen["wallets"]["credits"] == {"available": 90, "held": 10, "debt": 0}
    assert (seen["plan"]["name"], seen["plan"]["origin"], seen["plan"]["ends_at"]) == ("free", "signup", None)
    assert seen["jobs"] == {"canceled": 1, "queued": 1}
    [login] = seen["sessions"]
    assert login["address"] == "127.0.0.1"
    assert not {"password_hash", "current"} & {*seen, *login}
    assert code_of(admin.get(f"/v1/admin/users/{uuid4()}")) == (404, "not_found")


def test_a_suspended_account_is_out_everywhere_until_it_is_restored(client: FlaskClient, admin: Caller) -> None:
    caller = verified(client)
    key = caller.post("/v1/api-keys", {"name": "x", "scopes": ["jobs:read"]}).json or {}
    as_key = {"Authorization": f"Bearer {key['key']}"}
    assert client.get("/v1/jobs", headers=as_key).status_code == 200
    seen: dict[str, Any] = patch(admin, caller, suspended=True).json or {}
    assert seen["suspended_at"] is not None
    assert code_of(caller.get("/v1/jobs")) == STRANGER
    assert code_of(client.get("/v1/jobs", headers=as_key)) == STRANGER
    assert refresh(client, caller.tokens["refresh_token"]).status_code == 401
    assert code_of(log_in(client)) == SUSPENDED
    assert (patch(admin, caller, suspended=False).json or {})["suspended_at"] is None
    assert code_of(caller.get("/v1/jobs")) == STRANGER, "what was ended stays ended"
    assert client.get("/v1/jobs", headers=as_key).status_code == 200
    assert log_in(client).status_code == 200
    target = f"user:{id_of(caller)}"
    no, yes = {"suspended": False}, {"suspended": True}
    assert entries() == [
        ("admin", id_of(admin), "user.suspend", target, no, yes, "Ticket 7"),
        ("admin", id_of(admin), "user.restore", target, yes, no, "Ticket 7"),
    ]


def test_what_is_so_already_is_no_change_and_no_entry(client: FlaskClient, admin: Caller) -> None:
    caller = join(client)
    assert patch(admin, caller, suspended=False, role="user").status_code == 200
    assert entries() == []
    assert caller.get("/v1/me").status_code == 200
    assert patch(admin, caller, role="support", suspended=True).status_code == 200
    assert [(each[2], each[4], each[5]) for each in entries()] == [
        ("user.role", {"role": "user"}, {"role": "support"}),
        ("user.suspend", {"suspended": False}, {"suspended": True}),
    ]
    first = user_of(caller).suspended_at
    assert patch(admin, caller, suspended=True).status_code == 200
    assert (user_of(caller).suspended_at, len(entries())) == (first, 2)


def test_a_change_needs_a_reason_and_a_change(client: FlaskClient, admin: Caller) -> None:
    caller = join(client)
    path = f"/v1/admin/users/{id_of(caller)}"
    for body, field in (
        ({"suspended": True}, "reason"),
        ({"suspended": True, "reason": " "}, "reason"),
        ({"suspended": True, "reason": "x" * 501}, "reason"),
        ({"reason": "x"}, "body"),
        ({"reason": "x", "role": "owner"}, "role"),
        ({"reason": "x", "suspended": "yes"}, "suspended"),
        ({"reason": "x", "email": "mallory@example.com"}, "email"),
    ):
        answer = client.patch(path, json=body, headers=admin.headers)
        assert (answer.status_code, [each["field"] for each in (answer.json or {})["errors"]]) == (422, [field]), body
    assert entries() == []
    answer = client.patch(f"/v1/admin/users/{uuid4()}", json={"reason": "x", "suspended": True}, headers=admin.headers)
    assert code_of(answer) == (404, "not_found")


def test_nobody_decides_about_themselves_and_somebody_stays_an_admin(client: FlaskClient, admin: Caller) -> None:
    other = having(join(client, "eve@example.com"), Role.admin)
    for body in ({"role": "user"}, {"suspended": True}):
        assert code_of(patch(admin, admin, **body)) == OWN
    assert patch(admin, other, role="support").status_code == 200
    key = {"method": "PATCH"}
    for body in ({"role": "user"}, {"suspended": True}):
        answer = by_key(client, f"/v1/admin/users/{id_of(admin)}", json={**body, "reason": "x"}, **key)
        assert code_of(answer) == LAST
    gone = client.delete("/v1/me", json={"password": "correct horse battery"}, headers=admin.headers)
    assert code_of(gone) == LAST
    assert (user_of(admin).role, user_of(admin).suspended_at, user_of(admin).closing_at) == (Role.admin, None, None)
    assert len(entries()) == 1
    # One who cannot act is no admin to count on.
    change(other, role=Role.admin, suspended_at=now())
    answer = by_key(client, f"/v1/admin/users/{id_of(admin)}", json={"role": "user", "reason": "x"}, **key)
    assert code_of(answer) == LAST
    change(other, suspended_at=None)
    answer = by_key(client, f"/v1/admin/users/{id_of(admin)}", json={"role": "user", "reason": "x"}, **key)
    assert answer.status_code == 200


def test_of_two_admins_who_remove_each_other_one_stays(arena: str, new_user: Callable[..., tuple[UUID, int]]) -> None:
    ids = [new_user()[0] for _ in range(2)]
    for _ in range(5):
        with sessions() as session:
            session.execute(update(User).where(User.id.in_(ids)).values(role=Role.admin))
        results = race(
            *(
                lambda session, actor=actor, whom=whom: (
                    administration.change(session, by=By(Actor.admin, actor), user_id=whom, role=Role.user).role
                )
                for actor, whom in (ids, ids[::-1])
            )
        )
        assert tally(results) == {"user": 1, LastAdmin.__name__: 1}
        with sessions() as session:
            assert len(session.scalars(select(User.id).where(User.role == Role.admin)).all()) == 1


def test_an_account_that_is_closing_is_left_alone(client: FlaskClient, admin: Caller) -> None:
    caller = join(client)
    change(caller, closing_at=now())
    assert code_of(patch(admin, caller, role="admin")) == (409, "account_closing")
    assert entries() == []


def test_the_log_is_read_by_target_and_by_who_acted(client: FlaskClient, admin: Caller) -> None:
    people = [join(client, f"{name}@example.com") for name in ("ann", "bob", "cia")]
    for person in people:
        patch(admin, person, role="support")
    by_key(client, f"/v1/admin/users/{id_of(people[0])}", method="PATCH", json={"role": "user", "reason": "Done"})

    def read(query: str) -> list[tuple[str, str]]:
        answer = admin.get(f"/v1/admin/audit-log?{query}")
        assert answer.status_code == 200
        return [(each["actor"], each["target"]) for each in (answer.json or {})["entries"]]

    a, b, c = (f"user:{id_of(person)}" for person in people)
    everything = [("admin_key", a), ("admin", c), ("admin", b), ("admin", a)]
    assert read("") == everything
    assert read(f"target={a}") == [("admin_key", a), ("admin", a)]
    assert read("actor=admin_key") == [("admin_key", a)]
    assert read(f"actor_id={id_of(admin)}&target={b}") == [("admin", b)]
    assert read(f"actor_id={uuid4()}") == []
    page: dict[str, Any] = admin.get("/v1/admin/audit-log?limit=3").json or {}
    assert read(f"limit=3&after={page['next']}") == everything[3:]
    newest = page["entries"][0]
    assert (newest["verb"], newest["before"], newest["after"]) == ("user.role", {"role": "support"}, {"role": "user"})
    assert (newest["reason"], newest["object"]) == ("Done", "audit_entry")
    answer = client.patch(
        f"/v1/admin/users/{id_of(people[1])}",
        json={"role": "user", "reason": "x"},
        headers={**admin.headers, "X-Request-Id": "ticket-8"},
    )
    assert answer.status_code == 200
    assert (admin.get("/v1/admin/audit-log?limit=1").json or {})["entries"][0]["request_id"] == "ticket-8"
    for bad in ("actor=me", "actor_id=x", "limit=0", "what=1"):
        assert admin.get(f"/v1/admin/audit-log?{bad}").status_code == 422


def test_a_change_that_fails_is_not_in_the_log_and_one_that_cannot_be_logged_is_none(
    client: FlaskClient, admin: Caller
) -> None:
    caller = join(client)
    with mock.patch("models.administration.logins.end_all", side_effect=LastAdmin("no")):
        assert code_of(patch(admin, caller, suspended=True)) == LAST
    assert (entries(), user_of(caller).suspended_at) == ([], None)
    with mock.patch("models.administration.audit_log.record", side_effect=LastAdmin("no")):
        assert code_of(patch(admin, caller, suspended=True)) == LAST
    assert (entries(), user_of(caller).suspended_at) == ([], None)


def test_the_log_is_never_rewritten(client: FlaskClient, admin: Caller) -> None:
    patch(admin, join(client), suspended=True)
    before = entries()
    statements = ["UPDATE audit_log SET reason = 'no reason'", "DELETE FROM audit_log"]
    with sessions() as session:
        statements += ["TRUNCATE audit_log"] if is_postgresql(session) else []
    for statement in statements:
        with pytest.raises(DBAPIError, match="the audit log is append-only"), sessions() as session:
            session.execute(text(statement))
    assert entries() == before


def test_commands_give_roles_suspend_and_restore(app: Flask, client: FlaskClient) -> None:
    def flask(*arguments: str) -> Result:
        ended: Result = app.test_cli_runner().invoke(args=["users", *arguments])
        return ended

    join(client, password="of a stranger, who was here first")
    unproved = flask("role", ANN, "admin")
    assert unproved.exit_code == 1
    assert "is not verified" in unproved.output
    assert entries() == []
    caller = verified(client)
    for arguments, said in (
        (("role", ANN, "admin", "--reason", "Runs this"), "has the role admin"),
        (("role", "Ann@Example.com", "admin"), "has the role admin"),
    ):
        ended = flask(*arguments)
        assert ended.exit_code == 0
        assert said in ended.output
    assert user_of(caller).role is Role.admin
    last = flask("suspend", ANN)
    assert (last.exit_code, "last admin" in last.output, "Nothing was changed" in last.output) == (1, True, True)
    change(caller, role=Role.user)
    assert flask("suspend", ANN, "--reason", "Abuse").exit_code == 0
    assert code_of(log_in(client)) == SUSPENDED
    assert flask("restore", ANN).exit_code == 0
    assert log_in(client).status_code == 200
    assert flask("suspend", "nobody@example.com").exit_code == 1
    assert flask("role", ANN, "owner").exit_code == 2
    target = f"user:{id_of(caller)}"
    no, yes = {"suspended": False}, {"suspended": True}
    assert entries() == [
        ("command", None, "user.role", target, {"role": "user"}, {"role": "admin"}, "Runs this"),
        ("command", None, "user.suspend", target, no, yes, "Abuse"),
        ("command", None, "user.restore", target, yes, no, None),
    ]
