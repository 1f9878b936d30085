"""E-mails: what has become of them, without what they say; and one sent again."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from models import emails
from models.database import sessions
from models.emails import Email, EmailState
from models.outbox import Outbox
from tests.accounts.people import code_of, id_of, join
from tests.admin.house import NO_ROLE, STRANGER, ask, by_key, entries
from tests.http.conftest import Caller
from tests.jobs.work import once

WHY = {"reason": "Ticket 7"}


def staged(caller: Caller, template: str = "password_changed", **more: Any) -> UUID:
    key = uuid4().hex
    with sessions() as session:
        assert emails.stage(session, key=key, template=template, user_id=id_of(caller), **more)
        return session.execute(select(Email.id).where(Email.key == key)).scalar_one()


def ended(email_id: UUID, how: EmailState) -> None:
    claim = once(emails.claim, email_id, lease_seconds=30)
    assert claim is not None
    if how is EmailState.sent:
        assert once(emails.sent, claim)
    else:
        assert once(emails.refuse, claim, trouble="550 no")


def email(email_id: UUID) -> Email:
    with sessions() as session:
        return session.execute(select(Email).where(Email.id == email_id)).scalar_one()


def wake_ups(email_id: UUID) -> int:
    with sessions() as session:
        return sum(str(email_id) in str(each.args) for each in session.scalars(select(Outbox)))


def test_e_mails_are_found_and_say_nothing(client: FlaskClient, support: Caller) -> None:
    ann, bob = join(client), join(client, "bob@example.com")
    first = staged(ann, "refund", price={"amount": 4711, "currency": "EUR"}, reference="a secret")
    second, third = staged(ann), staged(bob)
    ended(first, EmailState.refused)

    def found(query: str) -> list[str]:
        answer = ask(support, "GET", f"/emails?{query}")
        assert answer.status_code == 200, answer.json
        assert "secret" not in answer.text
        assert "@" not in answer.text
        return [each["id"] for each in (answer.json or {})["emails"]]

    assert found(f"user_id={id_of(ann)}&template=password_changed") == [str(second)]
    assert found("state=refused") == [str(first)]
    assert found("template=password_changed") == [str(third), str(second)]
    page: dict[str, Any] = ask(support, "GET", "/emails?template=password_changed&limit=1").json or {}
    assert found(f"template=password_changed&limit=1&after={page['next']}") == [str(second)]
    for bad in ("limit=0", "state=lost", "template=x", "after=x", "what=1"):
        assert ask(support, "GET", f"/emails?{bad}").status_code == 422


def test_one_that_was_refused_is_tried_again_and_one_that_was_sent_only_if_told_to(
    client: FlaskClient, admin: Caller
) -> None:
    ann = join(client)
    refused, sent = staged(ann), staged(ann)
    ended(refused, EmailState.refused)
    ended(sent, EmailState.sent)
    before = wake_ups(refused), wake_ups(sent)
    answer = ask(admin, "POST", f"/emails/{refused}/replay", WHY)
    assert (answer.status_code, (answer.json or {})["state"], (answer.json or {})["trouble"]) == (202, "queued", None)
    unwanted = ask(admin, "POST", f"/emails/{sent}/replay", WHY)
    assert (code_of(unwanted), (unwanted.json or {})["state"]) == ((409, "not_sendable"), "sent")
    assert email(sent).state is EmailState.sent
    assert ask(admin, "POST", f"/emails/{sent}/replay?again=true", WHY).status_code == 202
    assert (wake_ups(refused), wake_ups(sent)) == (before[0] + 1, before[1] + 1)
    for each in (refused, sent):
        claim = once(emails.claim, each, lease_seconds=30)
        assert claim is not None
        assert claim.attempt == 2, "no earlier attempt is taken for this one"
        assert once(emails.write, claim) is not None
        assert once(emails.sent, claim)
    assert [(each["target"], each["before"], each["after"]) for each in entries()] == [
        (
            f"email:{refused}", {"state": "refused", "attempts": 1, "trouble": "550 no"},
            {"state": "queued", "attempts": 1},
        ),
        (f"email:{sent}", {"state": "sent", "attempts": 1, "trouble": None}, {"state": "queued", "attempts": 1}),
    ]  # fmt: skip


def test_what_went_to_an_address_that_is_forgotten_goes_nowhere(client: FlaskClient, admin: Caller) -> None:
    key = uuid4().hex
    with sessions() as session:
        assert emails.stage(session, key=key, template="already_registered", recipient="eve@example.com")
        email_id = session.execute(select(Email.id).where(Email.key == key)).scalar_one()
    ended(email_id, EmailState.refused)
    assert code_of(ask(admin, "POST", f"/emails/{email_id}/replay", WHY)) == (409, "not_sendable")
    assert (email(email_id).state, entries()) == (EmailState.refused, [])


def test_only_admins_and_the_key_replay(client: FlaskClient, admin: Caller, support: Caller) -> None:
    ann = join(client)
    email_id = staged(ann)
    ended(email_id, EmailState.refused)
    path = f"/emails/{email_id}/replay"
    for who in (ann, support):
        assert code_of(ask(who, "POST", path, WHY)) == NO_ROLE
    assert code_of(ask(ann, "GET", "/emails")) == NO_ROLE
    assert code_of(client.post(f"/v1/admin{path}", json=WHY)) == STRANGER
    assert ask(admin, "POST", path, {}).status_code == 422
    assert code_of(ask(admin, "POST", f"/emails/{uuid4()}/replay", WHY)) == (404, "not_found")
    assert (email(email_id).state, entries()) == (EmailState.refused, [])
    assert by_key(client, "POST", path, WHY).status_code == 202
    assert [(each["actor"], each["verb"]) for each in entries()] == [("admin_key", "email.replay")]


def test_commands_do_the_same(app: Flask, client: FlaskClient) -> None:
    def flask(*arguments: str) -> tuple[int, str]:
        ran = app.test_cli_runner().invoke(args=["emails", *arguments])
        return ran.exit_code, ran.output

    ann = join(client)
    email_id = staged(ann)
    ended(email_id, EmailState.sent)
    code, said = flask("list", "--user", ann.email, "--state", "sent", "--template", "password_changed")
    assert (code, said.count("\n"), str(email_id) in said) == (0, 1, True)
    assert flask("replay", str(email_id), "--reason", "Again")[0] == 1
    assert flask("replay", str(email_id), "--again", "--reason", "Again")[0] == 0
    assert [(each["actor"], each["target"]) for each in entries()] == [("command", f"email:{email_id}")]
