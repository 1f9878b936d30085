"""Ada, who has one of everything, and whose name stands in all of it: nobody else may ever read it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from flask.testing import FlaskClient
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models import jobs
from models.catalog import CatalogVersion
from models.database import sessions
from models.emails import Email
from models.payments import checkouts, errands, inbox
from tests.http.conftest import PASSWORD, Caller
from tests.http.offers import sell
from tests.jobs.work import once
from tests.payments import till
from tests.security.document import Operation
from tests.uploads.drawings import picture
from worker.storage import storage

SOLD: dict[str, Any] = {
    "plans": {
        "few": {"title": "Few", "rank": 1, "limits": {"companions": 3}},
        "basic": {**till.PLANS["basic"], "limits": {"companions": 3}},
    },
    "packs": {"quick": till.PACKS["quick"]},
    "signup_grants": [{"wallet": "credits", "amount": 100}],
    "signup": {"plan": "few"},
    "referral": {"wallet": "credits", "referrer": 30, "referred": 10},
    "promotions": {"WELCOME": {"title": "Welcome", "credits": {"tips": 3}}},
    "actions": {
        name: {"title": name, "kind": kind, "wallet": "credits", "price": {"form": "fixed", "amount": 5}}
        for name, kind in (("chat", "chat"), ("upscale", "upscale"), ("tip", "spend"))
    },
}  # fmt: skip

OWN_NAMES = {
    "limit_name": "what is limited has the same name for everybody; what takes the places is each user's own",
    "item": "each user names what takes a place, and one's names are nothing to another",
    "catalog_version": "the catalog is everybody's",
    "promotion_code": "promotions are everybody's",
}
"""Parameters of a path that name no object of somebody, and why."""


class Ada:
    """A user with one of everything. `values` has what names it, by the name of the parameter or field."""

    def __init__(self, client: FlaskClient) -> None:
        self.canary = f"ada-{uuid4().hex}"
        email = f"{self.canary}@example.com"
        answer = client.post("/v1/auth/signup", json={"email": email, "password": PASSWORD})
        assert answer.status_code == 201, answer.json
        self.caller = Caller(client, email, answer.json or {})
        self._post("PATCH", "/v1/me", {"name": f"Name of {self.canary}"})
        job_id = self._job()
        self.values: dict[str, Any] = {}
        for name, make in MAKERS.items():
            self.values[name] = make(self, job_id)
        self._post("POST", "/v1/spends", {"action": "tip", "input": {"quantity": 1, "reference": f"to {self.canary}"}})
        self._post("PUT", f"/v1/entitlements/companions/friend-{self.canary}")
        self._post("POST", "/v1/redemptions", {"code": "WELCOME"})
        self.caller.get("/v1/referrals")  # makes her code
        self.secrets = {self.canary, *(str(value) for value in self.values.values() if _is_an_id(value))}
        """What nobody else may ever read."""

    def _post(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        given = {} if body is None else {"json": body}
        answer = self.caller.client.open(path, method=method, headers=self.caller.headers, **given)
        assert answer.status_code < 300, (path, answer.json)
        return answer.json or {}

    def _job(self) -> str:
        """A job of hers that has ended, with an analysis and a file."""
        made = self.caller.submit(f"prompt of {self.canary}").json or {}
        key = f"{made['id']}/1/0"
        storage().put(key, f"file of {self.canary}".encode())
        described = {"type": "file", "key": key, "media_type": "image/png", "size": 7, "sha256": "x"}
        said = {"type": "analysis", "text": f"text of {self.canary}", "suggestions": [f"reply of {self.canary}"]}
        with sessions() as session:
            claim = jobs.claim(session, UUID(made["id"]), lease_seconds=30)
            assert claim is not None
            jobs.complete(session, claim, outputs=[described, said], usage={}, delivered_percent=100)
        return str(made["id"])

    def buys(self) -> str:
        """A pack and a plan, both paid; gives the checkout of the pack. The pack comes again when it runs out."""
        user_id = UUID(self.caller.tokens["user"]["id"])
        once(checkouts.keep_customer, user_id=user_id, gateway_id=f"cus_{user_id.hex}")
        made = self._post("POST", "/v1/payment-intents", {"pack": "quick"})
        subscription = till.billed(user_id)
        till.tell(
            till.succeeded(UUID(made["id"]), f"pi_{user_id.hex}", receipt_url=f"https://pay.example.com/{self.canary}"),
            subscription,
            till.paid(subscription, f"in_{user_id.hex}", page_url=f"https://pay.example.com/{self.canary}"),
        )
        wish = {"wallet": "credits", "pack": "quick", "threshold": 1, "monthly_cap": 1_000}
        self._post("PUT", "/v1/top-up", wish)
        return str(made["id"])

    def opens_the_portal(self) -> str:
        asked = self._post("POST", "/v1/portal-sessions", {})
        once(errands.end, UUID(asked["id"]), answer={"url": f"https://pay.example.com/{self.canary}"})
        return str(asked["id"])

    def is_told_of(self) -> str:
        """An event of the gateway about her."""
        event_id = f"evt_{UUID(self.caller.tokens['user']['id']).hex}"
        once(inbox.receive, event_id=event_id, event_type="customer.updated", object_id="cus_of_hers")
        return event_id

    def mail(self) -> str:
        """The first e-mail that she was to have."""
        user_id = UUID(self.caller.tokens["user"]["id"])
        with sessions() as session:
            return str(session.scalars(select(Email.id).where(Email.user_id == user_id).order_by(Email.id)).first())

    def first(self, path: str, noun: str) -> dict[str, Any]:
        [*_, last] = (self.caller.get(path).json or {})[noun]
        found: dict[str, Any] = last
        return found

    def sees(self, everything: list[Operation]) -> dict[str, Any]:
        """All that the API shows her, but for what changes by looking."""
        seen = {}
        for operation in everything:
            if operation.method == "GET" and not operation.path.startswith("/v1/admin"):
                answer = operation.ask(self.caller.client, self.caller.headers, self.values)
                assert answer.status_code == 200, (operation.name, answer.json)
                shown = json.loads(answer.data) if answer.is_json else answer.data
                seen[operation.name] = _lasting(shown, top=operation.path.endswith("/export"))
        return seen


MAKERS: dict[str, Callable[[Ada, str], Any]] = {
    "user_id": lambda ada, _: ada.caller.tokens["user"]["id"],
    "job_id": lambda _, job_id: job_id,
    "index": lambda *_: 0,
    "reply_id": lambda ada, job_id: ada._post(
        "POST", "/v1/saved-replies", {"job_id": job_id, "output": 1, "suggestion": 0}
    )["id"],
    "upload_id": lambda ada, _: ada.caller.client.post(
        "/v1/uploads", headers=ada.caller.headers, data=picture(seed=3), content_type="image/png"
    ).json["id"],  # type: ignore[index]
    "key_id": lambda ada, _: ada._post(
        "POST", "/v1/api-keys", {"name": f"Key of {ada.canary}", "scopes": ["jobs:read"]}
    )["id"],
    "session_id": lambda ada, _: ada.first("/v1/me/sessions", "sessions")["id"],
    "limit_name": lambda *_: "companions",
    "item": lambda *_: "a-name-of-ones-own",
    "checkout_id": lambda ada, _: ada.buys(),
    "payment_id": lambda ada, _: ada.first("/v1/payments", "payments")["id"],
    "any_payment_id": lambda ada, _: ada.first("/v1/payments", "payments")["id"],
    "portal_id": lambda ada, _: ada.opens_the_portal(),
    "event_id": lambda ada, _: ada.is_told_of(),
    "email_id": lambda ada, _: ada.mail(),
    "catalog_version": lambda *_: once(catalog_on_sale),
    "promotion_code": lambda *_: "WELCOME",
}
"""How to come by an object of Ada's for a parameter of a path, or a field of a body, with this name.

A new one needs a line here: make the object through the API and give its id. If it names no object of a user, but
something that is everybody's, say so in `OWN_NAMES` too.
"""


def settle(client: FlaskClient) -> Ada:
    """Sell what has one of everything, and let Ada have it."""
    sell(**SOLD)
    return Ada(client)


def catalog_on_sale(session: Session) -> int:
    """The newest version of the catalog, so that to sell it again changes nothing for anybody."""
    return session.scalars(select(func.max(CatalogVersion.id))).one()


def _is_an_id(value: Any) -> bool:
    try:
        UUID(str(value))
    except ValueError:
        return False
    return True


def _lasting(shown: Any, *, top: bool = False) -> Any:
    if isinstance(shown, list):
        return [_lasting(each) for each in shown]
    if isinstance(shown, dict):
        passing = {"last_used_at", "download_url", "download_expires_at", *(("created_at",) if top else ())}
        return {name: _lasting(each) for name, each in shown.items() if name not in passing}
    return shown
