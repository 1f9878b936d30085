"""Presets: read whole or not at all, and loaded once."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import func, select

from config import ROOT
from models import catalog
from models.catalog import CatalogVersion
from models.database import sessions
from models.errors import InvalidInput
from models.kinds import INPUTS, SPEND, Kind
from models.prices import FixedPrice

DEFAULT = (ROOT / "presets" / "default.toml").read_text()


def test_the_default_preset_has_an_action_of_every_kind() -> None:
    read = catalog.read_preset(ROOT / "presets" / "default.toml")
    assert {action.kind for action in read.actions.values()} == set(Kind) == set(INPUTS) - {SPEND}


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("amount = 5 }", "amount = -5 }", "actions.chat.price.amount"),
        ("amount = 5 }", "amount = 5.5 }", "actions.chat.price.amount"),
        ("amount = 5 }", 'amount = "5" }', "actions.chat.price.amount"),
        ("amount = 5 }", "amount = 99999999999999999999 }", "actions.chat.price.amount"),
        ('form = "fixed", amount = 5', 'form = "guess", amount = 5', "actions.chat.price.form"),
        ('kind = "chat"', 'kind = "poetry"', "actions.chat.kind"),
        ("amount = 100", "amount = 0", "signup_grants.0.amount"),
        ("concurrent_jobs = 20", "concurrent_jobs = 0", "limits.concurrent_jobs"),
        ("concurrent_jobs = 20", "jobs = 20", "limits.jobs"),
        ("[actions.chat]", "[actions.Chat]", "actions.Chat"),
        ("cancel_charge = 50", "cancel_charge = 101", "actions.video.cancel_charge"),
        ('name = "default"\n', "", "name"),
        ("[wallets.credits]", "[wallets.coins]", "actions.chat.wallet"),
        ("[wallets.credits]", "[wallets.credits", "broken.toml"),
    ],
)
def test_a_bad_preset_is_refused_whole_and_each_fault_named(
    app: Flask, sqlite: str, tmp_path: Path, old: str, new: str, path: str
) -> None:
    file = tmp_path / "broken.toml"
    assert old in DEFAULT
    file.write_text(DEFAULT.replace(old, new))
    with pytest.raises(InvalidInput) as refused:
        catalog.read_preset(file)
    assert path in str(refused.value)
    before = _versions()
    ended = app.test_cli_runner().invoke(args=["catalog", "load", str(file)])
    assert ended.exit_code != 0
    assert path in ended.output
    assert "nothing was changed" in ended.output
    assert _versions() == before


def test_loading_a_preset_again_changes_nothing(app: Flask, database: str, tmp_path: Path) -> None:
    before = _versions()
    run = app.test_cli_runner().invoke
    default = str(ROOT / "presets" / "default.toml")
    assert "unchanged: 8 actions" in run(args=["catalog", "load", default]).output
    assert _versions() == before
    other = tmp_path / "dearer.toml"
    other.write_text(DEFAULT.replace("amount = 5 }", "amount = 6 }"))
    assert "loaded: 8 actions" in run(args=["catalog", "load", str(other)]).output
    with sessions() as session:
        assert catalog.current(session).actions["chat"].price == FixedPrice(amount=6)
    assert "loaded: 8 actions" in run(args=["catalog", "load", default]).output
    with sessions() as session:
        assert catalog.current(session).actions["chat"].price == FixedPrice(amount=5)


def _versions() -> int:
    with sessions() as session:
        return session.execute(select(func.count()).select_from(CatalogVersion)).scalar_one()
