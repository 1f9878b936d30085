"""The story of video-maker: videos by the minute, paid with credits from packs."""

from __future__ import annotations

import csv
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.presets.stories import PASSWORD, Customer, Product

PRESET = "video-maker"
DATABASES = ("postgresql", "sqlite")

THREE_MINUTES = {"prompt": "a film", "seconds": 180, "resolution": "720p"}
FIVE_WITH_MUSIC = {"prompt": "a film", "seconds": 300, "resolution": "1080p", "addons": ["music"]}
TEN_WITH_TTS = {"prompt": "a film", "seconds": 600, "resolution": "720p", "addons": ["premium_tts"]}


def test_what_is_sold(product: Product) -> None:
    packs = [
        (pack["name"], pack["title"], pack["price"], pack["credits"], pack["bonus"]) for pack in product.shown("packs")
    ]
    assert packs == [
        ("starter", "Starter", {"amount": 999, "currency": "USD"}, {"credits": 50}, {}),
        ("pro", "Pro", {"amount": 2499, "currency": "USD"}, {"credits": 150}, {"credits": 10}),
        ("business", "Business", {"amount": 7999, "currency": "USD"}, {"credits": 500}, {"credits": 50}),
        ("enterprise", "Enterprise", {"amount": 29999, "currency": "USD"}, {"credits": 2000}, {"credits": 200}),
    ]
    assert product.shown("plans") == []
    (video,) = product.shown("actions")
    assert video["price"] == {
        "form": "rate", "quantity": "seconds", "unit": 60, "by": "resolution", "rates": {"720p": 5, "1080p": 8},
    }  # fmt: skip
    assert {addon["name"]: addon["amount"] for addon in video["addons"]} == {
        "music": 2, "premium_tts": 3, "ai_enhancement": 4,
    }  # fmt: skip
    assert (video["available"], video["requires"], video["free"]) == (True, None, False)


def test_ten_free_credits_and_every_answer_about_oneself_carries_the_balance(product: Product) -> None:
    http = httpx.Client(base_url=product.house.url, timeout=15)
    account = {"email": "balance-everywhere@example.com", "password": PASSWORD}
    ten = {"credits": {"available": 10, "held": 0, "debt": 0}}
    assert http.post("/v1/auth/signup", json=account).json()["user"]["balances"] == ten
    signed_in = http.post("/v1/auth/login", json=account).json()
    assert signed_in["user"]["balances"] == ten
    http.headers["Authorization"] = f"Bearer {signed_in['access_token']}"
    assert http.get("/v1/me").json()["balances"] == ten
    again = Customer(http, account["email"], product)
    assert again.statement() == [("credit", 10, 10, "Free credits")]


def test_the_cost_is_shown_before_submitting_and_touches_nothing(product: Product) -> None:
    customer = product.sign_up()
    shown = customer.estimate("video", **FIVE_WITH_MUSIC)
    assert shown == {
        "action": "video",
        "wallet": "credits",
        "price": 42,
        "breakdown": [{"label": "Video, 1080p: 5 × 8", "amount": 40}, {"label": "Custom music", "amount": 2}],
        "available": 10,
        "affordable": False,
    }
    assert customer.price("video", **THREE_MINUTES) == 15
    assert customer.price("video", **TEN_WITH_TTS) == 53
    assert customer.price("video", prompt="a film", seconds=60) == 5
    assert customer.price("video", prompt="a film", seconds=61) == 10, "a started minute is a minute"
    everything = ["music", "premium_tts", "ai_enhancement"]
    assert customer.price("video", prompt="a film", seconds=60, resolution="1080p", addons=everything) == 17
    assert customer.balances() == {"credits": 10}
    assert len(customer.statement()) == 1


def test_ten_credits_are_too_few_for_three_minutes_and_a_pack_helps(product: Product) -> None:
    customer = product.sign_up()
    assert customer.short("video", **THREE_MINUTES) == (15, 10, 5)
    for _ in range(2):
        customer.buy("pro", ref=f"{customer.email}-1")
    assert customer.balances() == {"credits": 10 + 150 + 10}, "the same payment is one purchase"
    assert [customer.charged("video", **given) for given in (THREE_MINUTES, FIVE_WITH_MUSIC, TEN_WITH_TTS)] == [
        15, 42, 53,
    ]  # fmt: skip
    assert customer.balances() == {"credits": 60}
    assert customer.statement() == [
        ("credit", 10, 10, "Free credits"),
        ("purchase", 150, 160, "Pro"),
        ("credit", 10, 170, "Pro: bonus"),
        # What was given is used before what was bought, lot by lot.
        ("debit", -10, 160, "Video, 720p: 3 × 5"),
        ("debit", -5, 155, "Video, 720p: 3 × 5"),
        ("debit", -5, 150, "Video, 1080p: 5 × 8"),
        ("debit", -37, 113, "Video, 1080p: 5 × 8"),
        ("debit", -53, 60, "Video, 720p: 10 × 5"),
    ]


def test_the_balance_is_low_below_ten_and_the_statement_can_be_exported(product: Product) -> None:
    customer = product.sign_up()
    (wallet,) = customer.see("/v1/wallets")["wallets"]
    assert (wallet["available"], wallet["low_balance"], wallet["low"]) == (10, 10, False)
    job = customer.run("video", prompt="a film", seconds=60)
    (wallet,) = customer.see("/v1/wallets")["wallets"]
    assert (wallet["available"], wallet["low_balance"], wallet["low"]) == (5, 10, True)
    exported = customer.http.get("/v1/transactions", headers={"Accept": "text/csv"})
    assert exported.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(exported.text.splitlines()))
    assert [(row["type"], row["amount"], row["balance_after"], row["job_id"]) for row in rows] == [
        ("debit", "-5", "5", job["id"]), ("credit", "10", "10", ""),
    ]  # fmt: skip


def test_a_failed_video_gives_its_credits_back(product: Product) -> None:
    customer = product.sign_up()
    accepted = customer.accepted("video", prompt="[mock:fail]", seconds=60, resolution="1080p")
    assert (accepted["cost"]["estimate"], accepted["cost"]["held"]) == (8, 8), "credits leave before generation"
    job = customer.ended(accepted)
    assert (job["status"], job["cost"]["charged"], job["cost"]["refunded"]) == ("failed", 0, 8)
    assert customer.balances() == {"credits": 10}
    assert customer.statement() == [
        ("credit", 10, 10, "Free credits"),
        ("debit", -8, 2, "Video, 1080p: 1 × 8"),
        ("refund", 8, 10, "Video, 1080p: 1 × 8"),
    ]


def test_two_videos_at_once_are_never_paid_with_the_same_credits(product: Product) -> None:
    customer = product.sign_up()
    body = {"action": "video", "input": {"prompt": "a film", "seconds": 60}}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: customer.http.post("/v1/jobs", json=body), range(8)))
    accepted = [answer.json() for answer in answers if answer.status_code == 202]
    assert [answer.status_code for answer in answers if answer.status_code != 202] == [402] * 6
    assert [customer.ended(job)["cost"]["charged"] for job in accepted] == [5, 5]
    assert customer.balances() == {"credits": 0}
    assert sorted(line[1] for line in customer.statement()) == [-5, -5, 10]


def test_a_repeated_request_is_one_video(product: Product) -> None:
    customer = product.sign_up()
    body, key = {"action": "video", "input": {"prompt": "a film", "seconds": 60}}, {"Idempotency-Key": "k"}
    first, again = (customer.http.post("/v1/jobs", json=body, headers=key) for _ in range(2))
    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json()["id"] == again.json()["id"]
    customer.ended(first.json())
    assert customer.balances() == {"credits": 5}


def test_what_is_not_sold_is_refused_by_name(product: Product) -> None:
    customer = product.sign_up()
    for given, field in (
        ({"addons": ["fireworks"]}, "input.addons.0"),
        ({"addons": ["music", "music"]}, "input.addons"),
        ({"resolution": "4k"}, "input.resolution"),
        ({"seconds": 0}, "input.seconds"),
        ({"seconds": -60}, "input.seconds"),
        ({"seconds": 601}, "input.seconds"),
    ):
        problem = customer.problem("/v1/jobs", {"action": "video", "input": {"prompt": "a film", **given}})
        assert (problem["status"], [fault["field"] for fault in problem["errors"]]) == (422, [field])
    refused = product.house.flask("packs", "grant", customer.email, "gigantic", "--ref", "1")
    assert refused.returncode != 0
    assert "there is no such pack; this product has starter, pro, business, enterprise" in refused.stderr
    assert customer.balances() == {"credits": 10}


def test_history_and_statement_come_in_pages(product: Product) -> None:
    customer = product.sign_up()
    customer.buy("starter", ref=f"{customer.email}-1")
    done = [customer.run("video", prompt=f"film {number}")["id"] for number in range(5)]
    history = customer.pages("jobs", limit=2)
    assert [[job["id"] for job in page] for page in history] == [done[4:2:-1], done[2:0:-1], done[:1]]
    pages = customer.pages("transactions", limit=3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [each["balance_after"] for page in pages for each in page] == [35, 40, 45, 50, 55, 60, 10]
    assert customer.statement(type="purchase") == [("purchase", 50, 60, "Starter")]
    stranger = product.sign_up()
    assert stranger.see("/v1/jobs")["jobs"] == []
    assert stranger.http.get(f"/v1/jobs/{done[0]}").status_code == 404
