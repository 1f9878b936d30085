"""The commands that say what is sold and who has what, on both databases."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
import tomli_w
from click.testing import Result
from flask import Flask

from config import ROOT
from models import catalog, ledger, plans, users
from models.audit import audit
from models.database import sessions
from tests.http.offers import COMPANIONS
from tests.ledger import books

PRESETS = sorted((ROOT / "presets").glob("*.toml"))
Run = Callable[..., Result]


@pytest.fixture
def flask(app: Flask, database: str) -> Run:
    def run(*arguments: str) -> Result:
        ended: Result = app.test_cli_runner().invoke(args=list(arguments))
        with sessions() as session:
            assert audit(session) == []
        return ended

    return run


@pytest.fixture
def companions(tmp_path: Path) -> Path:
    file = tmp_path / "companions.toml"
    file.write_text(tomli_w.dumps(COMPANIONS))
    return file


@pytest.fixture
def luna(flask: Run, companions: Path) -> tuple[str, dict[str, int]]:
    """The address of a user of the companions, and the wallets."""
    assert flask("catalog", "load", str(companions)).exit_code == 0
    email = f"{uuid4().hex}@example.com"
    with sessions() as session:
        user_id = users.register(session, email=email, password_hash="x").id
        return email, {kind: ledger.open_wallet(session, user_id=user_id, kind=kind) for kind in ("tokens", "minutes")}


def _held(email: str) -> plans.Held | None:
    with sessions() as session:
        user = users.find(session, email=email)
        assert user is not None
        return plans.entitlements(session, user_id=user.id).held


def test_a_diff_says_what_loading_will_change_and_changes_nothing(flask: Run, companions: Path, tmp_path: Path) -> None:
    assert flask("catalog", "load", str(companions)).exit_code == 0
    dearer = tmp_path / "dearer.toml"
    changed: dict[str, Any] = tomllib.loads(companions.read_text())
    changed["actions"]["chat"]["price"]["amount"] = 4
    del changed["packs"]["small"]
    changed["plans"]["premium"]["features"] = ["no_ads"]
    dearer.write_text(tomli_w.dumps(changed))
    said = [
        "~ actions.chat.price.amount: 2 → 4",
        "- packs.small.price.amount = 499",
        "+ plans.premium.features.0 = no_ads",
    ]
    for _ in range(2):
        told = flask("catalog", "diff", str(dearer))
        assert told.exit_code == 0
        assert [line for line in said if line not in told.output] == []
        assert "actions.tip" not in told.output
    with sessions() as session:
        assert catalog.current(session).actions["chat"].price == catalog.read_preset(companions).actions["chat"].price
    loaded = flask("catalog", "load", str(dearer))
    assert [line for line in (*said, "is loaded: 6 actions, 1 pack, 2 plans.") if line not in loaded.output] == []
    assert "Nothing would change." in flask("catalog", "diff", str(dearer)).output
    assert "is unchanged" in flask("catalog", "load", str(dearer)).output


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_what_is_exported_is_what_was_loaded(flask: Run, tmp_path: Path, preset: Path) -> None:
    assert flask("catalog", "load", str(preset)).exit_code == 0
    exported = tmp_path / "exported.toml"
    assert flask("catalog", "export", "--output", str(exported)).exit_code == 0
    assert catalog.read_preset(exported) == catalog.read_preset(preset)
    assert flask("catalog", "export").output == exported.read_text()
    assert "is unchanged" in flask("catalog", "load", str(exported)).output


def test_a_plan_is_assigned_once_and_ends(flask: Run, luna: tuple[str, dict[str, int]]) -> None:
    email, wallets = luna
    for _ in range(2):
        assert flask("plans", "assign", email, "premium", "--billing", "monthly").exit_code == 0
        assert [move.amount for move in books.moves(wallets["minutes"])] == [60], "given once"
    assert "has the plan premium" in flask("plans", "show", email).output
    for _ in range(2):
        assert flask("plans", "end", email).exit_code == 0
        assert _held(email) is None
    assert "has no plan" in flask("plans", "show", email).output
    assert books.sums(wallets["minutes"]).available == 60, "what was given stays until it expires"


def test_a_ticket_assigns_once(flask: Run, luna: tuple[str, dict[str, int]]) -> None:
    email, wallets = luna
    for _ in range(2):
        assert flask("plans", "assign", email, "premium", "--months", "2", "--ref", "ticket 7").exit_code == 0
    assert [move.amount for move in books.moves(wallets["minutes"])] == [60]
    held = _held(email)
    assert held is not None
    assert held.ends_at is not None


def test_a_pack_paid_for_elsewhere_is_granted_once(flask: Run, luna: tuple[str, dict[str, int]]) -> None:
    email, wallets = luna
    for _ in range(2):
        assert flask("packs", "grant", email, "both", "--ref", "invoice 12").exit_code == 0
        assert [move.amount for move in books.moves(wallets["tokens"])] == [250, 25]
        assert [move.amount for move in books.moves(wallets["minutes"])] == [30]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("plans", "assign", "{luna}", "gold"), "there is no such plan; this product has premium, elite"),
        (("packs", "grant", "{luna}", "huge", "--ref", "1"), "there is no such pack; this product has small, both"),
        (("plans", "assign", "nobody@example.com", "premium"), "No account has the address nobody@example.com."),
        (("users", "verify", "nobody@example.com"), "No account has the address nobody@example.com."),
    ],
)
def test_what_is_not_there_is_refused_and_nothing_changes(
    flask: Run, luna: tuple[str, dict[str, int]], arguments: tuple[str, ...], said: str
) -> None:
    email, wallets = luna
    ended = flask(*(each.format(luna=email) for each in arguments))
    assert ended.exit_code == 1
    assert said in ended.output
    assert _held(email) is None
    assert books.moves(wallets["tokens"]) == books.moves(wallets["minutes"]) == []


def test_due_allowances_are_granted_on_request_once(flask: Run, luna: tuple[str, dict[str, int]]) -> None:
    email, wallets = luna
    flask("plans", "assign", email, "premium")
    minutes = wallets["minutes"]
    # A month has gone by: the subscription began, and its first lot ended, that much earlier.
    with sessions() as session:
        user_id = UUID(str(users.find(session, email=email).id))  # type: ignore[union-attr]
        dialect = session.get_bind().dialect.name
    earlier = {"postgresql": "{0} - interval '31 days'", "sqlite": "strftime('%Y-%m-%d %H:%M:%f000', {0}, '-31 days')"}
    past = earlier[dialect]
    key = str(user_id) if dialect == "postgresql" else user_id.hex
    for table, column, whose in (
        ("subscriptions", "anchor_at", "user_id = :user"),
        ("lots", "expires_at", "wallet_id = :wallet"),
        ("wallets", "due_at", "id = :wallet"),
        ("wallets", "reset_at", "id = :wallet"),
    ):
        given = {"user": key} if "user" in whose else {"wallet": minutes}
        books.by_hand(f"UPDATE {table} SET {column} = {past.format(column)} WHERE {whose}", **given)
    assert "1 allowances were due." in flask("allowances", "grant").output
    assert "0 allowances were due." in flask("allowances", "grant").output
    assert [(move.reason, move.amount) for move in books.moves(minutes)] == [
        ("grant", 60),
        ("expire", 60),
        ("grant", 60),
    ]
    assert books.sums(minutes).available == 60


def test_an_address_is_verified_once(flask: Run, luna: tuple[str, dict[str, int]]) -> None:
    email, _ = luna
    assert f"{email} is verified." in flask("users", "verify", email).output
    assert f"{email} is verified already." in flask("users", "verify", email).output
