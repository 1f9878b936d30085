"""What a first run through the API is: the calls of the Postman collection in their order, from sign-up to good-bye.

Steps are data. What each call takes and may answer is the OpenAPI document's to say (`web/collection.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ENDED = '["completed", "failed", "canceled", "expired"].includes(answer.status)'
PAGE = "/mock-checkout/"


Caller = Literal["me", "key", "nobody"]
"""Whose token a request carries: that of the log-in, the API key, none."""


@dataclass(frozen=True, slots=True)
class Step:
    """One request. What it says in JavaScript is about `answer`, the JSON of the response."""

    name: str
    call: str
    """Method and path, as the document has them; a path of `{{…}}` is somewhere else."""
    expected: tuple[int, ...]
    body: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    keeps: Mapping[str, str] = field(default_factory=dict)
    """Variables that the answer gives, with the expression for each."""
    until: str | None = None
    """The request is repeated until this is so."""
    holds: Mapping[str, str] = field(default_factory=dict)
    """What must be so, by how it is called."""
    needs: str | None = None
    """A variable without which the request is skipped: the product does not sell this."""
    before: tuple[str, ...] = ()
    """Lines that run before the request."""
    caller: Caller = "me"


@dataclass(frozen=True, slots=True)
class Folder:
    name: str
    steps: tuple[Step, ...]
    description: str = field(default="")


SIGNED_IN = {"access_token": "answer.access_token", "refresh_token": "answer.refresh_token"}
CREDENTIALS = '{"email": "{{email}}", "password": "{{password}}"}'
ORDER = '{"action": "{{action}}", "input": {{input}}}'
KEY = {"Idempotency-Key": "{{run}}-$name"}

FIRST = (
    Folder(
        "1 Account",
        (
            Step("Is it ready?", "GET /readyz", (200,)),
            Step(
                "Sign up", "POST /v1/auth/signup", (201,), CREDENTIALS, keeps=SIGNED_IN,
                before=(
                    'const run = pm.variables.replaceIn("{{$guid}}");',
                    'pm.collectionVariables.set("run", run);',
                    'pm.collectionVariables.set("email", `ada-${run}@example.com`);',
                ),
            ),
            Step("Log in", "POST /v1/auth/login", (200,), CREDENTIALS, keeps=SIGNED_IN),
            Step(
                "Fresh tokens", "POST /v1/auth/refresh", (200,), '{"refresh_token": "{{refresh_token}}"}',
                keeps=SIGNED_IN,
            ),
            Step(
                "Who am I?", "GET /v1/me", (200,),
                holds={"it is me": 'answer.email === pm.collectionVariables.get("email")'},
            ),
        ),
    ),
    Folder(
        "2 What is sold",
        (
            Step(
                "Actions", "GET /v1/actions", (200,),
                keeps={
                    "action": "(can(\"chat\") || can(\"image\") || can(\"video\") || {}).name || \"\"",
                    "input": 'JSON.stringify({prompt: "She wrote: see you at eight?"})',
                    "picture_action": '(can("image") || {}).name || ""',
                    "spend_action": '(can("spend") || {}).name || ""',
                },
                before=(),
            ),
            Step(
                "Packs", "GET /v1/packs", (200,),
                keeps={
                    "pack": "(answer.packs[0] || {}).name || \"\"",
                    "pack_price": "(answer.packs[0] || {price: {}}).price.amount || 0",
                    "pack_wallet": "Object.keys((answer.packs[0] || {credits: {}}).credits)[0] || \"\"",
                    "quick_pack": '(answer.packs.find((each) => each.quick) || {}).name || ""',
                },
            ),
            Step(
                "Plans", "GET /v1/plans", (200,),
                keeps={"plan": '(answer.plans.find((each) => each.prices.monthly) || {}).name || ""'},
            ),
        ),
        "Later requests need what is found here; what this product does not sell is skipped.",
    ),
    Folder(
        "3 A job",
        (
            Step(
                "What would it cost?", "POST /v1/jobs/estimate", (200,), ORDER, needs="action",
                keeps={"price": "answer.price"},
                holds={"I can pay it": "answer.affordable"},
            ),
            Step(
                "Order it", "POST /v1/jobs", (202,), ORDER, KEY, {"job_id": "answer.id"}, needs="action",
                holds={"its price is held": 'answer.cost.held === Number(pm.collectionVariables.get("price"))'},
            ),
            Step(
                "Order it again: the same job", "POST /v1/jobs", (200, 202), ORDER,
                {"Idempotency-Key": "{{run}}-order-it"}, needs="action",
                holds={
                    "it is the same": 'answer.id === pm.collectionVariables.get("job_id")',
                    "it says so": 'pm.response.headers.get("Idempotency-Replayed") === "true"',
                },
            ),
            Step(
                "Wait for it", "GET /v1/jobs/{job_id}", (200,), headers={"Prefer": "wait=10"}, until=ENDED,
                needs="action",
                keeps={"suggestion": '(answer.outputs[0] || {}).suggestions ? "0" : ""'},
                holds={
                    "it completed": 'answer.status === "completed"',
                    "it was charged": "answer.cost.charged + answer.cost.refunded === answer.cost.held",
                },
            ),
            Step(
                "Save a suggested reply", "POST /v1/saved-replies", (201,),
                '{"job_id": "{{job_id}}", "output": 0, "suggestion": 0}', needs="suggestion",
                keeps={"reply_id": "answer.id"},
            ),
            Step(
                "Order a picture, and wait in the same call", "POST /v1/jobs", (200, 202),
                '{"action": "{{picture_action}}", "input": {"prompt": "A lighthouse at dusk"}}',
                {**KEY, "Prefer": "wait=10"}, {"picture_id": "answer.id"}, needs="picture_action",
            ),
            Step(
                "Wait for the picture", "GET /v1/jobs/{picture_id}", (200,), headers={"Prefer": "wait=10"}, until=ENDED,
                needs="picture_action",
                holds={"there is a file": "answer.outputs.some((each) => each.media_type && each.url)"},
            ),
            Step("The picture", "GET /v1/jobs/{picture_id}/outputs/0", (200,), needs="picture_action"),
            Step("My jobs", "GET /v1/jobs", (200,), holds={"they are listed": "Array.isArray(answer.jobs)"}),
        ),
    ),
    Folder(
        "4 Credits",
        (
            Step("Wallets", "GET /v1/wallets", (200,), holds={"there are some": "answer.wallets.length > 0"}),
            Step("Transactions", "GET /v1/transactions", (200,)),
            Step(
                "Spend", "POST /v1/spends", (201,), '{"action": "{{spend_action}}", "input": {}}', KEY,
                needs="spend_action", holds={"it was charged": "answer.cost.charged >= 0"},
            ),
        ),
    ),
    Folder(
        "5 Buying a pack",
        (
            Step(
                "Check out", "POST /v1/checkouts", (201, 202), '{"pack": "{{pack}}"}', KEY, needs="pack",
                keeps={"checkout_id": "answer.id"},
            ),
            Step(
                "The page to pay on", "GET /v1/checkouts/{checkout_id}", (200,), needs="pack",
                until="answer.checkout_url !== null",
                keeps={"mock_page": f'answer.checkout_url.includes("{PAGE}") ? answer.checkout_url : ""'},
            ),
            Step("Press Pay", "POST {{mock_page}}/pay", (200,), needs="mock_page", caller="nobody"),
            Step(
                "It is paid", "GET /v1/checkouts/{checkout_id}", (200,), needs="mock_page",
                until="answer.payment_id !== null", keeps={"payment_id": "answer.payment_id"},
            ),
            Step(
                "The payment", "GET /v1/payments/{payment_id}", (200,), needs="mock_page",
                until='answer.status === "succeeded"',
            ),
            Step("Confirm it", "POST /v1/payments/{payment_id}/confirm", (200,), needs="mock_page"),
            Step("Payments", "GET /v1/payments", (200,)),
            Step(
                "The credits are there", "GET /v1/wallets", (200,), needs="mock_page",
                until="answer.wallets.some((each) => each.usage.bought > 0)",
            ),
            Step(
                "Pay with a form of one's own", "POST /v1/payment-intents", (201, 202), '{"pack": "{{quick_pack}}"}',
                KEY, needs="quick_pack",
            ),
            Step(
                "Top up by itself", "PUT /v1/top-up", (200,),
                '{"wallet": "{{pack_wallet}}", "pack": "{{pack}}", "threshold": 1, "monthly_cap": {{pack_price}}}',
                needs="mock_page",
            ),
            Step("How that stands", "GET /v1/top-up", (200,), needs="mock_page"),
            Step("Not any more", "DELETE /v1/top-up", (204,), needs="mock_page"),
        ),
        "Pages of the mock gateway are pressed by themselves. With Stripe, pay on the page by hand.",
    ),
    Folder(
        "6 A subscription",
        (
            Step(
                "Subscribe", "POST /v1/subscription", (201, 202), '{"plan": "{{plan}}", "billing": "monthly"}', KEY,
                needs="plan", keeps={"checkout_id": "answer.id"},
            ),
            Step(
                "The page to subscribe on", "GET /v1/checkouts/{checkout_id}", (200,), needs="plan",
                until="answer.checkout_url !== null",
                keeps={"mock_page": f'answer.checkout_url.includes("{PAGE}") ? answer.checkout_url : ""',
                       "subscribed": f'answer.checkout_url.includes("{PAGE}") ? "yes" : ""'},
            ),
            Step("Press Pay for the plan", "POST {{mock_page}}/pay", (200,), needs="subscribed", caller="nobody"),
            Step(
                "It has begun", "GET /v1/subscription", (200, 404), needs="subscribed",
                until='["active", "trialing"].includes(answer.status)',
            ),
            Step("What it gives", "GET /v1/entitlements", (200,)),
            Step("Invoices", "GET /v1/invoices", (200,), needs="subscribed"),
            Step("The gateway's page for customers", "POST /v1/portal-sessions", (201, 202), "{}", needs="subscribed"),
            Step(
                "Cancel at the end of the period", "PATCH /v1/subscription", (200, 202),
                '{"cancel_at_period_end": true}', needs="subscribed",
            ),
            Step(
                "It will end", "GET /v1/subscription", (200,), needs="subscribed", until="answer.cancels_at !== null"
            ),
        ),
    ),
    Folder(
        "7 API keys and sessions",
        (
            Step(
                "Make a key", "POST /v1/api-keys", (201,), '{"name": "My server", "scopes": ["credits:read"]}',
                keeps={"key_id": "answer.id", "api_key": "answer.key"},
            ),
            Step("Use it", "GET /v1/wallets", (200,), caller="key"),
            Step("Keys", "GET /v1/api-keys", (200,)),
            Step("Revoke it", "DELETE /v1/api-keys/{key_id}", (204,)),
            Step("Sessions", "GET /v1/me/sessions", (200,)),
        ),
    ),
)  # fmt: skip

LAST = (
    Folder(
        "9 Good-bye",
        (
            Step("All there is of me", "GET /v1/me/export", (200,)),
            Step("Log out", "POST /v1/auth/logout", (204,), '{"refresh_token": "{{refresh_token}}"}'),
            Step("Log in once more", "POST /v1/auth/login", (200,), CREDENTIALS, keeps=SIGNED_IN),
            Step("Log out everywhere", "DELETE /v1/me/sessions", (204,)),
            Step("Log in a last time", "POST /v1/auth/login", (200,), CREDENTIALS, keeps=SIGNED_IN),
            Step("Close my account", "DELETE /v1/me", (202,), '{"password": "{{password}}"}'),
        ),
    ),
)  # fmt: skip

REST = "8 Every other call"
"""The calls that no step makes, with the document's examples: each must answer something that the document names."""
