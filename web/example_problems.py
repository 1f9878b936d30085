"""The examples of what goes wrong: every stable code once, and which call may answer with which."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from models.errors import Refusal

Json = dict[str, Any]

OTHERS: dict[str, tuple[int, str]] = {
    "bad_request": (400, "Bad Request"),
    "request_entity_too_large": (413, "Request Entity Too Large"),
    "unsupported_media_type": (415, "Unsupported Media Type"),
    "database_unavailable": (503, "The database is not available"),
    "storage_unavailable": (503, "The storage of files is not available"),
}
"""What no verb refuses: code, status and title as `web/problems.py` has them."""

TOLD: dict[str, tuple[str, Json]] = {
    "bad_request": ("The body is no JSON.", {}),
    "request_entity_too_large": ("The data value transmitted exceeds the capacity limit.", {}),
    "unsupported_media_type": ("Expected application/json.", {}),
    "database_unavailable": ("Nothing was changed. Try again in a moment.", {"retry_after": 2}),
    "storage_unavailable": ("Try again in a moment.", {"retry_after": 10}),
    "invalid_input": (
        "input.prompt: Field required",
        {"errors": [{"field": "input.prompt", "message": "Field required"}]},
    ),
    "picture_refused": ("This picture has 60 million pixels; 40 million are taken.", {"why": "pixels"}),
    "upload_space_full": (
        "Your uploads take 499 of 500 MB: delete one first.",
        {"limit": 524_288_000, "used": 523_239_424, "size": 2_097_152},
    ),
    "too_many_uploads": ("Wait until another upload has arrived.", {"retry_after": 1}),
    "not_found": ("There is no such thing.", {}),
    "unauthorized": ("A valid access token is needed.", {}),
    "account_suspended": ("This account is suspended. Ask those who run this service why.", {}),
    "scope_required": ("This API key lacks the scope jobs:write.", {"scope": "jobs:write"}),
    "wrong_password": ("This is not your current password.", {}),
    "role_required": ("Only those with the role admin may do this.", {"role": "admin"}),
    "own_account": ("Nobody changes their own role or suspends themselves: ask another admin.", {}),
    "account_closing": ("This account is being closed: there is nothing left to decide.", {}),
    "last_admin": ("This is the last admin: make somebody else one first.", {}),
    "too_many_api_keys": ("You have 20 API keys, as many as there may be: revoke one first.", {"limit": 20}),
    "token_not_good": ("This link was used, has run out, or was never ours: ask for a new one.", {}),
    "link_expired": ("The time of this link is over: ask for the job again, it has a new one.", {}),
    "output_gone": ("This file has been deleted.", {}),
    "insufficient_credits": (
        "This needs 5 credits; 2 are available.",
        {"wallet": "credits", "required": 5, "available": 2, "shortfall": 3, "debt": 0},
    ),
    "feature_required": ("Your plan does not include video.", {"feature": "video", "plans": ["premium"]}),
    "action_unavailable": ("No provider here does video, so video cannot be ordered.", {}),
    "limit_reached": ("Your plan includes 3 companions.", {"name": "companions", "limit": 3, "used": 3}),
    "too_many_requests": (
        "This was done 10 times within 60 seconds, as often as it may be.",
        {"limit": 10, "per_seconds": 60, "retry_after": 12},
    ),
    "fair_use_exceeded": (
        "Your plan includes 60 of these an hour.", {"limit": 60, "per_seconds": 3_600, "retry_after": 240},
    ),
    "code_not_good": ("You have redeemed this code before.", {"why": "already_redeemed"}),
    "referral_refused": ("This is your own code.", {"why": "own_code"}),
    "idempotency_key_reused": (
        "Idempotency-Key: this key came with another request before; use a new one.", {},
    ),
    "too_many_jobs": ("You have 20 unfinished jobs, as many as you may.", {"limit": 20, "retry_after": 1}),
    "not_cancelable": ("This job has already completed.", {"job_status": "completed"}),
    "job_not_finished": ("Cancel this job first, or wait until it has ended.", {"job_status": "running"}),
    "not_waiting": (
        "This job is completed. It has ended, and its credits have moved. Give back what was charged, and let its user "
        "submit it again.",
        {"job_status": "completed"},
    ),
    "not_sendable": (
        "This e-mail was sent: say `again` to send it a second time.", {"state": "sent"},
    ),
    "catalog_changed": ("The catalog has version 8 now: read it again.", {"version": 8}),
    "not_refundable": ("This job was charged nothing.", {"charged": 0, "given_back": 0}),
    "underway": ("The last change is still under way: wait for it to end.", {}),
    "already_subscribed": ("You pay for a plan already: change it instead (PATCH /v1/subscription).", {}),
    "payment_declined": ("The bank declined the payment; nothing has changed.", {"problem": "card_declined"}),
    "gateway_refused": ("The change was not made. Nothing has changed.", {"problem": "unavailable"}),
    "not_ready": ("The database is at migration 0009; this version needs 0010.", {}),
    "bad_signature": ("The signature is missing, wrong or too old.", {}),
}  # fmt: skip
"""What each says to people, and its further members. A code that is not here says what its class does."""

ANYWHERE: dict[int, tuple[str, ...]] = {
    400: ("bad_request",),
    401: ("unauthorized",),
    402: ("insufficient_credits",),
    403: ("account_suspended",),
    404: ("not_found",),
    409: ("underway",),
    410: ("token_not_good",),
    412: ("catalog_changed",),
    413: ("request_entity_too_large",),
    415: ("unsupported_media_type",),
    422: ("invalid_input",),
    429: ("too_many_requests",),
    502: ("gateway_refused",),
    503: ("database_unavailable",),
}
"""The codes that a status comes with, where `AT` says nothing else."""

ALSO_WITH_A_KEY = {422: "idempotency_key_reused"}
ALSO_FOR_API_KEYS = {403: "scope_required"}
ALSO_FOR_ROLES = {403: "role_required"}

AT: dict[tuple[str, str], dict[int, tuple[str, ...]]] = {
    ("POST", "/v1/jobs"): {
        402: ("insufficient_credits",),
        403: ("feature_required", "account_suspended"),
        409: ("action_unavailable",),
        429: ("too_many_jobs", "too_many_requests", "fair_use_exceeded"),
    },
    ("POST", "/v1/jobs/estimate"): {403: ("feature_required", "account_suspended"), 409: ("action_unavailable",)},
    ("POST", "/v1/jobs/{job_id}/cancel"): {409: ("not_cancelable",)},
    ("GET", "/readyz"): {503: ("not_ready", "database_unavailable")},
    ("DELETE", "/v1/jobs/{job_id}/outputs"): {409: ("job_not_finished",)},
    ("GET", "/v1/jobs/{job_id}/outputs/{index}"): {
        410: ("output_gone",), 503: ("storage_unavailable", "database_unavailable"),
    },
    ("POST", "/v1/uploads"): {
        409: ("upload_space_full",),
        422: ("picture_refused", "invalid_input"),
        429: ("too_many_uploads", "too_many_requests"),
        503: ("storage_unavailable", "database_unavailable"),
    },
    ("GET", "/v1/uploads/{upload_id}/content"): {503: ("storage_unavailable", "database_unavailable")},
    ("POST", "/v1/spends"): {
        403: ("feature_required", "account_suspended"), 429: ("too_many_requests", "fair_use_exceeded"),
    },
    ("PUT", "/v1/entitlements/{limit_name}/{item}"): {403: ("limit_reached", "account_suspended")},
    ("POST", "/v1/redemptions"): {409: ("code_not_good",)},
    ("POST", "/v1/referrals"): {409: ("referral_refused",)},
    ("POST", "/v1/auth/signup"): {409: ("referral_refused",)},
    ("POST", "/v1/api-keys"): {409: ("too_many_api_keys",)},
    ("DELETE", "/v1/me"): {403: ("wrong_password", "account_suspended"), 409: ("last_admin",)},
    ("POST", "/v1/me/password"): {403: ("wrong_password", "account_suspended")},
    ("POST", "/v1/me/email"): {403: ("wrong_password", "account_suspended")},
    ("POST", "/v1/checkouts"): {409: ("already_subscribed",)},
    ("POST", "/v1/subscription"): {409: ("already_subscribed",)},
    ("PATCH", "/v1/subscription"): {402: ("payment_declined",), 409: ("underway",)},
    ("POST", "/v1/webhooks/stripe"): {400: ("bad_signature", "bad_request")},
    ("POST", "/v1/admin/jobs/{job_id}/retry"): {409: ("not_waiting",)},
    ("POST", "/v1/admin/emails/{email_id}/replay"): {409: ("not_sendable",)},
    ("POST", "/v1/admin/jobs/{job_id}/cancel"): {409: ("not_cancelable",)},
    ("POST", "/v1/admin/jobs/{job_id}/refund"): {
        403: ("own_account", "account_suspended"), 409: ("not_refundable", "account_closing"),
    },
    ("PATCH", "/v1/admin/users/{user_id}"): {
        403: ("own_account", "account_suspended"), 409: ("last_admin", "account_closing"),
    },
    ("POST", "/v1/admin/users/{user_id}/adjustments"): {
        403: ("own_account", "account_suspended"), 409: ("account_closing",),
    },
    ("PUT", "/v1/admin/users/{user_id}/plan"): {
        403: ("own_account", "account_suspended"), 409: ("already_subscribed", "account_closing"),
    },
    ("DELETE", "/v1/admin/users/{user_id}/plan"): {
        403: ("own_account", "account_suspended"), 409: ("already_subscribed", "account_closing"),
    },
}  # fmt: skip
"""The codes of calls that have more to refuse, or something else."""


def refusals() -> dict[str, type[Refusal]]:
    """Every refusal there is, by its code."""
    return {each.code: each for each in _below(Refusal)}


def example(code: str) -> Json:
    """The problem document with this code."""
    if code in OTHERS:
        status, title = OTHERS[code]
    else:
        refusal = refusals()[code]
        status, title = refusal.status, refusal.title
    detail, members = TOLD.get(code, (f"{title}.", {}))
    return {
        "type": f"urn:coinop:problem:{code}", "title": title, "status": status, "code": code, "detail": detail,
        **members,
    }  # fmt: skip


def codes(method: str, path: str, status: int, operation: Json) -> tuple[str, ...]:
    """The codes that this call may answer with, under this status."""
    found = AT.get((method.upper(), path), {}).get(status) or ANYWHERE.get(status) or _of_status(status)
    more = []
    if _takes_a_key(operation):
        more.append(ALSO_WITH_A_KEY.get(status))
    if any("api_key" in way for way in operation.get("security") or ()):
        more.append(ALSO_FOR_API_KEYS.get(status))
    if path.startswith("/v1/admin/"):
        more.append(ALSO_FOR_ROLES.get(status))
    return (*found, *(each for each in more if each and each not in found))


def examples(method: str, path: str, status: int, operation: Json) -> Json:
    """The `examples` of an answer, by code."""
    return {
        code: {"summary": example(code)["title"], "value": example(code)}
        for code in codes(method, path, status, operation)
    }


def _takes_a_key(operation: Json) -> bool:
    return any(each["name"] == "Idempotency-Key" for each in operation.get("parameters", ()))


def _of_status(status: int) -> tuple[str, ...]:
    """For a status that no table knows: any refusal that has it, so that there is never none."""
    return tuple(code for code, refusal in refusals().items() if refusal.status == status)[:1]


def _below(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for each in kind.__subclasses__():
        yield each
        yield from _below(each)
