"""The story of media-studio: pictures, clips, speech and lip-sync under plans with credits per cycle."""

from __future__ import annotations

from datetime import UTC, datetime

from tests.presets.stories import PICTURE, SOUND, Customer, Product
from tests.system.house import until

PRESET = "media-studio"

FACE = {"image_url": PICTURE, "audio_url": SOUND}


def _code(customer: Customer) -> str:
    code: str = customer.see("/v1/referrals")["code"]
    return code


def test_what_is_sold(product: Product) -> None:
    plans = [
        (
            plan["title"],
            {each: (money["amount"], money["currency"]) for each, money in plan["prices"].items()},
            [(given["amount"], given["period"]) for given in plan["allowances"]],
        )
        for plan in product.shown("plans")
    ]
    assert plans == [
        ("Free", {"monthly": (0, "USD")}, [(60, "cycle")]),
        ("Basic", {"monthly": (1500, "USD"), "yearly": (21000, "USD")}, [(500, "cycle")]),
        ("Premium", {"monthly": (2900, "USD"), "yearly": (29000, "USD")}, [(1200, "cycle")]),
    ]
    actions = {action["name"]: action for action in product.shown("actions")}
    five = {"form": "fixed", "amount": 5}
    assert {name: action["price"] for name, action in actions.items()} == {
        "text_to_image": five,
        "image_to_image": five,
        "upscale": five,
        "video": {
            "form": "table",
            "quantity": "seconds",
            "rows": [{"least": 5, "most": 5, "amount": 25}, {"least": 8, "most": 10, "amount": 50}],
        },
        "audio": {"form": "per_unit", "quantity": "seconds", "unit": 15, "amount": 1},
        "lipsync": {"form": "per_unit", "quantity": "seconds", "unit": 10, "amount": 20},
    }
    assert all(action["description"] for action in actions.values()), "costs come with descriptions"
    packs = [
        (pack["name"], pack["price"]["amount"], pack["credits"], pack["bonus"], pack["expires_days"])
        for pack in product.shown("packs")
    ]
    assert packs == [
        ("small", 499, {"credits": 100}, {}, 365),
        ("large", 1999, {"credits": 500}, {"credits": 50}, 365),
    ]


def test_a_new_user_is_on_the_free_plan_with_60_credits(product: Product) -> None:
    customer = product.sign_up()
    plans = customer.see("/v1/plans")
    assert plans["current"]["plan"] == "free"
    assert customer.balances() == {"credits": 60}
    assert customer.statement() == [("credit", 60, 60, "Allowance")]


def test_every_kind_of_media_costs_what_it_should(product: Product) -> None:
    customer = product.sign_up()
    customer.subscribe("premium", "--billing", "yearly")
    prompt = {"prompt": "a fox"}
    assert customer.price("text_to_image", **prompt) == 5
    assert [customer.price("video", **prompt, seconds=seconds) for seconds in (5, 8, 9, 10)] == [25, 50, 50, 50]
    # Fifteen characters are taken for a second.
    assert [customer.price("audio", text="x" * length) for length in (1, 225, 226, 451)] == [1, 1, 2, 3]
    assert [customer.price("lipsync", **FACE, seconds=seconds) for seconds in (1, 10, 11, 21)] == [20, 20, 40, 60]
    charged = [
        customer.charged("text_to_image", **prompt),
        customer.charged("image_to_image", **prompt, image_url=PICTURE),
        customer.charged("upscale", image_url=PICTURE),
        customer.charged("video", **prompt, seconds=5),
        customer.charged("video", **prompt, seconds=8),
        customer.charged("audio", text="x" * 226),
        customer.charged("lipsync", **FACE, seconds=11),
    ]
    assert charged == [5, 5, 5, 25, 50, 2, 40]
    assert customer.balances() == {"credits": 60 + 1200 - sum(charged)}
    for seconds in (4, 6, 7, 11):
        problem = customer.problem("/v1/jobs", {"action": "video", "input": {**prompt, "seconds": seconds}})
        assert (problem["status"], problem["errors"][0]["field"]) == (422, "input.seconds")


def test_too_few_credits_say_how_many_are_required(product: Product) -> None:
    customer = product.sign_up()
    customer.run("video", prompt="a fox", seconds=10)
    assert customer.short("video", prompt="a fox", seconds=5) == (25, 10, 15)
    customer.buy("small", ref=f"{customer.email}-1")
    assert customer.see("/v1/plans")["current"]["plan"] == "free", "a purchase without a change of plan"
    assert customer.charged("video", prompt="a fox", seconds=5) == 25
    assert customer.balances() == {"credits": 85}


def test_an_upgrade_adds_the_plans_credits_and_is_recorded(product: Product) -> None:
    customer = product.sign_up()
    for _ in range(2):
        customer.subscribe("basic", "--billing", "monthly")
        assert customer.see("/v1/plans")["current"]["plan"] == "basic"
        assert customer.balances() == {"credits": 560}
    customer.subscribe("premium", "--billing", "monthly")
    assert customer.balances() == {"credits": 1760}
    assert customer.statement() == [
        ("credit", 60, 60, "Allowance"), ("credit", 500, 560, "Allowance"), ("credit", 1200, 1760, "Allowance"),
    ]  # fmt: skip
    last = customer.see("/v1/transactions", limit=1)["transactions"][0]
    assert (last["source"], last["metadata"]) == ("plan", {"plan": "premium"})


def test_every_transaction_records_all_that_is_asked_for(product: Product) -> None:
    customer = product.sign_up()
    done = customer.run("text_to_image", prompt="a fox")
    failed = customer.ended(customer.accepted("audio", text="[mock:fail]"))
    assert (failed["cost"]["charged"], failed["cost"]["refunded"]) == (0, 1)
    customer.buy("large", ref=f"{customer.email}-1")
    newest_first = customer.see("/v1/transactions", limit=10)["transactions"]
    told = [
        (each["type"], each["amount"], each["balance_after"], each["action"], each["kind"], each["description"])
        for each in newest_first
    ]
    assert told[::-1] == [
        ("credit", 60, 60, None, None, "Allowance"),
        ("debit", -5, 55, "text_to_image", "image", "Text to image"),
        ("debit", -1, 54, "audio", "speech", "Audio: 1 × 1"),
        ("refund", 1, 55, "audio", "speech", "Audio: 1 × 1"),
        ("purchase", 500, 555, None, None, "500 credits"),
        ("credit", 50, 605, None, None, "500 credits: bonus"),
    ]
    assert [each["job_id"] for each in newest_first][::-1] == [None, done["id"], failed["id"], failed["id"], None, None]
    assert all(each["created_at"] for each in newest_first)
    assert newest_first[0]["metadata"]["pack"] == "large"
    assert [len(page) for page in customer.pages("transactions", limit=4)] == [4, 2]
    assert [len(page) for page in customer.pages("jobs", limit=1)] == [1, 1]


def test_a_cycle_is_a_month_also_of_a_yearly_plan_and_its_rest_expires(product: Product) -> None:
    product.set_clock(datetime(2030, 1, 15, 12, tzinfo=UTC))
    customer = product.sign_up()
    customer.subscribe("basic", "--billing", "yearly")
    customer.buy("small", ref=f"{customer.email}-1")
    customer.charged("video", prompt="a fox", seconds=10)
    assert customer.balances() == {"credits": 60 + 500 + 100 - 50}
    product.set_clock(datetime(2030, 2, 15, 12, 1, tzinfo=UTC))
    until(lambda: product.granted(customer, "plan") == [60, 500, 500])
    assert customer.balances() == {"credits": 500 + 100}
    product.set_clock(datetime(2030, 3, 15, 12, 1, tzinfo=UTC))
    for _ in range(2):
        assert customer.balances() == {"credits": 500 + 100}
    assert product.granted(customer, "plan") == [60, 500, 500, 500]
    (wallet,) = customer.see("/v1/wallets")["wallets"]
    assert (wallet["usage"]["bought"], wallet["usage"]["granted"], wallet["usage"]["spent"]) == (100, 1560, 50)
    product.set_clock(datetime(2031, 1, 16, 12, 1, tzinfo=UTC))
    assert customer.balances() == {"credits": 500}, "what was bought expires after a year"


def test_a_campaigns_code_works_once_for_each(product: Product) -> None:
    customer = product.sign_up()
    redeemed = customer.http.post("/v1/redemptions", json={"code": "welcome25"})
    assert (redeemed.status_code, redeemed.json()["credits"]) == (201, {"credits": 25})
    assert customer.balances() == {"credits": 85}
    again = customer.problem("/v1/redemptions", {"code": "WELCOME25"})
    assert (again["status"], again["code"], again["why"]) == (409, "code_not_good", "already_redeemed")
    assert customer.problem("/v1/redemptions", {"code": "NEVER"})["why"] == "unknown"
    assert customer.statement()[1:] == [("credit", 25, 85, "25 credits to begin with")]
    assert customer.http.post("/v1/redemptions", json={"code": "BASIC-MONTH"}).status_code == 201
    current = customer.see("/v1/plans")["current"]
    assert current["plan"] == "basic"
    assert current["ends_at"] is not None
    assert customer.balances() == {"credits": 585}
    assert [[each["code"] for each in page] for page in customer.pages("redemptions", limit=1)] == [
        ["BASIC-MONTH"], ["WELCOME25"],
    ]  # fmt: skip


def test_who_brings_a_user_and_who_is_brought_both_get_credits(product: Product) -> None:
    referrer, brought = product.sign_up(), product.sign_up()
    assert brought.http.post("/v1/referrals", json={"code": _code(referrer)}).status_code == 201
    assert (referrer.balances(), brought.balances()) == ({"credits": 60}, {"credits": 60}), "not before the address is"
    for _ in range(2):
        product.flask("users", "verify", brought.email)
        assert (referrer.balances(), brought.balances()) == ({"credits": 90}, {"credits": 75})
    assert brought.problem("/v1/referrals", {"code": _code(referrer)})["status"] == 409
    assert referrer.problem("/v1/referrals", {"code": _code(referrer)})["why"] == "own_code"
    standing = referrer.see("/v1/referrals")
    assert (standing["referred"], standing["rewarded"], standing["earned"]) == (1, 1, {"credits": 30})
