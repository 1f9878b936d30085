"""The story of companion-subscriptions: two tiers with features, and tokens for what they do not include."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from tests.presets.stories import Customer, Product
from tests.system.house import until

PRESET = "companion-subscriptions"


def _january(day: int, hour: int = 12) -> datetime:
    return datetime(2030, 1, day, hour, tzinfo=UTC)


def _free(customer: Customer) -> set[str]:
    """The actions that the customer's plan includes."""
    return {action["name"] for action in customer.see("/v1/actions")["actions"] if action["free"]}


def test_what_is_sold(product: Product) -> None:
    packs = [
        (pack["title"], pack["price"], pack["credits"]["tokens"], pack["bonus"].get("tokens", 0))
        for pack in product.shown("packs")
    ]
    assert packs == [
        ("Small", {"amount": 499, "currency": "EUR"}, 100, 0),
        ("Medium", {"amount": 999, "currency": "EUR"}, 250, 25),
        ("Large", {"amount": 1999, "currency": "EUR"}, 600, 100),
        ("Mega", {"amount": 3999, "currency": "EUR"}, 1500, 300),
    ]
    premium, elite = product.shown("plans")
    assert (premium["title"], premium["prices"]) == ("Premium", {"monthly": {"amount": 999, "currency": "EUR"}})
    assert (elite["title"], elite["prices"]) == ("Elite", {"monthly": {"amount": 1999, "currency": "EUR"}})
    assert (premium["limits"], elite["limits"]) == ({"active_companions": 3}, {})
    assert premium["allowances"] == [{"wallet": "tokens", "amount": 500, "period": "weekly", "rollover": False}]
    assert elite["allowances"] == []
    assert [free["action"] or free["wallet"] for free in premium["unlimited"]] == ["message"]
    assert [free["action"] or free["wallet"] for free in elite["unlimited"]] == ["message", "tokens"]
    assert {"hd_photos", "no_ads", "voice_messages", "priority_generation"} <= set(premium["features"])
    assert set(elite["features"]) - set(premium["features"]) == {
        "unlimited_companions", "unlimited_tokens", "video_generation", "custom_companion", "priority_support",
        "beta_features", "badge",
    }  # fmt: skip
    assert premium["priority"] is True
    prices = {action["name"]: (action["kind"], action["price"]) for action in product.shown("actions")}
    assert prices == {
        "message": ("chat", {"form": "fixed", "amount": 1}),
        "photo": ("image", {"form": "fixed", "amount": 5}),
        "video": ("video", {"form": "fixed", "amount": 15}),
        "skip_level": ("spend", {"form": "level", "quantity": "level", "least": 10, "most": 50, "step": 10}),
        "unlock_scenario": ("spend", {"form": "fixed", "amount": 20}),
    }
    gated = [action for action in product.shown("actions") if action["requires"]]
    assert [(each["name"], each["available"], each["unavailable_because"]) for each in gated] == [
        ("video", False, "feature_required"),
    ]  # fmt: skip


def test_without_a_plan_everything_costs_tokens_and_video_is_not_to_be_had(product: Product) -> None:
    customer = product.sign_up()
    assert customer.see("/v1/plans")["current"] is None
    assert customer.balances() == {"tokens": 20}
    assert customer.charged("message", prompt="Good morning!") == 1
    photo = customer.run("photo", prompt="at the lake")
    assert photo["cost"]["charged"] == 5
    assert product.queue_of(photo) == "generation"
    problem = customer.problem("/v1/jobs", {"action": "video", "input": {"prompt": "a dance"}})
    assert (problem["status"], problem["code"], problem["feature"], problem["plans"]) == (
        403, "feature_required", "video_generation", ["elite"],
    )  # fmt: skip
    short = customer.problem("/v1/spends", {"action": "unlock_scenario", "input": {"reference": "moonlight"}})
    assert (short["status"], short["required"], short["available"], short["shortfall"]) == (402, 20, 14, 6)
    customer.buy("small", ref=f"{customer.email}-1")
    assert customer.spent("unlock_scenario", reference="moonlight") == 20
    assert customer.balances() == {"tokens": 94}
    assert _free(customer) == set()


def test_skipping_a_level_costs_ten_to_fifty(product: Product) -> None:
    customer = product.sign_up()
    customer.buy("medium", ref=f"{customer.email}-1")
    assert customer.balances() == {"tokens": 20 + 250 + 25}
    costs = [customer.spent("skip_level", level=level) for level in (1, 2, 3, 4, 5, 6, 60)]
    assert costs == [10, 20, 30, 40, 50, 50, 50]
    assert customer.balances() == {"tokens": 45}
    assert customer.statement(action="skip_level")[0] == ("debit", -10, 285, "Skip a level")


def test_premium_has_500_tokens_a_week_free_messages_and_goes_first(product: Product) -> None:
    product.set_clock(_january(9))  # a Wednesday
    customer = product.sign_up()
    for _ in range(2):
        customer.subscribe("premium", "--billing", "monthly")
        assert customer.balances() == {"tokens": 520}
    assert _free(customer) == {"message"}
    message = customer.run("message", prompt="Good morning!")
    assert (message["cost"]["estimate"], message["cost"]["charged"]) == (0, 0)
    assert message["cost"]["breakdown"] == [{"label": "Message: included in Premium", "amount": 0}]
    assert product.queue_of(message) == "generation.high"
    photo = customer.run("photo", prompt="at the lake")
    assert (photo["cost"]["charged"], product.queue_of(photo)) == (5, "generation.high")
    problem = customer.problem("/v1/jobs", {"action": "video", "input": {"prompt": "a dance"}})
    assert (problem["status"], problem["code"], problem["plans"]) == (403, "feature_required", ["elite"])
    (wallet,) = customer.see("/v1/wallets")["wallets"]
    assert wallet["resets_at"] == "2030-01-14T00:00:00Z", "Monday"
    product.set_clock(datetime(2030, 1, 13, 23, 50, tzinfo=UTC))
    assert customer.balances() == {"tokens": 515}
    product.set_clock(_january(14, 0))
    assert customer.balances() == {"tokens": 520}
    assert customer.statement()[-2:] == [("expiry", -495, 20, "Expired"), ("credit", 500, 520, "Weekly allowance")]
    product.set_clock(_january(21, 0))
    until(lambda: product.granted(customer, "weekly") == [500, 500, 500])
    assert customer.balances() == {"tokens": 520}, "and beat did it by itself"


def test_elite_has_video_and_pays_no_tokens(product: Product) -> None:
    customer = product.sign_up()
    customer.subscribe("elite", "--billing", "monthly")
    assert customer.see("/v1/plans")["current"]["title"] == "Elite"
    assert _free(customer) == {"message", "photo", "video", "skip_level", "unlock_scenario"}
    assert all(action["available"] for action in customer.see("/v1/actions")["actions"])
    for action, prompt in (("message", "Good morning!"), ("photo", "at the lake"), ("video", "a dance")):
        job = customer.run(action, prompt=prompt)
        assert (job["cost"]["held"], product.queue_of(job)) == (0, "generation.high")
    assert customer.spent("skip_level", level=5) == 0
    assert customer.spent("unlock_scenario", reference="moonlight") == 0
    failed = customer.ended(customer.accepted("video", prompt="[mock:fail]"))
    assert (failed["status"], failed["cost"]["charged"], failed["cost"]["refunded"]) == ("failed", 0, 0)
    assert customer.statement() == [("credit", 20, 20, "Welcome tokens")], "nothing came and nothing went"


def test_when_the_plan_ends_its_features_are_revoked_and_bought_tokens_stay(product: Product) -> None:
    product.set_clock(datetime(2030, 2, 6, 12, tzinfo=UTC))
    customer = product.sign_up()
    customer.buy("mega", ref=f"{customer.email}-1")
    customer.subscribe("elite")
    customer.charged("video", prompt="a dance")
    for _ in range(2):
        product.flask("plans", "end", customer.email)
    assert customer.see("/v1/plans")["current"] is None
    problem = customer.problem("/v1/jobs", {"action": "video", "input": {"prompt": "a dance"}})
    assert (problem["status"], problem["code"]) == (403, "feature_required")
    assert customer.balances() == {"tokens": 20 + 1500 + 300}
    assert customer.charged("message", prompt="Are you there?") == 1
    customer.subscribe("premium", "--months", "1")
    assert customer.balances() == {"tokens": 1819 + 500}
    product.set_clock(datetime(2030, 3, 6, 12, 1, tzinfo=UTC))
    assert customer.see("/v1/plans")["current"] is None, "a month is over, and with it the plan"
    assert customer.charged("message", prompt="Are you there?") == 1


def test_a_failed_photo_gives_its_tokens_back(product: Product) -> None:
    customer = product.sign_up()
    job = customer.ended(customer.accepted("photo", prompt="[mock:filtered]"))
    assert (job["status"], job["error"]["code"], job["cost"]["refunded"]) == ("failed", "content_filtered", 5)
    assert customer.statement() == [
        ("credit", 20, 20, "Welcome tokens"), ("debit", -5, 15, "Photo"), ("refund", 5, 20, "Photo"),
    ]  # fmt: skip
    pages: list[list[dict[str, Any]]] = customer.pages("transactions", limit=1)
    assert [[each["type"] for each in page] for page in pages] == [["refund"], ["debit"], ["credit"]]


def test_premium_keeps_three_companions_active_and_elite_as_many_as_it_likes(product: Product) -> None:
    customer = product.sign_up()
    place = "/v1/entitlements/active_companions"
    assert customer.http.put(f"{place}/luna").status_code == 403, "without a plan there are none"
    customer.subscribe("premium")
    for name, status in (("luna", 201), ("mira", 201), ("nova", 201), ("nova", 200)):
        assert customer.http.put(f"{place}/{name}").status_code == status
    fourth = customer.http.put(f"{place}/vega")
    assert (fourth.status_code, fourth.json()["code"], fourth.json()["limit"], fourth.json()["used"]) == (
        403, "limit_reached", 3, 3,
    )  # fmt: skip
    for _ in range(2):
        assert customer.http.delete(f"{place}/mira").status_code == 204
    assert customer.http.put(f"{place}/vega").status_code == 201
    assert customer.see("/v1/entitlements")["limits"] == {"active_companions": {"limit": 3, "used": 3}}
    customer.subscribe("elite")
    for number in range(10):
        assert customer.http.put(f"{place}/companion-{number}").status_code == 201
    assert customer.see("/v1/entitlements")["limits"] == {"active_companions": {"limit": None, "used": 13}}
    assert [len(page) for page in customer.pages_of(place, "items", limit=5)] == [5, 5, 3]
