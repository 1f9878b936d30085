"""What the Stripe of our own answers, route by route, out of the mock gateway's objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.database import readings
from models.payments import mock_objects
from worker.payments.gateway import Refused
from worker.payments.mock import bank, billing, counter
from worker.payments.mock.till import Object, Till, shown, till

Params = dict[str, Any]
Answer = tuple[int, dict[str, Any]]

ACCOUNT: dict[str, Any] = {"id": "acct_stub", "object": "account", "charges_enabled": True}
"""What `/v1/account` tells."""

ENDPOINTS: list[dict[str, Any]] = []
"""What `/v1/webhook_endpoints` lists."""


class Wrong(Exception):
    """An error of Stripe's: its status and what its `error` says."""

    def __init__(self, status: int, **error: Any) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


def _act(allowed: str, do: Callable[..., Object]) -> Callable[..., Answer]:
    """A route that takes these parameters and no others."""

    def act(params: Params, *ids: str) -> Answer:
        expands = params.get("expand", [])
        unknown = set(params) - set(allowed.split()) - {"expand"}
        if unknown:
            return 400, {"error": {"type": "invalid_request_error", "code": "parameter_unknown", "param": min(unknown)}}
        try:
            with till() as at:
                found = do(at, params, *ids)
            return 200, _expanded(_public(found), expands)
        except Wrong as wrong:
            return wrong.status, {"error": wrong.error}
        except Refused as refused:
            status = 404 if refused.code == "resource_missing" else 400
            error = {"type": "invalid_request_error", "code": refused.code, "message": "It cannot be done."}
            return status, {"error": error}

    return act


def _public(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _public(value) for name, value in shown(found).items()}
    return [_public(each) for each in found] if isinstance(found, list) else found


def _expanded(found: Any, expands: list[str]) -> Any:
    for path in expands:
        parts = path.split(".")
        if len(parts) > 4:
            raise AssertionError("Stripe expands four levels at most")
        _expand(found, parts)
    return found


def _expand(found: Any, parts: list[str]) -> None:
    if isinstance(found, list):
        for each in found:
            _expand(each, parts)
        return
    name, *rest = parts
    value = found[name]
    if isinstance(value, str):
        with readings() as session:
            value = _public(mock_objects.get(session, value))
        found[name] = value
    if rest and value is not None:
        _expand(value, rest)


def _declined(intent: Object) -> Wrong:
    error = intent["last_payment_error"]
    return Wrong(402, type="card_error", code=error["code"], decline_code=error["decline_code"], message="Declined.")


def _customer(at: Till, asked: Params) -> Object:
    settings = {"default_payment_method": None}
    return at.new("customer", "cus", email=asked.get("email"), metadata=asked["metadata"], invoice_settings=settings)


def _page(at: Till, asked: Params) -> Object:
    at.take(asked["customer"])
    [line] = asked["line_items"]
    is_plan = asked["mode"] == "subscription"
    assert not is_plan or "price" in line, "plans have a price of their own"
    marks = (asked["subscription_data"] if is_plan else asked["payment_intent_data"])["metadata"]
    assert marks == asked["metadata"] == {"checkout_id": asked["client_reference_id"]}
    trial = int(asked.get("subscription_data", {}).get("trial_period_days", 0)) or None
    sold = at.take(line["price"]) if is_plan else line["price_data"]
    made = at.new(
        "checkout.session", "cs", customer=asked["customer"], mode=asked["mode"], status="open",
        payment_status="unpaid", amount_total=0 if trial else int(sold["unit_amount"]), currency=sold["currency"],
        client_reference_id=asked["client_reference_id"], metadata=asked["metadata"],
        success_url=asked["success_url"], cancel_url=asked["cancel_url"], payment_intent=None, subscription=None,
        invoice=None, expires_at=at.now + 86_400, _title="a plan" if is_plan else sold["product_data"]["name"],
        _price=line.get("price"), _trial_days=trial, _intent=None, _card=None, _due=None,
    )  # fmt: skip
    made["url"] = f"https://checkout.example.com/{made['id']}"
    return made


def _expire(at: Till, asked: Params, page_id: str) -> Object:
    counter.expire(at, page_id)
    return at.take(page_id)


def _intent(at: Till, asked: Params) -> Object:
    at.take(asked["customer"])
    made = bank.new_intent(
        at, customer=asked["customer"], amount=int(asked["amount"]), currency=asked["currency"],
        description=asked["description"], metadata=asked["metadata"],
    )  # fmt: skip
    made["_card"] = None
    if asked.get("confirm") == "true":
        assert asked["off_session"] == "true"
        if not bank.charge(at, made, at.take(asked["payment_method"]), present=False):
            raise _declined(made)
    return made


def _cancel_intent(at: Till, asked: Params, intent_id: str) -> Object:
    counter.expire(at, intent_id)
    return at.take(intent_id)


def _subscription(at: Till, asked: Params, subscription_id: str) -> Object:
    found = at.take(subscription_id)
    if "items" in asked:
        assert asked["proration_behavior"] == "always_invoice"
        assert asked["payment_behavior"] == "error_if_incomplete"
        [item] = asked["items"]
        assert item["id"] == billing.item_of(found)["id"]
        assert found["schedule"] is None, "it is still to follow its schedule"
        declined = billing.change(at, subscription_id, at.take(item["price"]))
        if declined:
            raise Wrong(402, type="card_error", code="card_declined", decline_code=declined, message="Declined.")
        return at.take(subscription_id)
    if asked["cancel_at_period_end"] == "true":
        assert found["schedule"] is None, "the schedule decides when it ends"
        billing.stop(at, subscription_id, at_period_end=True)
    else:
        billing.resume(at, subscription_id)
    return at.take(subscription_id)


def _stop(at: Till, asked: Params, subscription_id: str) -> Object:
    if at.take(subscription_id)["status"] in billing.OVER:
        raise Wrong(404, type="invalid_request_error", code="resource_missing", message="No such subscription.")
    billing.stop(at, subscription_id, at_period_end=False)
    return at.take(subscription_id)


def _schedule(at: Till, asked: Params) -> Object:
    found = at.take(asked["from_subscription"])
    assert found["schedule"] is None
    item = billing.item_of(found)
    phase = {"start_date": item["current_period_start"], "end_date": item["current_period_end"]}
    made = at.new(
        "subscription_schedule", "sub_sched", customer=found["customer"], subscription=found["id"], status="active",
        end_behavior="release", current_phase=phase,
        phases=[{**phase, "items": [{"price": item["price"]["id"], "quantity": 1}]}],
    )  # fmt: skip
    found["schedule"] = made["id"]
    return made


def _reschedule(at: Till, asked: Params, schedule_id: str) -> Object:
    made = at.take(schedule_id)
    now, following = asked["phases"]
    assert asked["end_behavior"] == "release"
    assert asked["proration_behavior"] == now["proration_behavior"] == following["proration_behavior"] == "none"
    assert int(now["start_date"]) == made["current_phase"]["start_date"]
    assert following["duration"] in ({"interval": each, "interval_count": "1"} for each in ("month", "year"))
    found = at.take(made["subscription"])
    assert now.get("trial_end") == (str(found["trial_end"]) if found["status"] == "trialing" else None)
    ends = int(now["end_date"])
    made["phases"] = [
        {"start_date": int(now["start_date"]), "end_date": ends, "items": now["items"]},
        {"start_date": ends, "end_date": None, "items": following["items"]},
    ]
    at.take(made["subscription"]).update(cancel_at_period_end=False, cancel_at=None)
    at.tell("customer.subscription.updated", at.take(made["subscription"]))
    return made


def _release(at: Till, asked: Params, schedule_id: str) -> Object:
    billing.release(at, at.take(at.take(schedule_id)["subscription"]))
    return at.take(schedule_id)


def _product(at: Till, asked: Params) -> Object:
    if mock_objects.find(at.session, asked["id"]):
        raise Wrong(400, type="invalid_request_error", code="resource_already_exists", message="Product exists.")
    mock_objects.add(
        at.session, object_id=asked["id"], kind="product", data={**asked, "object": "product", "created": at.now}
    )
    return at.take(asked["id"])


def _rename(at: Till, asked: Params, product_id: str) -> Object:
    found = at.take(product_id)
    found["name"] = asked["name"]
    return found


def _price(at: Till, asked: Params) -> Object:
    product = at.take(asked["product"])
    assert asked["transfer_lookup_key"] == "true"
    return at.new(
        "price", "price", active=True, currency=asked["currency"], unit_amount=int(asked["unit_amount"]),
        recurring={"interval": asked["recurring"]["interval"], "interval_count": 1}, lookup_key=asked["lookup_key"],
        metadata=asked["metadata"], nickname=product["name"], product=product["id"], type="recurring",
    )  # fmt: skip


def _refund(at: Till, asked: Params) -> Object:
    return bank.give_back(at, asked["payment_intent"], int(asked["amount"]))


def _portal(at: Till, asked: Params) -> Object:
    made = at.new("billing_portal.session", "bps", **asked)
    made["url"] = f"https://billing.example.com/{made['id']}"
    return made


def _get(at: Till, asked: Params, object_id: str) -> Object:
    return at.look(object_id)


def _list(kind: str) -> Callable[..., Object]:
    """A list of objects of a kind, newest first, in pages as Stripe has them."""

    def found(at: Till, asked: Params) -> Object:
        members = {name: asked[name] for name in ("customer", "charge") if name in asked}
        rows = at.where(kind, **members)[::-1]
        rows = [row for row in rows if row["created"] >= int(asked.get("created", {}).get("gte", 0))]
        if "types" in asked:
            assert len(asked["types"]) <= 20
            rows = [row for row in rows if row["type"] in asked["types"]]
        if "lookup_keys" in asked:
            rows = [row for row in rows if row["lookup_key"] in asked["lookup_keys"]]
        if "ids" in asked:
            rows = [row for row in rows if row["id"] in asked["ids"]]
        if after := asked.get("starting_after"):
            rows = rows[[row["id"] for row in rows].index(after) + 1 :]
        # Small pages, so that whoever does not turn them is found out.
        limit = min(int(asked.get("limit", 10)), 3)
        return {"object": "list", "data": rows[:limit], "has_more": len(rows) > limit, "url": f"/v1/{PATHS[kind]}"}

    return found


PATHS = {
    "checkout.session": "checkout/sessions", "payment_intent": "payment_intents", "invoice": "invoices",
    "subscription": "subscriptions", "refund": "refunds", "dispute": "disputes", "event": "events",
    "payment_method": "payment_methods", "price": "prices", "product": "products",
}  # fmt: skip
PAGING = "limit starting_after created"
ONE = r"/([A-Za-z0-9_]+)"

PAGE_PARAMS = (
    "customer client_reference_id metadata success_url cancel_url mode line_items subscription_data "
    "payment_intent_data payment_method_options"
)
INTENT_PARAMS = (
    "amount currency customer description metadata payment_method_options payment_method off_session confirm"
)
PRICE_PARAMS = "currency unit_amount recurring product lookup_key transfer_lookup_key metadata"
LIST_PARAMS = {
    "subscription": "status", "payment_method": "customer type", "event": "types", "refund": "charge",
    "price": "lookup_keys active type", "product": "ids",
}  # fmt: skip

ROUTES: list[tuple[str, str, Callable[..., Answer]]] = [
    ("POST", "/v1/customers", _act("email metadata", _customer)),
    ("POST", "/v1/checkout/sessions", _act(PAGE_PARAMS, _page)),
    ("POST", f"/v1/checkout/sessions{ONE}/expire", _act("", _expire)),
    ("POST", "/v1/payment_intents", _act(INTENT_PARAMS, _intent)),
    ("POST", f"/v1/payment_intents{ONE}/cancel", _act("", _cancel_intent)),
    (
        "POST", f"/v1/subscriptions{ONE}",
        _act("items proration_behavior payment_behavior cancel_at_period_end", _subscription),
    ),
    ("DELETE", f"/v1/subscriptions{ONE}", _act("", _stop)),
    ("POST", "/v1/subscription_schedules", _act("from_subscription", _schedule)),
    ("POST", f"/v1/subscription_schedules{ONE}", _act("end_behavior proration_behavior phases", _reschedule)),
    ("POST", f"/v1/subscription_schedules{ONE}/release", _act("", _release)),
    ("POST", "/v1/products", _act("id name metadata", _product)),
    ("POST", f"/v1/products{ONE}", _act("name", _rename)),
    ("POST", "/v1/prices", _act(PRICE_PARAMS, _price)),
    ("POST", "/v1/refunds", _act("payment_intent amount", _refund)),
    ("POST", "/v1/billing_portal/sessions", _act("customer return_url", _portal)),
    ("GET", "/v1/account", lambda params: (200, ACCOUNT)),
    ("GET", "/v1/webhook_endpoints", lambda params: (200, {"object": "list", "data": ENDPOINTS, "has_more": False})),
    *(
        ("GET", f"/v1/{path}", _act(f"{PAGING} {LIST_PARAMS.get(kind, '')}", _list(kind)))
        for kind, path in PATHS.items()
    ),
    ("GET", f"/v1/(?:[a-z_]+|checkout/sessions){ONE}", _act("", _get)),
]  # fmt: skip
