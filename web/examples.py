"""The examples of the OpenAPI document: one table of values by field, one of what differs, and the rest by schema.

They tell of one user, Ada, and of one chat job of hers, so that ids in one call are found again in the next. A field
that no table knows has an example all the same, made from its schema; a test sees that each fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

ADA = "019b9c66-3c5e-7d04-9a52-0f1f6b1c2a37"
JOB = "019b9c67-7a10-74b5-aa3c-e196a84900d0"
SPEND = "019b9c68-01d2-7c3e-8f4a-2b6d9e0c5517"
CHECKOUT = "019b9c69-5b8e-7f21-b3d6-4c0a7e915d28"
PAYMENT = "019b9c69-9e44-7ab0-8c17-5d2f3b6e8a90"
UPLOAD = "019b9c66-e0f3-7188-a4c9-6e1b0d7f2c53"
WHEN = "2026-01-31T12:00:00.123456Z"
LATER = "2026-02-28T12:00:00.123456Z"
DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
PATIENT = "She wrote: see you at eight?"
BALANCES = {"credits": {"available": 95, "held": 0, "debt": 0}}
BREAKDOWN = [{"label": "Chat analysis", "amount": 5}]

FIELDS: dict[str, Any] = {
    "access_token": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIwMTliOWM2Ni0zYzVlIn0.c2lnbmVk",
    "refresh_token": "eyJhbGciOiJIUzI1NiJ9.eyJ0eXBlIjoicmVmcmVzaCJ9.c2lnbmVk",
    "token_type": "Bearer",
    "expires_in": 900,
    "email": "ada@example.com",
    "password": "correct horse battery",
    "current_password": "correct horse battery",
    "new_password": "another horse battery",
    "name": "Ada",
    "referral_code": "7KQ2MX9B",
    "token": "Zk3v9Qw1xR8sT5uY2pL7mN4bC6dF0gHj",
    "role": "user",
    "key": "coinop_Zk3v9Qw1xR8sT5uY2pL7mN4bC6dF0gHjK1aS3dE5",
    "hint": "coinop_Zk3v",
    "scopes": ["jobs:read", "jobs:write"],
    "expires_in_days": 90,
    "device": "Mozilla/5.0 (X11; Linux x86_64) Firefox/146.0",
    "address": "203.0.113.7",
    "action": "chat",
    "kind": "chat",
    "wallet": "credits",
    "requires": None,
    "unavailable_because": None,
    "input": {"prompt": PATIENT},
    "attempt": 1,
    "available": 95,
    "held": 0,
    "debt": 0,
    "price": 5,
    "estimate": 5,
    "charged": 5,
    "refunded": 0,
    "breakdown": BREAKDOWN,
    "balance_after": 95,
    "usage": {"input_tokens": 212, "output_tokens": 96},
    "error": None,
    "next": None,
    "user_id": ADA,
    "job_id": JOB,
    "spend_id": None,
    "checkout_id": CHECKOUT,
    "payment_id": PAYMENT,
    "invoice_id": None,
    "upload_id": UPLOAD,
    "sha256": DIGEST,
    "media_type": "image/png",
    "size": 48_213,
    "width": 1024,
    "height": 768,
    "currency": "EUR",
    "pack": "small",
    "plan": "premium",
    "billing": "monthly",
    "credits": {"credits": 100},
    "bonus": {},
    "limits": {"companions": 3},
    "features": ["video"],
    "checkout_url": "https://coinop.example.com/mock-checkout/cs_mock_4f1c9a",
    "client_secret": None,
    "receipt_url": "https://coinop.example.com/mock-checkout/ch_mock_7d20be",
    "reference": "pi_mock_2e6b81",
    "success_url": "https://app.example.com/bought",
    "cancel_url": "https://app.example.com/shop",
    "return_url": "https://app.example.com/settings",
    "url": "https://coinop.example.com/mock-checkout/bps_mock_91ce",
    "pdf_url": None,
    "problem": None,
    "decline": None,
    "code": "WELCOME",
    "reason": "Asked for by e-mail.",
    "request_id": "5f0c6e2b91d47a38",
    "text": "They ask whether eight suits you; say yes or name another time.",
    "tone": "friendly",
    "intent": "to settle the time",
    "advice": "Answer soon, and plainly.",
    "suggestions": ["Eight is perfect.", "Could we make it nine?", "Not tonight, but tomorrow?"],
    "item": "mia",
    "low_balance": 20,
    "deleted": None,
    "expiring": [{"amount": 30, "expires_at": LATER, "source": "promo"}],
    "metadata": {},
}  # fmt: skip
"""By name of the field, wherever it stands. A value that the schema at hand does not allow is passed over."""

NOT_YET = ("suspended_at", "closing_at", "closed_at", "cancels_at", "past_due_since", "paused_until", "trial_ends_at",
           "next_plan", "next_billing", "download_expires_at")  # fmt: skip
"""Of times and the like that may be null: those that mostly are."""

LATER_ON = ("expires_at", "ends_at", "period_ends_at", "paid_until", "resets_at")

OBJECTS = {
    "KeyView": "api_key", "NewKeyView": "api_key", "CheckoutView": "checkout", "JobView": "job",
    "MyLoginView": "session", "LoginView": "session", "NoticeView": "notice", "PaymentView": "payment",
    "InvoiceView": "invoice", "PortalView": "portal_session", "RedemptionView": "redemption",
    "ReferralView": "referral", "SavedReplyView": "saved_reply", "SpendView": "spend",
    "SubscriptionView": "subscription", "TopUpView": "top_up", "UploadView": "upload", "EntryView": "audit_entry",
    "RefundView": "refund", "AccountView": "user", "AccountDetails": "user",
    "AdjustmentView": "adjustment", "MetricsView": "metrics",
}  # fmt: skip
"""What a model says that it is."""

MODELS: dict[str, Json] = {
    "UserView": {"id": ADA, "balances": BALANCES},
    "AccountView": {"id": ADA},
    "AccountDetails": {"id": ADA, "wallets": BALANCES, "jobs": {"completed": 1}},
    "NewAccount": {"referral_code": None},
    "OnItsWay": {"detail": "If there is something to send to this address, an e-mail is on its way."},
    "ClosingView": {"status": "closing",
                    "detail": "The account is being closed. An e-mail will say when that is done."},
    "KeyRequest": {"name": "My server"}, "KeyView": {"name": "My server"}, "NewKeyView": {"name": "My server"},
    "ActionView": {"name": "chat", "title": "Chat analysis",
                   "description": "Reads a conversation and suggests replies.",
                   "price": {"form": "fixed", "amount": 5}, "available": True, "free": False, "addons": []},
    "PackView": {"name": "small", "title": "100 credits", "description": "For a start.", "expires_days": None},
    "MoneyView": {"amount": 499, "currency": "EUR"},
    "PlanView": {"name": "premium", "title": "Premium", "description": "Videos, and 300 credits a month.", "rank": 2,
                 "prices": {"monthly": {"amount": 999, "currency": "EUR"}}, "unlimited": [], "priority": True,
                 "trial_days": None, "current": False},
    "AllowanceView": {"amount": 300, "period": "cycle", "rollover": False},
    "PlanList": {"current": None, "balances": BALANCES},
    "WalletView": {"kind": "credits", "title": "Credits", "low": False, "resets_at": None},
    "WalletUsageView": {"bought": 0, "granted": 100, "spent": 5, "refunded": 0, "expired": 0, "clawed_back": 0},
    "TransactionView": {"id": "019b9c67-8c51-7e3a-9b0f-7a2d4c6e1f83", "type": "debit", "amount": -5, "kind": "chat",
                        "description": "Chat analysis", "reason": "settle", "source": "signup"},
    "JobRequest": {"expires_in": None},
    "JobView": {"id": JOB, "status": "completed", "expires_at": None, "fallback": False},
    "OutputView": {"index": 0, "type": "analysis", "media_type": None, "size": None, "sha256": None, "url": None,
                   "download_url": None},
    "UrlsView": {"get": f"/v1/jobs/{JOB}", "cancel": f"/v1/jobs/{JOB}/cancel"},
    "ErrorView": {"code": "provider_refused", "message": "The provider refused this request."},
    "UploadView": {"id": UPLOAD, "url": f"/v1/uploads/{UPLOAD}/content"},
    "SpendRequest": {"action": "tip", "input": {"quantity": 3}},
    "SpendView": {"id": SPEND, "action": "tip", "input": {"quantity": 3}, "balance_after": 92},
    "SpendCost": {"charged": 3, "breakdown": [{"label": "Tip", "amount": 3}]},
    "RedemptionView": {"id": 17, "title": "Welcome", "credits": {"credits": 25}, "plan": None},
    "StandingView": {"code": "7KQ2MX9B", "referred": 2, "rewarded": 1, "earned": {"credits": 30}},
    "TermsView": {"referrer": 30, "referred": 10, "on": "purchase", "cap": 20, "expires_days": None},
    "ReferralRequest": {"code": "7KQ2MX9B"},
    "NoticeView": {"id": 4, "topic": "low_balance", "details": {"wallet": "credits", "amount": 12, "low_balance": 20}},
    "SaveRequest": {"output": 0, "suggestion": 1},
    "SavedReplyView": {"id": 9, "output": 0, "suggestion": 1, "text": "Could we make it nine?"},
    "LimitUsageView": {"limit": 3, "used": 1},
    "EntitlementsView": {"title": "Premium", "limits": {"companions": {"limit": 3, "used": 1}}, "unlimited": []},
    "CheckoutView": {"id": CHECKOUT, "mode": "page", "status": "open", "plan": None,
                     "billing": None, "payment_id": None},
    "CheckoutRequest": {"plan": None, "billing": None},
    "IntentRequest": {"pack": "small"},
    "PaymentView": {"id": PAYMENT, "title": "100 credits", "status": "succeeded"},
    "InvoiceView": {"number": "C0FFEE-0001", "status": "paid", "paid": 999, "due": {"amount": 999, "currency": "EUR"}},
    "PortalView": {"status": "done"},
    "SubscriptionView": {"status": "active", "underway": False},
    "ChangeRequest": {"plan": "elite", "cancel_at_period_end": None},
    "TopUpRequest": {"threshold": 20, "monthly_cap": 2_000},
    "TopUpView": {"threshold": 20, "monthly_cap": 2_000, "spent": 499, "status": "on"},
    "Changes": {"notices_by_mail": True},
    "UserChange": {"role": None, "suspended": True},
    "EntryView": {"id": 311, "actor": "admin", "actor_id": ADA, "verb": "user.suspend", "target": f"user:{ADA}",
                  "before": {"suspended": False}, "after": {"suspended": True}},
    "HeldPlanView": {"name": "premium", "title": "Premium", "origin": "purchase"},
    "RefundRequest": {"amount": 499},
    "RefundView": {"amount": 499, "status": "done"},
    "AdjustmentRequest": {"amount": 20, "expires_at": None},
    "AdjustmentView": {"id": "312", "amount": 20, "expires_at": None},
    "Health": {"status": "ok"},
    "Problem": {"errors": None},
}  # fmt: skip
"""What fields of a model are other than `FIELDS` has them, by name of the model."""

ORDERED: Json = {
    "status": "queued", "attempt": 0, "started_at": None, "finished_at": None, "outputs": [], "usage": {},
    "cost": {"wallet": "credits", "estimate": 5, "held": 5, "charged": 0, "refunded": 0, "breakdown": BREAKDOWN},
}  # fmt: skip
CANCELED: Json = {
    **ORDERED, "status": "canceled", "finished_at": WHEN,
    "cost": {"wallet": "credits", "estimate": 5, "held": 5, "charged": 0, "refunded": 5, "breakdown": BREAKDOWN},
}  # fmt: skip

ANSWERS: dict[tuple[str, str, str], Json] = {
    ("post", "/v1/jobs", "202"): ORDERED,
    ("post", "/v1/jobs/{job_id}/cancel", "200"): CANCELED,
    ("post", "/v1/jobs/{job_id}/cancel", "202"): {**ORDERED, "status": "canceling", "attempt": 1, "started_at": WHEN},
    ("post", "/v1/checkouts", "202"): {"status": "creating", "checkout_url": None},
    ("post", "/v1/subscription", "201"): {"pack": None, "plan": "premium", "billing": "monthly"},
    ("post", "/v1/subscription", "202"): {"pack": None, "plan": "premium",
                                          "billing": "monthly", "status": "creating", "checkout_url": None},
    ("post", "/v1/payment-intents", "201"): {"mode": "intent", "checkout_url": None,
                                             "client_secret": "pi_mock_2e6b81_secret_5c"},
    ("get", "/readyz", "200"): {"status": "ready"},
}  # fmt: skip
"""What an answer with this status has that others of its model have not."""

TEXTS: dict[tuple[str, str], str] = {
    ("get", "/v1/transactions"): "id,created_at,wallet,type,amount\n"
    f"019b9c67-8c51-7e3a-9b0f-7a2d4c6e1f83,{WHEN},credits,debit,-5\n",
}


def of(schema: Json, document: Json, **known: Any) -> Any:
    """A value that `schema` allows. `known` are members that it shall have, if it is an object."""
    return _Maker(document["components"]["schemas"]).make(schema, known=known)


class _Maker:
    def __init__(self, models: Mapping[str, Json]) -> None:
        self.models = models

    def make(self, schema: Json, name: str = "", *, known: Json | None = None) -> Any:
        """An example for `schema`, which is that of a field called `name`."""
        if reference := schema.get("$ref"):
            model = reference.rpartition("/")[2]
            return self.make(self.models[model], name, known={**_of_model(model), **(known or {})})
        if ways := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            return self._one_of(ways, name)
        if schema.get("type") == "object" and schema.get("properties"):
            known = known or {}
            return {
                field: known[field] if field in known else self.make(inner, field)
                for field, inner in schema["properties"].items()
            }
        return self._plain(schema, name)

    def _one_of(self, ways: list[Json], name: str) -> Any:
        if {"type": "null"} in ways and (name in NOT_YET or (name in FIELDS and FIELDS[name] is None)):
            return None
        return self.make(next(way for way in ways if way.get("type") != "null"), name)

    def _plain(self, schema: Json, name: str) -> Any:
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return FIELDS[name] if FIELDS.get(name) in schema["enum"] else schema["enum"][0]
        if name in FIELDS and _fits(FIELDS[name], schema):
            return FIELDS[name]
        if schema.get("examples"):
            return schema["examples"][0]
        match schema.get("type"):
            case "object":
                return self._mapping(schema.get("additionalProperties"), name)
            case "array":
                return [self.make(schema["items"], name)]
            case "integer" | "number":
                return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
            case "boolean":
                return True
            case _:
                return _text(schema, name)

    def _mapping(self, inner: Any, name: str) -> Json:
        if not isinstance(inner, dict):
            return {}
        return {"credits": self.make(inner, name)}


def _of_model(model: str) -> Json:
    return {**({"object": OBJECTS[model]} if model in OBJECTS else {}), **MODELS.get(model, {})}


def _text(schema: Json, name: str) -> str:
    form = schema.get("format")
    if name in LATER_ON:
        return LATER
    if form == "date-time" or name.endswith(("_at", "_since", "_until")) or name in ("since", "until"):
        return WHEN
    if form == "date":
        return WHEN[:10]
    if form == "uuid" or name == "id" or name.endswith("_id"):
        return JOB
    if form in ("uri", "url"):
        return "https://app.example.com/"
    said = name.replace("_", " ").capitalize() or "Text"
    return said[: schema.get("maxLength", len(said))].ljust(schema.get("minLength", 0), ".")


def _fits(value: Any, schema: Json) -> bool:
    match schema.get("type"):
        case "object":
            inner = schema.get("additionalProperties")
            return isinstance(value, dict) and (
                not isinstance(inner, dict) or all(_fits(each, inner) for each in value.values())
            )
        case "array":
            return isinstance(value, list) and all(_fits(each, schema["items"]) for each in value)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case _:
            return "$ref" in schema and isinstance(value, dict | str)
