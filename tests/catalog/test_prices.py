"""Prices: every form at its edges, what a request is held for, and faults of price and plan named by path."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from models import catalog, jobs, prices, quotes
from models.catalog import Catalog
from models.database import new_id
from models.errors import InvalidInput
from models.kinds import CHARACTERS_PER_SECOND, INPUTS, LONGEST_SECONDS, Kind
from models.ledger import MOST_CREDITS
from models.plans import NOTHING, Entitlements, Held, Origin
from models.prices import Addon, Measured, Part, Price
from models.quotes import Quote
from tests.plans.clock import utc

MUSIC, TTS, AI = "music", "premium_tts", "enhancement"
ADDONS = {MUSIC: Addon(title="Music", amount=2), TTS: Addon(title="Voice", amount=3), AI: Addon(title="AI", amount=4)}


class Holder(BaseModel):
    price: Price


def price_of(form: dict[str, Any]) -> Price:
    return Holder.model_validate({"price": form}).price


def cost(form: dict[str, Any], chosen: Sequence[str] = (), **measured: Any) -> int:
    """What an input costs; its measures are numbers, its choices words."""
    seen = Measured(
        {name: value for name, value in measured.items() if isinstance(value, int)},
        {name: value for name, value in measured.items() if isinstance(value, str)},
    )
    parts = prices.breakdown(price_of(form), "It", seen, addons=ADDONS, chosen=chosen)
    assert all(type(part.amount) is int and part.amount >= 0 for part in parts)
    return prices.total(parts)


def refusal(form: dict[str, Any], chosen: Sequence[str] = (), **measured: Any) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as refused:
        cost(form, chosen, **measured)
    [fault] = refused.value.faults
    return fault.field, fault.message


FIXED = {"amount": 7}
SPEECH = {"form": "per_unit", "quantity": "seconds", "unit": 15, "amount": 1}
RATE = {"form": "rate", "quantity": "seconds", "unit": 60, "by": "resolution", "rates": {"720p": 5, "1080p": 8}}
TABLE = {
    "form": "table",
    "quantity": "seconds",
    "rows": [{"least": 5, "most": 5, "amount": 25}, {"least": 8, "most": 10, "amount": 50}],
}
LEVEL = {"form": "level", "least": 10, "most": 50, "step": 4}


@pytest.mark.parametrize(
    ("form", "measured", "expected"),
    [
        (FIXED, {}, 7),
        (FIXED, {"seconds": 600}, 7),
        ({"amount": 0}, {}, 0),
        ({"amount": MOST_CREDITS}, {}, MOST_CREDITS),
        (SPEECH, {"seconds": 0}, 0),
        (SPEECH, {"seconds": 1}, 1),
        (SPEECH, {"seconds": 14}, 1),
        (SPEECH, {"seconds": 15}, 1),
        (SPEECH, {"seconds": 16}, 2),
        (SPEECH, {"seconds": 29}, 2),
        (SPEECH, {"seconds": 30}, 2),
        (SPEECH, {"seconds": 31}, 3),
        (SPEECH, {"seconds": LONGEST_SECONDS}, 40),
        ({**SPEECH, "unit": 10, "amount": 20}, {"seconds": 10}, 20),
        ({**SPEECH, "unit": 10, "amount": 20}, {"seconds": 11}, 40),
        ({**SPEECH, "unit": 1}, {"seconds": 9}, 9),
        ({**SPEECH, "unit": 1_000_000_000}, {"seconds": 9}, 1),
        ({**SPEECH, "amount": 0}, {"seconds": 600}, 0),
        (RATE, {"seconds": 0, "resolution": "720p"}, 0),
        (RATE, {"seconds": 1, "resolution": "720p"}, 5),
        (RATE, {"seconds": 60, "resolution": "720p"}, 5),
        (RATE, {"seconds": 61, "resolution": "720p"}, 10),
        (RATE, {"seconds": 59, "resolution": "1080p"}, 8),
        (RATE, {"seconds": 180, "resolution": "720p"}, 15),
        (RATE, {"seconds": LONGEST_SECONDS, "resolution": "1080p"}, 80),
        (TABLE, {"seconds": 5}, 25),
        (TABLE, {"seconds": 8}, 50),
        (TABLE, {"seconds": 9}, 50),
        (TABLE, {"seconds": 10}, 50),
        ({**TABLE, "rows": [{"least": 0, "most": 0, "amount": 3}]}, {"seconds": 0}, 3),
        (LEVEL, {"level": -3}, 10),
        (LEVEL, {"level": 0}, 10),
        (LEVEL, {"level": 1}, 10),
        (LEVEL, {"level": 2}, 14),
        (LEVEL, {"level": 10}, 46),
        (LEVEL, {"level": 11}, 50),
        (LEVEL, {"level": 12}, 50),
        (LEVEL, {"level": 1_000_000}, 50),
        ({**LEVEL, "step": 0}, {"level": 9}, 10),
        ({**LEVEL, "least": 50}, {"level": 9}, 50),
        ({**LEVEL, "step": 39}, {"level": 2}, 49),
        ({**LEVEL, "step": 41}, {"level": 2}, 50),
    ],
)
def test_every_form_at_its_edges(form: dict[str, Any], measured: dict[str, Any], expected: int) -> None:
    assert cost(form, **measured) == expected
    assert cost(form, [MUSIC], **measured) == expected + 2 if expected < MOST_CREDITS else True


@pytest.mark.parametrize(
    ("chosen", "extra"), [([], 0), ([MUSIC], 2), ([TTS], 3), ([AI], 4), ([AI, MUSIC], 6), ([MUSIC, TTS, AI], 9)]
)
def test_addons(chosen: list[str], extra: int) -> None:
    assert cost(RATE, chosen, seconds=300, resolution="1080p") == 40 + extra


def test_an_addon_that_is_not_there() -> None:
    assert refusal(FIXED, [MUSIC, "confetti"]) == (
        "input.addons.1", "there is no such add-on; there is music, premium_tts, enhancement",
    )  # fmt: skip
    with pytest.raises(InvalidInput) as refused:
        prices.breakdown(price_of(FIXED), "It", Measured({}, {}), addons={}, chosen=[MUSIC])
    assert refused.value.faults[0].message == "there is no such add-on; there is none"


@pytest.mark.parametrize("seconds", [0, 4, 6, 7, 11, 600])
def test_between_the_rows_nothing_is_sold(seconds: int) -> None:
    assert refusal(TABLE, seconds=seconds) == (
        "input.seconds", f"{seconds} is not sold here; there is 5, 8 to 10",
    )  # fmt: skip


def test_an_option_that_has_no_rate() -> None:
    only = {**RATE, "rates": {"720p": 5}}
    assert refusal(only, seconds=60, resolution="1080p") == (
        "input.resolution", "1080p is not sold here; there is 720p",
    )  # fmt: skip


def test_nothing_costs_more_than_anybody_can_have() -> None:
    per_second = {**SPEECH, "unit": 1, "amount": MOST_CREDITS // 2}
    assert cost(per_second, seconds=2) == MOST_CREDITS - 1
    too_much = ("input", f"this costs more than {MOST_CREDITS} credits")
    assert refusal(per_second, seconds=3) == too_much
    assert refusal(per_second, [MUSIC], seconds=2) == too_much
    assert refusal({"amount": MOST_CREDITS}, [MUSIC]) == too_much
    dear = {**RATE, "rates": {"720p": MOST_CREDITS}}
    assert cost(dear, seconds=60, resolution="720p") == MOST_CREDITS
    assert refusal(dear, seconds=61, resolution="720p") == too_much
    assert cost({**LEVEL, "most": MOST_CREDITS, "step": MOST_CREDITS}, level=1_000_000) == MOST_CREDITS


@pytest.mark.parametrize(
    ("held", "percent", "charged"),
    [(0, 100, 0), (10, 0, 0), (10, -5, 0), (10, 1, 0), (10, 9, 0), (10, 10, 1), (10, 19, 1), (10, 99, 9), (10, 100, 10),
     (10, 250, 10), (1, 99, 0), (MOST_CREDITS, 100, MOST_CREDITS), (MOST_CREDITS, 50, MOST_CREDITS // 2)],
)  # fmt: skip
def test_what_is_charged_for_a_part(held: int, percent: int, charged: int) -> None:
    assert prices.actual(held, percent) == charged


SAY = {"title": "Say", "kind": "chat", "wallet": "credits", "price": {"amount": 1}}
SHOP: dict[str, Any] = {
    "name": "shop", "title": "Shop", "wallets": {"credits": {"title": "Credits"}},
    "actions": {
        "say": SAY,
        "film": {
            "title": "Film", "kind": "video", "wallet": "credits",
            "price": {**RATE, "rates": {"720p": 5}}, "addons": {"music": {"title": "Music", "amount": 2}},
        },
        "tip": {"title": "Tip", "kind": "spend", "wallet": "credits", "price": {**SPEECH, "quantity": "quantity"}},
    },
    "plans": {"y": {"title": "Y", "rank": 1, "allowances": [{"wallet": "credits", "amount": 5, "period": "daily"}]}},
}  # fmt: skip


class Case(NamedTuple):
    """An action and an input, as far as the price looks at it."""

    action: dict[str, Any]
    given: dict[str, Any]


amounts = st.one_of(st.integers(0, 100), st.integers(0, MOST_CREDITS // 1_000_000))
units = st.one_of(st.integers(1, 70), st.just(1_000_000_000))
URL = "https://example.com/a"


def texts(least: int = 1) -> st.SearchStrategy[str]:
    return st.integers(least, 300).map(lambda length: "a" * length)


INPUT_STRATEGIES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    Kind.chat: {"prompt": texts()},
    Kind.video: {
        "prompt": texts(), "seconds": st.integers(1, LONGEST_SECONDS), "resolution": st.sampled_from(["720p", "1080p"]),
    },
    Kind.speech: {"text": texts()},
    Kind.upscale: {"image_url": st.just(URL), "scale": st.sampled_from([2, 4])},
    Kind.lipsync: {
        "image_url": st.just(URL), "audio_url": st.just(URL), "seconds": st.integers(1, LONGEST_SECONDS),
    },
    "spend": {"quantity": st.integers(1, 100_000), "level": st.integers(1, 1_000_000)},
}  # fmt: skip


@st.composite
def forms(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """A price that fits the kind."""
    quantities, choices = INPUTS[kind].quantities, INPUTS[kind].choices()
    fitting = ["fixed", *(["per_unit", "table", "level"] if quantities else []), *(["rate"] if choices else [])]
    form = draw(st.sampled_from([each for each in fitting if each != "rate" or quantities]))
    made: dict[str, Any] = {"form": form}
    if form == "fixed":
        return {**made, "amount": draw(amounts)}
    made["quantity"] = draw(st.sampled_from(quantities))
    if form == "per_unit":
        return {**made, "unit": draw(units), "amount": draw(amounts)}
    if form == "level":
        least, more = draw(amounts), draw(amounts)
        return {**made, "least": least, "most": least + more, "step": draw(amounts)}
    if form == "table":
        steps = draw(st.lists(st.tuples(st.integers(1, 400), st.integers(0, 400), amounts), min_size=1, max_size=5))
        rows, before = [], -1
        for gap, length, amount in steps:
            rows.append({"least": before + gap, "most": before + gap + length, "amount": amount})
            before += gap + length
        return {**made, "rows": rows}
    by = draw(st.sampled_from(sorted(choices)))
    sold = draw(st.lists(st.sampled_from(choices[by]), min_size=1, unique=True))
    return {**made, "unit": draw(units), "by": by, "rates": {value: draw(amounts) for value in sold}}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(sorted(INPUT_STRATEGIES)))
    addons = draw(st.dictionaries(st.sampled_from([MUSIC, TTS, AI]), amounts, max_size=3))
    action = {
        "title": "It",
        "kind": kind,
        "wallet": draw(st.sampled_from(["credits", "tokens"])),
        "price": draw(forms(kind)),
        "addons": {name: {"title": name, "amount": amount} for name, amount in addons.items()},
        "cancel_charge": draw(st.integers(0, 100)),
    }
    given = {name: draw(strategy) for name, strategy in INPUT_STRATEGIES[kind].items()}
    chosen = draw(st.lists(st.sampled_from(sorted(addons)), unique=True)) if addons else []
    return Case(action, {**given, "addons": chosen} if chosen else given)


@st.composite
def plans_held(draw: st.DrawFn) -> dict[str, Any] | None:
    if draw(st.booleans()):
        return None
    free = draw(st.sampled_from([{"action": "it"}, {"wallet": "credits"}, {"wallet": "tokens"}, None]))
    unlimited = [{**free, "fair_use": {"uses": 3, "per": "day"}}] if free else []
    return {"title": "Plan", "rank": 1, "priority": draw(st.booleans()), "unlimited": unlimited}


def asked(sold: Catalog, entitled: Entitlements, given: dict[str, Any]) -> Quote | InvalidInput:
    try:
        return quotes.quote(sold, entitled, action="it", raw_input=given)
    except InvalidInput as refused:
        return refused


@given(case=cases(), plan=plans_held(), percents=st.lists(st.integers(-10, 300), max_size=4))
def test_whatever_is_sold_to_whomever(case: Case, plan: dict[str, Any] | None, percents: list[int]) -> None:
    sold = Catalog.model_validate(
        {
            "name": "random", "title": "Random", "wallets": {"credits": {"title": "C"}, "tokens": {"title": "T"}},
            "actions": {"it": case.action}, "plans": {"plan": plan} if plan else {},
        }
    )  # fmt: skip
    assert list(catalog.consistency.faults(sold)) == []
    held = (
        Held(1, "plan", sold.plans["plan"], Origin.admin, None, utc(2030, 1, 1), utc(2030, 1, 1), None)
        if plan
        else None
    )
    entitled = Entitlements(held) if held else NOTHING
    quote = asked(sold, entitled, case.given)
    if isinstance(quote, InvalidInput):
        # A table has gaps, an option may have no rate, and a price may be out of reach: the field says which.
        named = (*INPUTS[case.action["kind"]].model_fields, *INPUTS[case.action["kind"]].quantities)
        assert {fault.field for fault in quote.faults} <= {"input", *(f"input.{name}" for name in named)}
        return
    assert type(quote.price) is int
    assert quote.price == sum(part.amount for part in quote.parts) == sum(part["amount"] for part in quote.breakdown)
    assert 0 <= quote.price <= MOST_CREDITS
    assert all(type(part.amount) is int and part.amount >= 0 for part in quote.parts)
    free = entitled.unlimited("it", case.action["wallet"])
    assert (quote.fair_use, quote.price if free else 0) == (free, 0)
    if quote.runs:
        order = jobs.order(sold, quote, user_id=new_id(), max_attempts=3)
        assert (order.price, order.breakdown, order.wallet) == (quote.price, quote.breakdown, case.action["wallet"])
    charged = [prices.actual(quote.price, percent) for percent in sorted(percents)]
    assert charged == sorted(charged), "more delivered never costs less"
    assert all(type(each) is int and 0 <= each <= quote.price for each in charged)
    again = quotes.quote(sold, entitled, action="it", raw_input=dict(reversed(case.given.items())))
    assert (again, again.digest()) == (quote, quote.digest())
    assert quote.digest(60) != quote.digest(), "what else a request says counts"


def test_the_digest_is_of_what_was_asked_and_not_of_what_it_costs() -> None:
    def digest(amount: int, **given: Any) -> str:
        sold = Catalog.model_validate({**SHOP, "actions": {"say": {**SAY, "price": {"amount": amount}}}})
        return quotes.quote(sold, NOTHING, action="say", raw_input=given).digest()

    assert digest(1, prompt="hello") == digest(2, prompt="hello") == digest(1, prompt="  hello ")
    assert digest(1, prompt="hello") != digest(1, prompt="hullo")


@pytest.mark.parametrize("length", [1, 15, 16, 8_000])
def test_speech_is_measured_by_its_text(length: int) -> None:
    sold = Catalog.model_validate(
        {**SHOP, "actions": {"speak": {**SAY, "kind": "speech", "price": {**SPEECH, "unit": 1}}}}
    )
    quote = quotes.quote(sold, NOTHING, action="speak", raw_input={"text": "a" * length})
    assert quote.price == -(-length // CHARACTERS_PER_SECOND)


@pytest.mark.parametrize(
    ("action", "given", "field"),
    [
        ("film", {"prompt": "x", "seconds": 0}, "input.seconds"),
        ("film", {"prompt": "x", "seconds": 601}, "input.seconds"),
        ("film", {"prompt": "x", "seconds": 5.5}, "input.seconds"),
        ("film", {"prompt": "x", "resolution": "4k"}, "input.resolution"),
        ("film", {"prompt": "x", "resolution": "1080p"}, "input.resolution"),
        ("film", {"prompt": "x", "addons": ["music", "music"]}, "input.addons"),
        ("film", {"prompt": "x", "addons": ["Music!"]}, "input.addons.0"),
        ("film", {"prompt": "x", "addons": ["music", "confetti"]}, "input.addons.1"),
        ("film", {"prompt": "x", "addons": "music"}, "input.addons"),
        ("film", {"prompt": "x", "colour": "red"}, "input.colour"),
        ("film", {"prompt": " "}, "input.prompt"),
        ("tip", {"quantity": 0}, "input.quantity"),
        ("tip", {"quantity": 100_001}, "input.quantity"),
        ("tip", {"level": 0}, "input.level"),
        ("paint", {}, "action"),
    ],
)
def test_an_input_that_cannot_be_priced_names_its_field(action: str, given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        quotes.quote(Catalog.model_validate(SHOP), NOTHING, action=action, raw_input=given)
    assert field in {fault.field for fault in refused.value.faults}


def test_a_part_is_never_negative() -> None:
    with pytest.raises(ValidationError):
        Part(label="x", amount=-1)
