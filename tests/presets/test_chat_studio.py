"""The story of chat-studio: analyses of conversations and pictures, with a daily allowance by tier."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from zoneinfo import ZoneInfo

from tests.presets.stories import PICTURE, Customer, Product
from tests.system.house import until

PRESET = "chat-studio"

BERLIN = ZoneInfo("Europe/Berlin")
QUESTION = {"prompt": "What is in it?", "image_url": PICTURE}


def _march(day: int, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(2030, 3, day, hour, minute, tzinfo=BERLIN)


@contextmanager
def _beat_asleep(product: Product) -> Iterator[None]:
    """What happens now, beat had no hand in."""
    beat = product.house.find("beat")
    beat.suspend()
    try:
        yield
    finally:
        beat.resume()


def _resets_at(customer: Customer) -> str:
    (wallet,) = customer.see("/v1/wallets")["wallets"]
    resets_at: str = wallet["resets_at"]
    return resets_at


def test_what_is_sold(product: Product) -> None:
    assert {action["name"]: (action["kind"], action["price"]) for action in product.shown("actions")} == {
        "short_chat": ("chat", {"form": "fixed", "amount": 5}),
        "long_chat": ("chat", {"form": "fixed", "amount": 20}),
        "image_analysis": ("vision", {"form": "fixed", "amount": 50}),
    }
    packs = {
        pack["name"]: (
            pack["price"]["amount"],
            pack["price"]["currency"],
            pack["credits"],
            pack["bonus"],
            pack["quick"],
        )
        for pack in product.shown("packs")
    }
    assert packs == {
        "quick": (299, "USD", {"credits": 100}, {"credits": 10}, True),
        "standard": (999, "USD", {"credits": 400}, {"credits": 50}, False),
        "large": (2499, "USD", {"credits": 1200}, {"credits": 300}, False),
    }
    tiers = [
        (plan["name"], plan["rank"], {each: money["amount"] for each, money in plan["prices"].items()}, [
            (given["amount"], given["period"]) for given in plan["allowances"]
        ])
        for plan in product.shown("plans")
    ]  # fmt: skip
    assert tiers == [
        ("pro", 0, {}, [(100, "daily")]),
        ("plus", 1, {"monthly": 999, "yearly": 9990}, [(300, "daily")]),
        ("ultra", 2, {"monthly": 2499, "yearly": 24990}, [(1000, "daily")]),
    ]


def test_a_new_user_is_pro_and_every_welcome_credit_is_on_the_statement(product: Product) -> None:
    customer = product.sign_up()
    plans = customer.see("/v1/plans")
    assert plans["current"]["plan"] == "pro"
    assert [plan["name"] for plan in plans["plans"] if plan["current"]] == ["pro"]
    assert customer.balances() == {"credits": 175}
    assert customer.statement() == [
        ("credit", 50, 50, "Welcome credits"),
        ("credit", 25, 75, "Sign-up bonus"),
        ("credit", 100, 175, "Daily allowance"),
    ]


def test_the_three_analyses_cost_what_they_should_and_chats_suggest_replies(product: Product) -> None:
    customer = product.sign_up()
    short = customer.accepted("short_chat", prompt="She wrote: see you at eight?")
    assert (short["object"], short["status"], short["cost"]["held"]) == ("job", "queued", 5)
    short = customer.ended(short)
    assert (short["status"], short["cost"]["charged"]) == ("completed", 5)
    (analysis,) = short["outputs"]
    assert (analysis["type"], len(analysis["suggestions"])) == ("analysis", 3)
    long = customer.run("long_chat", prompt="She wrote a very long letter.")
    assert long["cost"]["charged"] == 20
    assert len(long["outputs"][0]["suggestions"]) == 5
    picture = customer.run("image_analysis", **QUESTION)
    assert picture["cost"]["charged"] == 50
    assert picture["outputs"][0]["text"]
    assert short["usage"]["input_tokens"] > 0, "token usage is recorded"
    assert customer.balances() == {"credits": 100}
    history = customer.pages("jobs", limit=2)
    assert [[job["action"] for job in page] for page in history] == [["image_analysis", "long_chat"], ["short_chat"]]
    stranger = product.sign_up()
    assert stranger.http.get(short["urls"]["get"]).status_code == 404, "owners see only their own"


def test_short_of_credits_is_a_402_and_the_quick_pack_helps(product: Product) -> None:
    customer = product.sign_up()
    for _ in range(3):
        customer.run("image_analysis", **QUESTION)
    assert customer.short("image_analysis", **QUESTION) == (50, 25, 25)
    assert customer.short("image_analysis", **QUESTION) == (50, 25, 25)
    customer.buy("quick", ref=f"{customer.email}-1")
    assert customer.balances() == {"credits": 25 + 100 + 10}
    assert customer.charged("image_analysis", **QUESTION) == 50


def test_a_failed_analysis_costs_nothing(product: Product) -> None:
    customer = product.sign_up()
    job = customer.ended(customer.accepted("long_chat", prompt="[mock:fail]"))
    assert (job["status"], job["error"]["code"], job["cost"]["charged"], job["cost"]["refunded"]) == (
        "failed", "provider_refused", 0, 20,
    )  # fmt: skip
    assert customer.statement()[3:] == [
        ("debit", -20, 155, "Long chat analysis"), ("refund", 20, 175, "Long chat analysis"),
    ]  # fmt: skip


def test_suggested_replies_are_saved_and_listed(product: Product) -> None:
    customer = product.sign_up()
    job = customer.run("short_chat", prompt="She wrote: see you at eight?")
    suggestions = job["outputs"][0]["suggestions"]
    for number, status in ((2, 201), (0, 201), (2, 200)):
        kept = customer.http.post("/v1/saved-replies", json={"job_id": job["id"], "suggestion": number})
        assert (kept.status_code, kept.json()["text"]) == (status, suggestions[number])
    pages = customer.pages("saved-replies", limit=1)
    assert [[reply["text"] for reply in page] for page in pages] == [[suggestions[0]], [suggestions[2]]]
    stranger = product.sign_up()
    assert stranger.see("/v1/saved-replies")["saved_replies"] == []
    taken = stranger.http.post("/v1/saved-replies", json={"job_id": job["id"], "suggestion": 0})
    assert taken.status_code == 404
    assert customer.http.delete(f"/v1/saved-replies/{pages[0][0]['id']}").status_code == 204
    assert [reply["text"] for reply in customer.see("/v1/saved-replies")["saved_replies"]] == [suggestions[2]]


def test_the_days_credits_are_set_anew_at_four_in_berlin_on_the_first_request(product: Product) -> None:
    product.set_clock(_march(4))
    customer = product.sign_up()
    assert _resets_at(customer) == "2030-03-05T03:00:00Z"
    customer.buy("standard", ref=f"{customer.email}-1")
    assert customer.charged("short_chat", prompt="hello") == 5
    assert customer.charged("long_chat", prompt="hello") == 20
    assert customer.balances() == {"credits": 50 + 25 + 75 + 400 + 50}
    with _beat_asleep(product):
        product.set_clock(_march(5, 3, 50))
        assert customer.balances() == {"credits": 600}, "not yet four"
        product.set_clock(_march(5, 4))
        for _ in range(2):
            assert customer.balances() == {"credits": 50 + 25 + 100 + 400 + 50}, "bought and given credits stay"
        assert customer.statement()[-2:] == [
            ("expiry", -75, 525, "Expired"), ("credit", 100, 625, "Daily allowance"),
        ]  # fmt: skip
        assert _resets_at(customer) == "2030-03-06T03:00:00Z"
        product.set_clock(_march(8, 20))
        assert customer.charged("image_analysis", **QUESTION) == 50, "submitting is a first request, too"
        assert customer.statement()[-3:] == [
            ("expiry", -100, 525, "Expired"),
            ("credit", 100, 625, "Daily allowance"),
            ("debit", -50, 575, "Image analysis"),
        ]
    assert product.granted(customer, "daily") == [100] * 3, "days on which nobody came are not made up for"


def test_beat_sets_the_days_credits_anew_before_anybody_comes(product: Product) -> None:
    product.set_clock(_march(11))
    customer = product.sign_up()
    assert customer.charged("image_analysis", **QUESTION) == 50
    product.set_clock(_march(12, 4))
    until(lambda: product.granted(customer, "daily") == [100, 100])
    assert customer.statement()[-2:] == [("expiry", -50, 75, "Expired"), ("credit", 100, 175, "Daily allowance")]


def test_whoever_runs_it_can_trigger_the_reset_and_nothing_comes_twice(product: Product) -> None:
    product.set_clock(_march(14))
    customer = product.sign_up()
    with _beat_asleep(product):
        product.set_clock(_march(15, 4))
        assert "allowances were due" in product.flask("allowances", "grant")
        assert product.granted(customer, "daily") == [100, 100]
        assert "0 allowances were due" in product.flask("allowances", "grant")
        assert customer.balances() == {"credits": 175}


def test_a_day_of_23_hours_is_one_day(product: Product) -> None:
    # In Berlin the clocks go forward in the night to 31 March 2030.
    product.set_clock(_march(30))
    customer = product.sign_up()
    assert _resets_at(customer) == "2030-03-31T02:00:00Z"
    with _beat_asleep(product):
        product.set_clock(_march(31, 4))
        assert customer.balances() == {"credits": 175}
        assert _resets_at(customer) == "2030-04-01T02:00:00Z"


def test_a_higher_tier_adds_the_difference_at_once_and_a_lower_one_takes_nothing(product: Product) -> None:
    product.set_clock(datetime(2030, 4, 8, 12, tzinfo=BERLIN))
    customer = product.sign_up()
    assert product.queue_of(customer.run("short_chat", prompt="hello")) == "generation"
    for _ in range(2):
        customer.subscribe("ultra", "--billing", "monthly")
        assert customer.see("/v1/plans")["current"] | {"started_at": ""} == {
            "plan": "ultra", "title": "Ultra", "billing": "monthly", "started_at": "", "ends_at": None,
        }  # fmt: skip
        assert customer.balances() == {"credits": 75 + 95 + 900}
    assert product.queue_of(customer.run("short_chat", prompt="hello")) == "generation.high"
    customer.subscribe("plus", "--billing", "monthly")
    assert customer.balances() == {"credits": 1065}
    with _beat_asleep(product):
        product.set_clock(datetime(2030, 4, 9, 4, tzinfo=BERLIN))
        assert customer.balances() == {"credits": 75 + 300}
        product.flask("plans", "end", customer.email)
        assert customer.see("/v1/plans")["current"]["plan"] == "pro"
        assert customer.balances() == {"credits": 75 + 300}
        product.set_clock(datetime(2030, 4, 10, 4, tzinfo=BERLIN))
        assert customer.balances() == {"credits": 75 + 100}
