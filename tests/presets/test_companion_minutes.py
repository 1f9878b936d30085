"""The story of companion-minutes: chat minutes, image credits and tip credits, sold once or by the month."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.presets.stories import Customer, Product
from tests.system.house import until

PRESET = "companion-minutes"


def _usage(customer: Customer, *names: str) -> dict[str, tuple[int, ...]]:
    wallets: list[dict[str, Any]] = customer.see("/v1/wallets")["wallets"]
    return {wallet["kind"]: tuple(wallet["usage"][name] for name in names) for wallet in wallets}


def test_what_is_sold_once_and_by_the_month(product: Product) -> None:
    assert {action["name"]: (action["kind"], action["wallet"]) for action in product.shown("actions")} == {
        "chat_minute": ("spend", "minutes"), "tip": ("spend", "tips"), "image": ("image", "images"),
    }  # fmt: skip
    packs = [(pack["name"], pack["price"], pack["credits"], pack["bonus"]) for pack in product.shown("packs")]
    assert packs == [
        ("starter", {"amount": 499, "currency": "USD"}, {"minutes": 30, "images": 5, "tips": 10}, {}),
        ("regular", {"amount": 1499, "currency": "USD"}, {"minutes": 120, "images": 20, "tips": 40}, {"minutes": 10}),
        ("tip_jar", {"amount": 999, "currency": "USD"}, {"tips": 100}, {}),
    ]
    plans = {
        plan["name"]: (
            {each: (money["amount"], money["currency"]) for each, money in plan["prices"].items()},
            {given["wallet"]: (given["amount"], given["period"], given["rollover"]) for given in plan["allowances"]},
            plan["features"],
        )
        for plan in product.shown("plans")
    }
    assert plans == {
        "basic": (
            {"monthly": (999, "USD")},
            {"minutes": (100, "cycle", False), "images": (15, "cycle", False), "tips": (20, "cycle", True)},
            ["voice_messages"],
        ),
        "unhurried": (
            {"monthly": (2499, "USD"), "yearly": (24990, "USD")},
            {"minutes": (400, "cycle", False), "images": (60, "cycle", False), "tips": (80, "cycle", True)},
            ["voice_messages", "group_chat"],
        ),
    }


def test_one_purchase_fills_three_wallets_and_the_wallets_say_what_became_of_it(product: Product) -> None:
    customer = product.sign_up()
    assert customer.balances() == {"images": 1, "minutes": 5, "tips": 0}
    for _ in range(2):
        customer.buy("regular", ref=f"{customer.email}-1")
    assert customer.balances() == {"images": 21, "minutes": 135, "tips": 40}
    assert customer.spent("chat_minute", quantity=12) == 12
    assert customer.spent("tip", quantity=7, reference="companion-3") == 7
    assert customer.charged("image", prompt="a picture") == 1
    failed = customer.ended(customer.accepted("image", prompt="[mock:fail]"))
    assert (failed["cost"]["held"], failed["cost"]["charged"], failed["cost"]["refunded"]) == (1, 0, 1)
    assert customer.balances() == {"images": 20, "minutes": 123, "tips": 33}
    assert _usage(customer, "bought", "granted", "spent", "refunded") == {
        "minutes": (120, 15, 12, 0), "images": (20, 1, 1, 1), "tips": (40, 0, 7, 0),
    }  # fmt: skip


def test_consuming_needs_credits_of_that_very_kind(product: Product) -> None:
    customer = product.sign_up()
    body = {"action": "chat_minute", "input": {"quantity": 6}}
    for _ in range(2):
        problem = customer.problem("/v1/spends", body)
        assert (problem["status"], problem["code"]) == (402, "insufficient_credits")
        assert (problem["required"], problem["available"], problem["shortfall"]) == (6, 5, 1)
    assert customer.problem("/v1/spends", {"action": "tip", "input": {}})["shortfall"] == 1
    assert customer.spent("chat_minute", quantity=5) == 5
    assert customer.balances() == {"images": 1, "minutes": 0, "tips": 0}


def test_a_spend_that_is_sent_twice_is_charged_once(product: Product) -> None:
    customer = product.sign_up()
    first = customer.spend("chat_minute", key="minute-1", quantity=2)
    again = customer.spend("chat_minute", key="minute-1", quantity=2)
    assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert (first.json()["object"], first.json()["cost"]["charged"], first.json()["balance_after"]) == ("spend", 2, 3)
    other = customer.spend("chat_minute", key="minute-1", quantity=3)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert customer.balances()["minutes"] == 3


def test_what_cannot_be_consumed_is_refused(product: Product) -> None:
    customer = product.sign_up()
    for given in ({"quantity": 0}, {"quantity": -5}, {"quantity": 1.5}, {"minutes": 1}):
        problem = customer.problem("/v1/spends", {"action": "chat_minute", "input": given})
        assert (problem["status"], problem["code"]) == (422, "invalid_input")
    picture = {"action": "image", "input": {"prompt": "a picture"}}
    assert customer.problem("/v1/spends", picture)["errors"][0]["field"] == "action"
    assert customer.problem("/v1/jobs", {"action": "tip", "input": {}})["errors"][0]["field"] == "action"


def test_consumption_has_a_rate_limit(product: Product) -> None:
    customer = product.sign_up()
    customer.buy("tip_jar", ref=f"{customer.email}-1")
    codes = [customer.spend("tip").status_code for _ in range(31)]
    assert codes == [201] * 30 + [429]
    refused = customer.spend("tip")
    assert refused.json()["code"] == "too_many_requests"
    assert int(refused.headers["Retry-After"]) >= 1
    assert customer.balances()["tips"] == 70


def test_the_statement_is_a_complete_trail_in_pages_and_by_wallet(product: Product) -> None:
    customer = product.sign_up()
    customer.buy("starter", ref=f"{customer.email}-1")
    for quantity in (1, 2, 3):
        customer.spent("tip", quantity=quantity, reference="companion-3")
    customer.charged("image", prompt="a picture")
    assert customer.statement(wallet="tips") == [
        ("purchase", 10, 10, "Starter"), ("debit", -1, 9, "Tip"), ("debit", -2, 7, "Tip"), ("debit", -3, 4, "Tip"),
    ]  # fmt: skip
    assert customer.statement(wallet="images") == [
        ("credit", 1, 1, "Welcome picture"), ("purchase", 5, 6, "Starter"), ("debit", -1, 5, "Picture"),
    ]  # fmt: skip
    assert customer.statement(wallet="minutes") == [
        ("credit", 5, 5, "Welcome minutes"), ("purchase", 30, 35, "Starter"),
    ]  # fmt: skip
    pages = customer.pages("transactions", limit=4)
    assert [len(page) for page in pages] == [4, 4, 1]
    everything = [each for page in pages for each in page]
    sums = {wallet: sum(each["amount"] for each in everything if each["wallet"] == wallet) for wallet in ("tips",)}
    assert sums == {"tips": customer.balances()["tips"]}
    assert everything[1]["metadata"] == {"reference": "companion-3"}
    assert [len(page) for page in customer.pages("spends", limit=2)] == [2, 1]


def test_a_plan_gives_three_kinds_of_credits_each_month_and_tips_stay(product: Product) -> None:
    product.set_clock(datetime(2030, 1, 31, 12, tzinfo=UTC))
    customer = product.sign_up()
    for _ in range(2):
        customer.subscribe("basic", "--billing", "monthly")
        assert customer.balances() == {"images": 1 + 15, "minutes": 5 + 100, "tips": 20}
    assert customer.spent("chat_minute", quantity=30) == 30
    product.set_clock(datetime(2030, 2, 28, 11, tzinfo=UTC))
    assert customer.balances() == {"images": 16, "minutes": 75, "tips": 20}, "February has no 31st: its last day"
    product.set_clock(datetime(2030, 2, 28, 12, 1, tzinfo=UTC))
    assert customer.balances() == {"images": 16, "minutes": 105, "tips": 40}
    assert customer.statement(wallet="minutes")[-2:] == [
        ("expiry", -70, 5, "Expired"),
        ("credit", 100, 105, "Allowance"),
    ]
    product.set_clock(datetime(2030, 3, 31, 12, 1, tzinfo=UTC))
    until(lambda: product.granted(customer, "plan").count(100) == 3)
    assert customer.balances() == {"images": 16, "minutes": 105, "tips": 60}, "and beat did it by itself"
    product.flask("plans", "end", customer.email)
    product.set_clock(datetime(2030, 4, 30, 12, 1, tzinfo=UTC))
    assert customer.balances() == {"images": 1, "minutes": 5, "tips": 60}
