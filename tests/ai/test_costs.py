"""Costs: what providers bill, exactly, in millionths of a dollar; and what nobody knows is not taken for nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn
from uuid import UUID

import pytest
import tomli_w
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from models import costs, jobs
from models.catalog import read_preset, write_preset
from models.costs import ModelCost
from models.errors import InvalidInput
from models.jobs import Effort
from tests.ai import shop
from worker.ai.provider import Generation, ProviderError, Refused, Unavailable
from worker.metering import Meter, rates

NewUser = Callable[..., tuple[UUID, int]]

RATES = {
    "gpt-x": {"input_tokens": "0.15", "cached_input_tokens": "0.075", "output_tokens": "0.60"},
    "acme/video-2": {"predict_seconds": "0.000225"},
    "checks": {"moderations": "0.002"},
}


def micros(usage: Mapping[str, int], **of: str) -> int | None:
    return ModelCost.model_validate(of).micros(usage)


@pytest.mark.parametrize(
    ("of", "usage", "expected"),
    [
        ({"input_tokens": "0.15", "output_tokens": "0.60"}, {"input_tokens": 1_000, "output_tokens": 500}, 450),
        # Up to a whole millionth, once.
        ({"input_tokens": "0.15"}, {"input_tokens": 1}, 1),
        ({"input_tokens": "0.5", "output_tokens": "0.5"}, {"input_tokens": 1, "output_tokens": 1}, 1),
        ({"input_tokens": "0.000000001"}, {"input_tokens": 10**9}, 1),
        ({"input_tokens": "0.000000001"}, {"input_tokens": 10**9 + 1}, 2),
        # Cached tokens are among the others.
        ({"input_tokens": "2", "cached_input_tokens": "0.5"}, {"input_tokens": 10, "cached_input_tokens": 4}, 14),
        ({"input_tokens": "2"}, {"input_tokens": 10, "cached_input_tokens": 4}, 20),
        ({"input_tokens": "2", "cached_input_tokens": "0.5"}, {"input_tokens": 3, "cached_input_tokens": 4}, 2),
        # By the piece.
        ({"images": "0.04"}, {"images": 3, "input_tokens": 10}, 120_000),
        ({"seconds": "0.1"}, {"seconds": 5}, 500_000),
        ({"predict_seconds": "0.000225"}, {"predict_seconds": 7}, 1_575),
        ({"characters": "15"}, {"characters": 52, "seconds": 4}, 780),
        ({"images": "0"}, {"images": 3}, 0),
        # What is not named by any rate is not known.
        ({"images": "0.04"}, {"seconds": 5}, None),
        ({"images": "0.04"}, {}, None),
        ({"images": "999999"}, {"images": 10**9}, None),
    ],
)
def test_a_usage_has_an_exact_cost(of: dict[str, str], usage: dict[str, int], expected: int | None) -> None:
    assert micros(usage, **of) == expected


@given(rate=st.decimals(0, 999, places=9, allow_nan=False).map(lambda each: f"{each:f}"), tokens=st.integers(0, 10**9))
def test_the_cost_is_the_fraction_rounded_up(rate: str, tokens: int) -> None:
    exact = Fraction(rate) * tokens
    found = micros({"output_tokens": tokens}, output_tokens=rate)
    assert found is not None
    assert 0 <= found - exact < 1


def test_a_model_without_rates_is_not_free() -> None:
    known = {name: ModelCost.model_validate(of) for name, of in RATES.items()}
    assert costs.micros(known, "gpt-x", {"input_tokens": 10}) == 2
    assert costs.micros(known, "gpt-y", {"input_tokens": 10}) is None


def test_people_read_it_as_dollars() -> None:
    assert [costs.usd(each) for each in (0, 17, 1_234_567_890_123)] == ["0.000000", "0.000017", "1,234,567.890123"]


FAULTS: dict[str, tuple[Any, str]] = {
    "a number": ({"gpt-x": {"input_tokens": 0.15}}, "costs.gpt-x.input_tokens"),
    "words": ({"gpt-x": {"input_tokens": "cheap"}}, "costs.gpt-x.input_tokens"),
    "below zero": ({"gpt-x": {"input_tokens": "-1"}}, "costs.gpt-x.input_tokens"),
    "no end": ({"gpt-x": {"input_tokens": "1."}}, "costs.gpt-x.input_tokens"),
    "too fine": ({"gpt-x": {"input_tokens": "0.0000000001"}}, "costs.gpt-x.input_tokens"),
    "too much": ({"gpt-x": {"input_tokens": "1000000"}}, "costs.gpt-x.input_tokens"),
    "another unit": ({"gpt-x": {"tokens": "0.15"}}, "costs.gpt-x.tokens"),
    "nothing": ({"gpt-x": {}}, "costs.gpt-x"),
    "a model with spaces": ({"gpt x": {"images": "1"}}, "costs.gpt x.[key]"),
}


@pytest.mark.parametrize("why", FAULTS)
def test_rates_that_will_not_do_are_named_by_path(why: str, tmp_path: Path) -> None:
    given, path = FAULTS[why]
    file = tmp_path / "shop.toml"
    document = shop.shop(chat=shop.action("chat", {"amount": 5})).model_dump(mode="json", exclude_defaults=True)
    file.write_text(tomli_w.dumps({**document, "costs": given}))
    with pytest.raises(InvalidInput) as refused:
        read_preset(file)
    assert [fault.field for fault in refused.value.faults] == [path]


def test_rates_come_out_of_a_preset_as_they_went_in(tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    sold = shop.shop(costs=RATES, video=shop.action("video", shop.A_SECOND, charge="delivered"))
    file.write_text(write_preset(sold))
    assert read_preset(file) == sold


@pytest.mark.parametrize(
    ("kind", "price"),
    [
        ("video", {"amount": 5}),
        ("speech", {"form": "per_unit", "quantity": "characters", "amount": 1}),
        ("image", {"amount": 5}),
    ],
)
def test_only_what_providers_report_can_be_charged_as_delivered(kind: str, price: Any, tmp_path: Path) -> None:
    file = tmp_path / "shop.toml"
    sold = shop.shop(it=shop.action(kind, price, charge="delivered"))
    file.write_text(write_preset(sold))
    with pytest.raises(InvalidInput) as refused:
        read_preset(file)
    assert [fault.field for fault in refused.value.faults] == ["actions.it.charge"]


@pytest.fixture
def priced(sqlite: str) -> Iterator[None]:
    shop.open_shop(costs=RATES, chat=shop.action("chat", {"amount": 5}))
    yield
    rates.look_again()


def after(error: ProviderError, *, provider: str = "openai", model: str = "gpt-x") -> Effort:
    meter = Meter()
    meter.asked(provider, model)
    return meter.failed(error, "req_9")


@pytest.mark.usefixtures("priced")
def test_an_attempt_costs_what_was_used_of_its_model() -> None:
    meter = Meter(moderated_by="checks")
    assert meter.effort() == Effort(usage={}, cost_micros=0)
    meter.moderated()
    assert meter.effort() == Effort(usage={"moderations": 1}, cost_micros=2_000)
    meter.asked("openai", "gpt-x")
    assert meter.effort("req_0") == Effort("openai", "gpt-x", "req_0", {"moderations": 1}, None)
    meter.made(Generation((), {"input_tokens": 100}, request_id="req_1"))
    assert meter.effort() == Effort("openai", "gpt-x", "req_1", {"input_tokens": 100, "moderations": 1}, 2_015)


@pytest.mark.usefixtures("priced")
def test_an_attempt_that_failed_may_cost_too() -> None:
    told = {"input_tokens": 1_000}
    assert after(Refused("bad_answer", "", usage=told)).cost_micros == 150
    assert after(Unavailable("provider_timeout", "")).cost_micros is None
    assert after(Refused("provider_refused", ""), provider="mock").cost_micros == 0
    assert after(Refused("bad_answer", "", usage=told), model="gpt-y").cost_micros is None
    for code in ("provider_rate_limited", "provider_rejected_key", "image_unavailable"):
        assert after(Unavailable(code, "")) == Effort("openai", "gpt-x", "req_9", {}, 0)


@pytest.mark.usefixtures("priced")
def test_a_moderation_without_a_rate_is_free() -> None:
    meter = Meter(moderated_by="omni-moderation-latest")
    meter.moderated()
    assert meter.effort().cost_micros == 0


@pytest.mark.usefixtures("priced")
def test_rates_are_kept_while_the_database_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    assert rates.micros("gpt-x", {"input_tokens": 100}) == 15
    rates.look_again()
    monkeypatch.setattr("worker.metering.readings", _away)
    assert rates.micros("gpt-x", {"input_tokens": 100}) == 15


def _away() -> NoReturn:
    raise OperationalError("SELECT", None, Exception("away"))


def test_users_do_not_see_what_it_costs_us(app: Flask) -> None:
    assert not {"cost_micros", "settling"} & set(jobs.Snapshot.__dataclass_fields__)
    document: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    told = json.dumps([item for path, item in document["paths"].items() if not path.startswith("/v1/admin/")])
    known: set[str] = set()
    while new := set(re.findall(r"#/components/schemas/(\w+)", told)) - known:
        known |= new
        told += json.dumps([document["components"]["schemas"][name] for name in new])
    assert '"charged"' in told
    assert "micros" not in told
