"""The five products: every figure of theirs, as their presets say it and as a quote works it out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from config import ROOT
from models import catalog
from models.catalog import Billing, Catalog, Money
from models.errors import FeatureRequired, InvalidInput
from models.plans import NOTHING, Entitlements, Held, Origin
from models.prices import FixedPrice
from models.quotes import quote

PRODUCTS = ("companion-minutes", "chat-studio", "companion-subscriptions", "video-maker", "media-studio")
PICTURE = "https://example.com/a.png"
SOUND = "https://example.com/a.wav"
LONGEST_TEXT = "x" * 8_000
START = datetime(2026, 1, 1, tzinfo=UTC)


def _product(name: str) -> Catalog:
    return catalog.read_preset(ROOT / "presets" / f"{name}.toml")


def entitled_under(product: Catalog, plan: str) -> Entitlements:
    """What somebody may do who has this plan."""
    return Entitlements(
        Held(
            subscription_id=1,
            plan=plan,
            terms=product.plans[plan],
            origin=Origin.admin,
            billing=Billing.monthly,
            started_at=START,
            anchor_at=START,
            ends_at=None,
        )
    )


def _price(product: Catalog, action: str, entitled: Entitlements = NOTHING, **given: Any) -> int:
    return quote(product, entitled, action=action, raw_input=given).price


def _packs(product: Catalog) -> dict[str, tuple[int, str, dict[str, int], dict[str, int]]]:
    return {
        name: (pack.price.amount, pack.price.currency, pack.credits, pack.bonus) for name, pack in product.packs.items()
    }


def _prices(product: Catalog) -> dict[str, dict[Billing, Money]]:
    return {name: plan.prices for name, plan in product.plans.items()}


def _allowances(product: Catalog, plan: str) -> list[tuple[str, int, str, bool]]:
    return [(given.wallet, given.amount, given.period, given.rollover) for given in product.plans[plan].allowances]


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_product_is_a_preset_that_survives_being_written_and_read(name: str, tmp_path: Any) -> None:
    product = _product(name)
    assert product.name == name
    written = tmp_path / "again.toml"
    written.write_text(catalog.write_preset(product))
    again = catalog.read_preset(written)
    assert again == product
    assert catalog.changes(product, again) == []


def test_companion_minutes_has_three_kinds_of_credits_that_are_sold_once_or_by_the_month() -> None:
    product = _product("companion-minutes")
    kinds = {"minutes", "images", "tips"}
    assert set(product.wallets) == kinds
    assert {name: action.wallet for name, action in product.actions.items()} == {
        "chat_minute": "minutes", "tip": "tips", "image": "images",
    }  # fmt: skip
    assert _price(product, "chat_minute", quantity=12) == 12
    assert _price(product, "tip", quantity=7) == 7
    assert _price(product, "image", prompt="a picture") == 1
    assert any(set(pack.credits) == kinds for pack in product.packs.values()), "one payment, three kinds of credits"
    for name in product.plans:
        assert {given.wallet for given in product.plans[name].allowances} == kinds
        assert product.plans[name].prices[Billing.monthly].amount > 0
    assert (product.limits.spends.uses, product.limits.spends.per) == (30, "minute")


def test_chat_studio_has_three_prices_and_a_daily_limit_for_each_tier() -> None:
    product = _product("chat-studio")
    assert _price(product, "short_chat", prompt="hello") == 5
    assert _price(product, "long_chat", prompt=LONGEST_TEXT) == 20
    assert _price(product, "image_analysis", prompt="what is it?", image_url=PICTURE) == 50
    assert product.signup.plan == "pro"
    assert [(grant.title, grant.amount) for grant in product.signup_grants] == [
        ("Welcome credits", 50), ("Sign-up bonus", 25),
    ]  # fmt: skip
    assert (product.reset.at, product.reset.zone) == ("04:00", "Europe/Berlin")
    assert {name: _allowances(product, name) for name in product.plans} == {
        "pro": [("credits", 100, "daily", False)],
        "plus": [("credits", 300, "daily", False)],
        "ultra": [("credits", 1000, "daily", False)],
    }
    assert all(pack.bonus for pack in product.packs.values())
    assert [name for name, pack in product.packs.items() if pack.quick] == ["quick"]
    assert sorted(product.plans, key=lambda name: product.plans[name].rank) == ["pro", "plus", "ultra"]


def test_companion_subscriptions_has_two_tiers_and_four_packs() -> None:
    product = _product("companion-subscriptions")
    assert _packs(product) == {
        "small": (499, "EUR", {"tokens": 100}, {}),
        "medium": (999, "EUR", {"tokens": 250}, {"tokens": 25}),
        "large": (1999, "EUR", {"tokens": 600}, {"tokens": 100}),
        "mega": (3999, "EUR", {"tokens": 1500}, {"tokens": 300}),
    }
    assert _prices(product) == {
        "premium": {Billing.monthly: Money(amount=999, currency="EUR")},
        "elite": {Billing.monthly: Money(amount=1999, currency="EUR")},
    }
    premium, elite = product.plans["premium"], product.plans["elite"]
    assert (premium.limits, elite.limits) == ({"active_companions": 3}, {})
    assert entitled_under(product, "elite").limit("active_companions") is None
    assert _allowances(product, "premium") == [("tokens", 500, "weekly", False)]
    assert _allowances(product, "elite") == []
    assert {"hd_photos", "no_ads", "voice_messages"} <= set(premium.features) < set(elite.features)
    assert set(elite.features) - set(premium.features) == {
        "unlimited_companions", "unlimited_tokens", "video_generation", "custom_companion", "priority_support",
        "beta_features", "badge",
    }  # fmt: skip
    assert premium.priority


@pytest.mark.parametrize(
    ("action", "given", "nothing", "premium"),
    [
        ("message", {"prompt": "hello"}, 1, 0),
        ("photo", {"prompt": "a photo"}, 5, 5),
        ("skip_level", {}, 10, 10),
        ("skip_level", {"level": 2}, 20, 20),
        ("skip_level", {"level": 4}, 40, 40),
        ("skip_level", {"level": 5}, 50, 50),
        ("skip_level", {"level": 900}, 50, 50),
        ("unlock_scenario", {"reference": "moonlight"}, 20, 20),
    ],
)
def test_companion_subscriptions_prices_by_tier(action: str, given: dict[str, Any], nothing: int, premium: int) -> None:
    product = _product("companion-subscriptions")
    assert _price(product, action, **given) == nothing
    assert _price(product, action, entitled_under(product, "premium"), **given) == premium
    assert _price(product, action, entitled_under(product, "elite"), **given) == 0, "its tokens are unlimited"


def test_companion_subscriptions_sells_video_to_elite_only() -> None:
    product = _product("companion-subscriptions")
    assert product.actions["video"].price == FixedPrice(amount=15)
    for entitled in (NOTHING, entitled_under(product, "premium")):
        with pytest.raises(FeatureRequired) as refused:
            _price(product, "video", entitled, prompt="a clip")
        assert refused.value.members == {"feature": "video_generation", "plans": ["elite"]}
    assert _price(product, "video", entitled_under(product, "elite"), prompt="a clip") == 0


def test_video_maker_gives_ten_credits_and_sells_four_packs() -> None:
    product = _product("video-maker")
    assert [(grant.wallet, grant.amount) for grant in product.signup_grants] == [("credits", 10)]
    assert product.wallets["credits"].low_balance == 10
    assert _packs(product) == {
        "starter": (999, "USD", {"credits": 50}, {}),
        "pro": (2499, "USD", {"credits": 150}, {"credits": 10}),
        "business": (7999, "USD", {"credits": 500}, {"credits": 50}),
        "enterprise": (29999, "USD", {"credits": 2000}, {"credits": 200}),
    }
    assert product.plans == {}


@pytest.mark.parametrize(
    ("minutes", "resolution", "addons", "price"),
    [
        (1, "720p", [], 5),
        (1, "1080p", [], 8),
        (3, "720p", [], 15),
        (5, "1080p", ["music"], 42),
        (10, "720p", ["premium_tts"], 53),
        (1, "720p", ["ai_enhancement"], 9),
        (10, "1080p", ["music", "premium_tts", "ai_enhancement"], 89),
    ],
)
def test_video_maker_prices_by_the_minute(minutes: int, resolution: str, addons: list[str], price: int) -> None:
    product = _product("video-maker")
    given: dict[str, Any] = {"prompt": "a film", "resolution": resolution, "addons": addons}
    assert _price(product, "video", seconds=minutes * 60, **given) == price
    assert _price(product, "video", seconds=minutes * 60 - 59, **given) == price, "a started minute is a minute"


def test_media_studio_has_three_plans_with_credits_for_each_cycle() -> None:
    product = _product("media-studio")
    assert product.signup.plan == "free"
    assert product.signup_grants == (), "60 in all, not 60 and others"
    assert {name: _allowances(product, name) for name in product.plans} == {
        "free": [("credits", 60, "cycle", False)],
        "basic": [("credits", 500, "cycle", False)],
        "premium": [("credits", 1200, "cycle", False)],
    }
    usd = {amount: Money(amount=amount, currency="USD") for amount in (0, 1500, 21000, 2900, 29000)}
    assert _prices(product) == {
        "free": {Billing.monthly: usd[0]},
        "basic": {Billing.monthly: usd[1500], Billing.yearly: usd[21000]},
        "premium": {Billing.monthly: usd[2900], Billing.yearly: usd[29000]},
    }
    assert product.promotions
    assert product.referral


@pytest.mark.parametrize(
    ("action", "given", "price"),
    [
        ("text_to_image", {"prompt": "a fox"}, 5),
        ("image_to_image", {"prompt": "a red fox", "image_url": PICTURE}, 5),
        ("upscale", {"image_url": PICTURE}, 5),
        ("video", {"prompt": "a fox", "seconds": 5}, 25),
        ("video", {"prompt": "a fox", "seconds": 8}, 50),
        ("video", {"prompt": "a fox", "seconds": 9}, 50),
        ("video", {"prompt": "a fox", "seconds": 10}, 50),
        # Fifteen characters are a second.
        ("audio", {"text": "x"}, 1),
        ("audio", {"text": "x" * 225}, 1),
        ("audio", {"text": "x" * 226}, 2),
        ("audio", {"text": "x" * 900}, 4),
        ("lipsync", {"image_url": PICTURE, "audio_url": SOUND, "seconds": 1}, 20),
        ("lipsync", {"image_url": PICTURE, "audio_url": SOUND, "seconds": 10}, 20),
        ("lipsync", {"image_url": PICTURE, "audio_url": SOUND, "seconds": 11}, 40),
    ],
)
def test_media_studio_prices(action: str, given: dict[str, Any], price: int) -> None:
    assert _price(_product("media-studio"), action, **given) == price


@pytest.mark.parametrize("seconds", [1, 4, 6, 7, 11, 600])
def test_media_studio_sells_no_clip_between_its_lengths(seconds: int) -> None:
    with pytest.raises(InvalidInput, match=r"input\.seconds: .*there is 5, 8 to 10"):
        _price(_product("media-studio"), "video", prompt="a fox", seconds=seconds)
