"""Faults in a preset: each named by the path its author wrote, and the preset refused as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli_w

from models import catalog
from models.catalog import Catalog
from models.errors import InvalidInput
from models.ledger import MOST_CREDITS
from tests.catalog.test_prices import LEVEL, SHOP, SPEECH, TABLE

DAILY = {"wallet": "credits", "amount": 5, "period": "daily"}
FAIR = {"uses": 5, "per": "day"}


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        ("actions.film.price.rates.4k", 9, "actions.film.price.rates.4k"),
        ("actions.film.price.rates.720p", -1, "actions.film.price.rates.720p"),
        ("actions.film.price.rates", {}, "actions.film.price.rates"),
        ("actions.film.price.by", "colour", "actions.film.price.by"),
        ("actions.film.price.quantity", "minutes", "actions.film.price.quantity"),
        ("actions.film.price.unit", 0, "actions.film.price.unit"),
        ("actions.film.price.unit", 1.5, "actions.film.price.unit"),
        ("actions.film.price.colour", 1, "actions.film.price.colour"),
        ("actions.film.price.form", "guess", "actions.film.price.form"),
        ("actions.film.price.form", ["rate"], "actions.film.price.form"),
        ("actions.film.price", 5, "actions.film.price"),
        ("actions.film.price", {"form": "table", "quantity": "seconds", "rows": []}, "actions.film.price.rows"),
        ("actions.film.price", {**TABLE, "rows": [*TABLE["rows"], *TABLE["rows"]]}, "actions.film.price"),
        ("actions.film.price", {**TABLE, "rows": [{"least": 6, "most": 5, "amount": 1}]}, "actions.film.price"),
        ("actions.film.price", {**LEVEL, "quantity": "seconds", "most": 9}, "actions.film.price"),
        ("actions.film.price", LEVEL, "actions.film.price.quantity"),
        ("actions.film.addons.music.amount", -2, "actions.film.addons.music.amount"),
        ("actions.film.addons.music.amount", MOST_CREDITS + 1, "actions.film.addons.music.amount"),
        ("actions.film.wallet", "coins", "actions.film.wallet"),
        ("actions.film.requires", "gold", "actions.film.requires"),
        ("actions.say.price", {**SPEECH}, "actions.say.price.quantity"),
        ("actions.say.options", {"depth": "endless"}, "actions.say.options.depth"),
        ("actions.say.options", {"replies": 11}, "actions.say.options.replies"),
        ("actions.say.options", {"model": "two words"}, "actions.say.options.model"),
        ("actions.film.options", {"depth": "long"}, "actions.film.options.depth"),
        ("actions.tip.options", {"depth": "long"}, "actions.tip.options.depth"),
        ("plans.y.allowances", [{**DAILY, "wallet": "coins"}], "plans.y.allowances.0.wallet"),
        ("plans.y.allowances", [DAILY, {**DAILY, "amount": 9}], "plans.y.allowances.1"),
        ("plans.y.allowances", [{**DAILY, "amount": 0}], "plans.y.allowances.0.amount"),
        ("plans.y.allowances", [{**DAILY, "period": "hourly"}], "plans.y.allowances.0.period"),
        ("plans.y.allowances", [{**DAILY, "rollover": True}], "plans.y.allowances.0"),
        ("plans.y.unlimited", [{"fair_use": FAIR}], "plans.y.unlimited.0"),
        ("plans.y.unlimited", [{"action": "say", "wallet": "credits", "fair_use": FAIR}], "plans.y.unlimited.0"),
        ("plans.y.unlimited", [{"action": "paint", "fair_use": FAIR}], "plans.y.unlimited.0.action"),
        ("plans.y.unlimited", [{"wallet": "coins", "fair_use": FAIR}], "plans.y.unlimited.0.wallet"),
        ("plans.y.unlimited", [{"action": "say", "fair_use": {"uses": 0, "per": "day"}}],
         "plans.y.unlimited.0.fair_use.uses"),
        ("plans.y.unlimited", [{"action": "say", "fair_use": {"uses": 1, "per": "year"}}],
         "plans.y.unlimited.0.fair_use.per"),
        ("plans.y.prices", {"weekly": {"amount": 1, "currency": "EUR"}}, "plans.y.prices.weekly"),
        ("plans.y.prices", {"monthly": {"amount": 1, "currency": "euro"}}, "plans.y.prices.monthly.currency"),
        ("plans.y.trial_days", 731, "plans.y.trial_days"),
        ("plans.y.trial_days", 7, "plans.y.trial_days"),
        ("signup", {"plan": "z"}, "signup.plan"),
        ("signup_grants", [{"wallet": "coins", "amount": 1}], "signup_grants.0.wallet"),
        ("reset", {"zone": "Europe/Atlantis"}, "reset.zone"),
        ("reset", {"zone": "../etc/passwd"}, "reset.zone"),
        ("reset", {"zone": ""}, "reset.zone"),
        ("reset", {"at": "24:00"}, "reset.at"),
        ("reset", {"at": "4:00"}, "reset.at"),
        ("reset", {"weekday": "freitag"}, "reset.weekday"),
        ("promotions", {"HELLO": {"title": "x"}}, "promotions.HELLO"),
        ("promotions", {"HELLO": {"title": "x", "plan": "y"}}, "promotions.HELLO"),
        ("promotions", {"HELLO": {"title": "x", "plan": "z", "months": 1}}, "promotions.HELLO.plan"),
        ("promotions", {"HELLO": {"title": "x", "credits": {"coins": 1}}}, "promotions.HELLO.credits.coins"),
        ("promotions", {"hello": {"title": "x", "credits": {"credits": 1}}}, "promotions.hello"),
        ("packs", {"p": {"title": "x", "price": {"amount": 1, "currency": "EUR"}, "credits": {}}}, "packs.p.credits"),
        ("referral", {"wallet": "coins", "referrer": 1, "referred": 1}, "referral.wallet"),
    ],
)  # fmt: skip
def test_a_fault_in_a_preset_has_its_path(tmp_path: Path, path: str, value: Any, fault: str) -> None:
    file = tmp_path / "preset.toml"
    file.write_text(tomli_w.dumps(SHOP))
    assert catalog.read_preset(file) == Catalog.model_validate(SHOP), "without the fault it is good"
    file.write_text(tomli_w.dumps(changed(SHOP, path.split("."), value)))
    with pytest.raises(InvalidInput) as refused:
        catalog.read_preset(file)
    fields = [found.field.removesuffix(".[key]") for found in refused.value.faults]
    assert fields == [fault]


def test_all_faults_that_refer_to_something_are_named_at_once(tmp_path: Path) -> None:
    wrong = changed(SHOP, ["signup"], {"plan": "z"})
    wrong = changed(wrong, ["actions", "film", "wallet"], "coins")
    wrong = changed(wrong, ["actions", "film", "price", "rates", "4k"], 9)
    file = tmp_path / "preset.toml"
    file.write_text(tomli_w.dumps(wrong))
    with pytest.raises(InvalidInput) as refused:
        catalog.read_preset(file)
    assert [fault.field for fault in refused.value.faults] == [
        "actions.film.wallet",
        "signup.plan",
        "actions.film.price.rates.4k",
    ]


def changed(document: dict[str, Any], path: list[str], value: Any) -> dict[str, Any]:
    """A copy of a document with one value changed."""
    name, *rest = path
    return {**document, name: changed(document[name], rest, value) if rest else value}
