"""Anybody's jobs: found by what is known of them, looked into, called, stopped and given back; to the credit."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from models import jobs, ledger
from models.audit import audit
from models.database import moment, now, sessions
from models.jobs import Effort, Job
from models.ledger import Lot, Source
from models.outbox import Outbox
from tests.accounts.people import change, code_of, id_of, join
from tests.admin.house import NO_ROLE, STRANGER, ask, by_key, entries
from tests.admin.test_adjustments import give, moves
from tests.audits import prove
from tests.http.conftest import Caller
from tests.http.offers import CORNER_SHOP, sell
from tests.jobs.work import once

WHY = "Ticket 7"
EFFORT = Effort("openai", "gpt-x", "req_1", {"input_tokens": 3}, 1500)


@pytest.fixture(autouse=True)
def _sold(client: FlaskClient) -> None:
    hello = {"title": "Hello", "kind": "image", "wallet": "credits", "price": {"amount": 2}}
    sell(signup_grants=[], actions={**CORNER_SHOP["actions"], "hello": hello})


@pytest.fixture
def ann(client: FlaskClient) -> Caller:
    caller = join(client)
    give(caller, 12)
    give(caller, 3, Source.promo)
    return caller


def submit(who: Caller, action: str = "chat") -> UUID:
    answer = who.post("/v1/jobs", {"action": action, "input": {"prompt": "a secret of hers"}})
    assert answer.status_code == 202, answer.json
    return UUID((answer.json or {})["id"])


def run(job_id: UUID) -> None:
    claim = once(jobs.claim, job_id, lease_seconds=30)
    assert claim is not None
    out = [{"type": "text", "text": "a secret for her"}]
    once(jobs.complete, claim, outputs=out, usage={}, delivered_percent=100, effort=EFFORT)


def fail(job_id: UUID, code: str = "provider_refused") -> None:
    claim = once(jobs.claim, job_id, lease_seconds=30)
    assert claim is not None
    once(jobs.fail, claim, code=code, message="No.", effort=EFFORT)


def repair(who: Caller, job_id: UUID, verb: str, **more: Any) -> TestResponse:
    return ask(who, "POST", f"/jobs/{job_id}/{verb}", {"reason": WHY, **more})


def row(job_id: UUID) -> Job:
    with sessions() as session:
        return session.execute(select(Job).where(Job.id == job_id)).scalar_one()


def wake_ups(job_id: UUID) -> int:
    with sessions() as session:
        return sum(str(job_id) in str(each.args) for each in session.scalars(select(Outbox)))


def test_jobs_are_found_by_what_is_known_of_them(client: FlaskClient, support: Caller, ann: Caller) -> None:
    bob = join(client, "bob@example.com")
    give(bob, 20)
    done, failed, texts, of_bob = submit(ann), submit(ann), submit(ann, "hello"), submit(bob)
    run(done)
    fail(failed)
    with sessions() as session:
        session.execute(update(Job).where(Job.id == done).values(created_at=now(-3600)))
        hour, minute = (moment(session, plus=-seconds).isoformat() for seconds in (3601, 60))

    def found(query: str) -> list[UUID]:
        answer = ask(support, "GET", f"/jobs?{query.replace('+', '%2B')}")
        assert answer.status_code == 200, answer.json
        assert "secret" not in answer.text
        return [UUID(each["id"]) for each in (answer.json or {})["jobs"]]

    assert found("") == [of_bob, texts, failed, done]
    assert found("status=completed") == [done]
    assert found("status=queued") == [of_bob, texts]
    assert found("action=hello") == [texts] == found("kind=image")
    assert found(f"user_id={id_of(bob)}") == [of_bob]
    assert found("error_code=provider_refused") == [failed]
    assert found(f"from={hour}&until={minute}") == [done]
    assert found(f"from={minute}") == [of_bob, texts, failed]
    assert found(f"status=failed&user_id={id_of(bob)}") == []
    page: dict[str, Any] = ask(support, "GET", "/jobs?limit=3").json or {}
    assert found(f"limit=3&after={page['next']}") == [done]
    assert (ask(support, "GET", f"/jobs?limit=1&after={page['next']}").json or {})["next"] is None
    for bad in ("limit=0", "limit=101", "after=x", "status=done", "kind=x", "from=today", "what=1"):
        assert ask(support, "GET", f"/jobs?{bad}").status_code == 422


def test_a_job_is_shown_with_its_attempts_and_transfers(support: Caller, ann: Caller) -> None:
    job_id = submit(ann)
    claim = once(jobs.claim, job_id, lease_seconds=30)
    assert claim is not None
    once(jobs.retry, claim, code="provider_error", message="Later.", base_seconds=0, effort=EFFORT)
    with sessions() as session:
        session.execute(update(Job).values(run_after=now(-1)))
    run(job_id)
    answer = ask(support, "GET", f"/jobs/{job_id}")
    seen: dict[str, Any] = answer.json or {}
    assert "secret" not in answer.text
    assert (seen["status"], seen["held"], seen["charged"], seen["given_back"]) == ("completed", 5, 5, 0)
    assert [
        (each["number"], each["ending"], each["error_code"], each["provider"], each["model"], each["usage"],
         each["cost_micros"], each["provider_request_id"])
        for each in seen["attempts"]
    ] == [
        (1, "requeued", "provider_error", "openai", "gpt-x", {"input_tokens": 3}, 1500, "req_1"),
        (2, "completed", None, "openai", "gpt-x", {"input_tokens": 3}, 1500, "req_1"),
    ]  # fmt: skip
    assert all(each["seconds"] >= 0 for each in seen["attempts"])
    assert [(each["reason"], each["source"], each["target"], each["amount"]) for each in seen["transfers"]] == [
        ("hold", "available", "held", 3), ("hold", "available", "held", 2),
        ("settle", "held", "spent", 3), ("settle", "held", "spent", 2),
    ]  # fmt: skip
    assert code_of(ask(support, "GET", f"/jobs/{uuid4()}")) == (404, "not_found")


def test_a_job_that_waits_is_called_and_one_that_has_ended_stays_so(admin: Caller, ann: Caller) -> None:
    job_id = submit(ann)
    with sessions() as session:
        session.execute(update(Job).values(run_after=now(3600), waits_for="openai"))
    assert once(jobs.claim, job_id, lease_seconds=30) is None
    before, moved = wake_ups(job_id), moves(ann)
    answer = repair(admin, job_id, "retry")
    assert (answer.status_code, (answer.json or {})["waits_for"]) == (200, None)
    assert wake_ups(job_id) == before + 1
    [entry] = entries()
    assert (entry["verb"], entry["target"], entry["reason"]) == ("job.retry", f"job:{job_id}", WHY)
    assert (entry["before"]["waits_for"], entry["after"]["waits_for"]) == ("openai", None)
    assert entry["before"]["run_after"] > entry["after"]["run_after"]
    claim = once(jobs.claim, job_id, lease_seconds=30)
    assert claim is not None
    refused = repair(admin, job_id, "retry")
    assert (code_of(refused), (refused.json or {})["job_status"]) == ((409, "not_waiting"), "running")
    once(jobs.fail, claim, code="provider_refused", message="No.")
    moved = moves(ann)
    refused = repair(admin, job_id, "retry")
    assert (code_of(refused), (refused.json or {})["job_status"]) == ((409, "not_waiting"), "failed")
    assert (row(job_id).status, moves(ann), len(entries())) == ("failed", moved, 1)
    assert code_of(repair(admin, uuid4(), "retry")) == (404, "not_found")


def test_a_job_is_canceled_as_its_user_could(admin: Caller, ann: Caller) -> None:
    waiting, running, done = submit(ann), submit(ann), submit(ann)
    claim = once(jobs.claim, running, lease_seconds=30)
    run(done)
    assert claim is not None
    answer = repair(admin, waiting, "cancel")
    assert (answer.status_code, (answer.json or {})["status"], (answer.json or {})["refunded"]) == (200, "canceled", 5)
    for _ in range(2):
        answer = repair(admin, running, "cancel")
        assert (answer.status_code, (answer.json or {})["status"]) == (202, "canceling")
    once(jobs.cancel, claim, provider_began=False)
    assert repair(admin, running, "cancel").status_code == 200
    assert code_of(repair(admin, done, "cancel")) == (409, "not_cancelable")
    assert ann.balance() == {"available": 10, "held": 0, "debt": 0}
    assert [(each["verb"], each["target"], each["before"], each["after"], each["reason"]) for each in entries()] == [
        ("job.cancel", f"job:{waiting}", {"status": "queued"}, {"status": "canceled"}, WHY),
        ("job.cancel", f"job:{running}", {"status": "running"}, {"status": "canceling"}, WHY),
    ]
    prove(audit)


def test_a_charge_is_given_back_once(admin: Caller, support: Caller, ann: Caller) -> None:
    job_id = submit(ann)
    assert code_of(repair(admin, job_id, "refund")) == (409, "not_refundable")
    run(job_id)
    before = moves(ann)
    for amount in (6, 0):
        assert repair(admin, job_id, "refund", amount=amount).status_code == 422
    first, again = repair(admin, job_id, "refund"), repair(admin, job_id, "refund", amount=5)
    assert (first.status_code, again.status_code, first.json == again.json) == (200, 200, True)
    assert (first.headers.get("Idempotency-Replayed"), again.headers["Idempotency-Replayed"]) == (None, "true")
    assert first.json == {
        "object": "job_refund", "job_id": str(job_id), "user_id": str(id_of(ann)), "wallet": "credits", "amount": 5,
        "charged": 5,
    }  # fmt: skip
    refused = repair(admin, job_id, "refund", amount=4)
    assert (code_of(refused), (refused.json or {})["given_back"]) == ((409, "not_refundable"), 5)
    assert moves(ann)[len(before) :] == [("grant", "issued", "available", 5, 15)]
    job = row(job_id)
    assert (job.status, job.charged, job.refunded) == ("completed", 5, 0)
    assert (ask(support, "GET", f"/jobs/{job_id}").json or {})["given_back"] == 5
    shown: dict[str, Any] = ann.get("/v1/transactions?limit=1").json or {}
    [newest] = shown["transactions"]
    assert (newest["description"], newest["amount"], newest["source"], newest["metadata"]) == (
        "Refund", 5, "admin", {"job_id": str(job_id)},
    )  # fmt: skip
    [entry] = entries()
    assert entry == {
        "actor": "admin", "actor_id": id_of(admin), "verb": "job.refund", "target": f"job:{job_id}",
        "before": {"given_back": 0}, "after": {"given_back": 5, "wallet": "credits", "charged": 5}, "reason": WHY,
    }  # fmt: skip
    prove(audit)


def test_what_is_given_back_pays_debt_first(admin: Caller, ann: Caller) -> None:
    job_id = submit(ann)
    run(job_id)
    with sessions() as session:
        bought = session.scalars(select(Lot.id).where(Lot.source == Source.purchase)).one()
    once(ledger.clawback, lot_id=bought, amount=12, ref="refund:1")
    assert ann.balance() == {"available": 0, "held": 0, "debt": 2}
    before = moves(ann)
    assert repair(admin, job_id, "refund", amount=4).status_code == 200
    assert moves(ann)[len(before) :] == [
        ("grant", "issued", "available", 4, 4), ("clawback", "available", "clawed_back", 2, 2),
    ]  # fmt: skip
    prove(audit)


def test_only_admins_and_the_key_repair(client: FlaskClient, admin: Caller, support: Caller, ann: Caller) -> None:
    job_id = submit(ann)
    for verb in ("retry", "cancel", "refund"):
        for who in (ann, support):
            assert code_of(repair(who, job_id, verb)) == NO_ROLE
        path = f"/v1/admin/jobs/{job_id}/{verb}"
        assert code_of(client.post(path, json={"reason": WHY})) == STRANGER
        assert ask(admin, "POST", f"/jobs/{job_id}/{verb}", {}).status_code == 422, "a reason is needed"
    for path in ("/jobs", f"/jobs/{job_id}"):
        assert code_of(ask(ann, "GET", path)) == NO_ROLE
        assert by_key(client, "GET", path).status_code == 200
    assert (row(job_id).status, entries()) == ("queued", [])
    run(job_id)
    for _ in range(2):
        assert by_key(client, "POST", f"/jobs/{job_id}/refund", {"reason": WHY}).status_code == 200
    assert [(each["actor"], each["verb"]) for each in entries()] == [("admin_key", "job.refund")]
    give(admin, 5)
    own = submit(admin)
    run(own)
    assert code_of(repair(admin, own, "refund")) == (403, "own_account")
    later = submit(ann)
    run(later)
    change(ann, closing_at=now())
    assert code_of(repair(admin, later, "refund")) == (409, "account_closing")


def test_commands_do_the_same(app: Flask, ann: Caller) -> None:
    def flask(*arguments: str) -> tuple[int, str]:
        ended = app.test_cli_runner().invoke(args=["jobs", *arguments])
        return ended.exit_code, ended.output

    done, failed, waiting = submit(ann), submit(ann), submit(ann)
    run(done)
    fail(failed)
    code, said = flask("list", "--user", ann.email, "--error", "provider_refused")
    assert (code, said.count("\n"), str(failed) in said) == (0, 1, True)
    assert f"--after {waiting}" in flask("list", "--limit", "1")[1]
    assert flask("retry", str(waiting), "--reason", WHY)[0] == 0
    assert flask("cancel", str(waiting), "--reason", WHY) == (0, f"{waiting} is canceled.\n")
    assert flask("refund", str(done), "--amount", "2", "--reason", WHY) == (0, "2 credits are given back.\n")
    assert flask("refund", str(done), "--amount", "2", "--reason", WHY)[1] == "2 credits were given back before.\n"
    code, said = flask("show", str(done))
    assert (code, "charged 5" in said, "2 given back" in said, "completed, openai gpt-x" in said) == (0, *[True] * 3)
    code, said = flask("retry", str(failed), "--reason", WHY)
    assert (code, "has ended" in said, "Nothing was changed" in said) == (1, True, True)
    assert flask("cancel", str(done))[0] == 2, "a reason is needed"
    assert [(each["actor"], each["verb"]) for each in entries()] == [
        ("command", "job.retry"), ("command", "job.cancel"), ("command", "job.refund"),
    ]  # fmt: skip


def test_times_of_the_filters_are_moments(support: Caller, ann: Caller) -> None:
    job_id = submit(ann)
    at = row(job_id).created_at
    for since, until, found in ((at, at, 0), (at, at + timedelta(microseconds=1), 1)):
        query = f"from={since.isoformat()}&until={until.isoformat()}".replace("+", "%2B")
        assert len((ask(support, "GET", f"/jobs?{query}").json or {})["jobs"]) == found
