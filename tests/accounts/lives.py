"""Users who did everything one can do, so that there is a row of theirs in every table that knows of users."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

from flask.testing import FlaskClient
from sqlalchemy import insert, select

from config import settings
from models import emails, jobs, ledger, one_time_tokens, uploads
from models.database import at_once, now, sessions
from models.ledger import Lot
from models.notices import Notice
from models.one_time_tokens import Purpose
from models.payments import checkouts
from models.payments.facts import SubscriptionStatus
from models.saved_replies import SavedReply
from models.uploads import Upload
from tests.accounts.people import id_of, join, log_in
from tests.http.conftest import Caller
from tests.http.offers import sell
from tests.jobs.work import once
from tests.payments import till
from worker.storage import storage

PICTURE = b"\x89PNG of mine"
PRODUCT: dict[str, Any] = {
    "plans": {
        "few": {
            "title": "Few", "rank": 1, "limits": {"companions": 3},
            "allowances": [{"wallet": "tips", "amount": 7, "period": "cycle"}],
        },
        "basic": {**till.PLANS["basic"], "limits": {"companions": 3}},
    },
    "packs": {"quick": till.PACKS["quick"]},
    "signup_grants": [{"wallet": "credits", "amount": 100}],
    "signup": {"plan": "few"},
    "referral": {"wallet": "credits", "referrer": 30, "referred": 10, "on": "verification"},
    "promotions": {"WELCOME": {"title": "Welcome", "credits": {"tips": 3}}},
    "actions": {
        "chat": {"title": "Chat", "kind": "chat", "wallet": "credits", "price": {"form": "fixed", "amount": 5}},
        "tip": {"title": "Tip", "kind": "spend", "wallet": "credits", "price": {"form": "fixed", "amount": 2}},
    },
}  # fmt: skip


def shop() -> None:
    sell(**PRODUCT)


def run(job_id: UUID, *outputs: dict[str, Any]) -> None:
    """Let a job be done, as a worker does it."""
    with at_once() as session:
        claim = jobs.claim(session, job_id, lease_seconds=30)
    assert claim is not None
    with sessions() as session:
        jobs.complete(session, claim, outputs=list(outputs), usage={"tokens": 3}, delivered_percent=100)


def live(caller: Caller, client: FlaskClient, *, word: str) -> UUID:
    """Leave something everywhere, with `word` wherever a user says something; gives the id of the job that was done."""
    user_id = id_of(caller)
    client.patch("/v1/me", json={"name": f"{word} Ångström"}, headers=caller.headers)
    log_in(client, caller.email)
    key = caller.post("/v1/api-keys", {"name": f"key of {word}", "scopes": ["jobs:read"]}).json or {}
    assert client.get("/v1/jobs", headers={"Authorization": f"Bearer {key['key']}"}).status_code == 200
    job_id = UUID((caller.submit(f"prompt of {word}", key=f"job-{word}").json or {})["id"])
    storage().put(f"{job_id}/1/0", PICTURE)
    run(
        job_id,
        {"type": "file", "media_type": "image/png", "size": 9, "sha256": "0" * 64, "key": f"{job_id}/1/0"},
        {"type": "text", "text": f"answer to {word}"},
    )
    spent = caller.post(
        "/v1/spends", {"action": "tip", "input": {"reference": "item-7"}}, **{"Idempotency-Key": f"spend-{word}"}
    )
    assert spent.status_code == 201, spent.json
    assert caller.post("/v1/redemptions", {"code": "welcome"}).status_code == 201
    join(client, f"friend-of-{user_id}@example.com", referral_code=(caller.get("/v1/referrals").json or {})["code"])
    item = f"/v1/entitlements/companions/item-{word}"
    assert client.put(item, headers=caller.headers).status_code == 201
    storage().put(uploads.key_of(user_id, user_id), PICTURE)
    with sessions() as session:
        session.execute(
            insert(SavedReply).values(user_id=user_id, job_id=job_id, output=1, suggestion=0, text=f"reply {word}")
        )
        session.execute(
            insert(Notice).values(
                user_id=user_id, topic="credits_expiring", ref=f"test:{user_id}", details={"word": word}
            )
        )
        session.execute(
            insert(Upload).values(
                id=uuid4(), user_id=user_id, media_type="image/png", size=5, width=1, height=1, sha256=user_id.hex * 2,
                key=uploads.key_of(user_id, user_id), expires_at=now(60),
            )
        )  # fmt: skip
        one_time_tokens.issue(
            session, user_id=user_id, purpose=Purpose.change_email, email=f"{word.lower()}@elsewhere.example"
        )
        emails.stage(
            session, key=f"test:{user_id}", template="confirm_new_address", user_id=user_id,
            recipient=f"{word.lower()}@elsewhere.example", word=word,
        )  # fmt: skip
        lot = session.scalars(select(Lot.id).where(Lot.ref == f"signup:{user_id}:0")).one()
        ledger.clawback(session, lot_id=lot, amount=1, ref=f"refund:{user_id}")
    pay(caller, user_id, word=word)
    assert settings().storage_url.startswith("file://")
    return job_id


def pay(caller: Caller, user_id: UUID, *, word: str) -> None:
    """Buy a pack and a plan, have some of it paid back and some disputed, end the plan, and ask for more."""
    once(checkouts.keep_customer, user_id=user_id, gateway_id=f"cus_{user_id.hex}")
    bought = caller.post("/v1/payment-intents", {"pack": "quick"}).json or {}
    subscription, intent = till.billed(user_id), f"pi_{user_id.hex}"
    till.tell(
        till.succeeded(UUID(bought["id"]), intent, amount=300, received=300, currency="JPY"),
        subscription,
        till.paid(subscription, f"in_{user_id.hex}", page_url=f"https://pay.example.com/{word}"),
        till.refunded(10, id=f"re_{user_id.hex}", intent=intent, currency="JPY"),
        till.disputed(20, id=f"dp_{user_id.hex}", intent=intent, currency="JPY"),
        replace(subscription, status=SubscriptionStatus.canceled, ended_at=till.now()),
    )
    wish = {"wallet": "credits", "pack": "quick", "threshold": 1, "monthly_cap": 1_000}
    for answer in (
        caller.client.put("/v1/top-up", json=wish, headers=caller.headers),
        caller.post("/v1/portal-sessions", {}),
    ):
        assert answer.status_code < 300, answer.json
