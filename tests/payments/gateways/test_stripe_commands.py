"""`flask stripe sync` and `flask stripe doctor`, against a Stripe of our own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from config import ROOT, PaymentsMode, Settings
from models import catalog, users
from models.catalog import Money, read_preset
from models.database import sessions
from models.payments import checkouts
from ops import stripe as command
from tests.payments.gateways import stripe_routes
from tests.payments.gateways.conftest import with_stripe
from tests.payments.gateways.stripe_stub import KEY, Fault, Stub
from worker.payments import gateway_for
from worker.payments.looking import LOOKS
from worker.payments.stripe_client import API_VERSION
from worker.payments.stripe_gateway import StripeGateway

URL = "https://api.example.com/v1/webhooks/stripe"
GOOD_ENDPOINT: dict[str, Any] = {
    "id": "we_1", "object": "webhook_endpoint", "url": URL, "status": "enabled", "api_version": API_VERSION,
    "enabled_events": list(command.EVENTS),
}  # fmt: skip

Run = Callable[..., tuple[int, list[str]]]


@pytest.fixture
def chosen(stub: Stub) -> Settings:
    with sessions() as session:
        catalog.load(session, read_preset(ROOT / "presets" / "media-studio.toml"))
    more = {"payments_mode": PaymentsMode.stripe, "stripe_webhook_secret": SecretStr("whsec_x")}
    return with_stripe(stub.url).model_copy(update={**more, "public_url": "https://api.example.com"})


@pytest.fixture
def run(chosen: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def one(*arguments: str, **changed: Any) -> tuple[int, list[str]]:
        monkeypatch.setattr(command, "settings", lambda: chosen.model_copy(update=changed))
        code = command.main(arguments)
        told = capsys.readouterr()
        return code, [line for line in f"{told.out}{told.err}".splitlines() if "stripe_said_no" not in line]

    return one


def test_they_are_commands_of_the_app(chosen: Settings) -> None:
    keys = {
        "PAYMENTS_MODE": "stripe", "STRIPE_SECRET_KEY": KEY, "STRIPE_WEBHOOK_SECRET": "whsec_x",
        "STRIPE_API_BASE": chosen.stripe_api_base or "",
    }  # fmt: skip
    argv = [sys.executable, "-m", "flask", "--app", "wsgi", "stripe", "sync", "--yes"]
    done = subprocess.run(argv, cwd=ROOT, env={**os.environ, **keys}, capture_output=True, text=True, check=False)
    assert (done.returncode, (done.stdout + done.stderr).splitlines()[-1]) == (0, "Done.")


def test_what_it_does_not_know_it_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["sync", "--no"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1] == "flask stripe: error: unrecognized arguments: --no"


def test_what_is_missing_is_shown_and_only_then_made(run: Run, stub: Stub) -> None:
    missing = [
        "+ product coinop_basic: Basic",
        "+ product coinop_premium: Premium",
        "+ price coinop:basic:monthly:1500:USD",
        "+ price coinop:basic:yearly:21000:USD",
        "+ price coinop:premium:monthly:2900:USD",
        "+ price coinop:premium:yearly:29000:USD",
    ]
    hint = "Nothing was changed. To do this: make stripe-sync ARGS=--yes"
    assert run("sync") == (0, [*missing, hint])
    assert stub.changes(".*") == []
    assert run("sync", "--yes") == (0, [*missing, "Done."])
    made = len(stub.changes(".*"))
    assert run("sync", "--yes") == (0, ["Nothing to do: Stripe has the 4 prices of the catalog."])
    assert len(stub.changes(".*")) == made


def test_a_price_that_changed_is_another_one_and_the_old_one_stays(run: Run, stub: Stub) -> None:
    run("sync", "--yes")
    sold = read_preset(ROOT / "presets" / "media-studio.toml")
    basic = sold.plans["basic"]
    dearer = basic.model_copy(
        update={"title": "Solo", "prices": {**basic.prices, "monthly": Money(amount=1600, currency="USD")}}
    )
    with sessions() as session:
        catalog.load(session, sold.model_copy(update={"plans": {**sold.plans, "basic": dearer}}))
    lines = [
        "~ product coinop_basic: Solo, was Basic",
        "+ price coinop:basic:monthly:1600:USD",
        "  price coinop:basic:monthly:1500:USD is not sold any more; who pays it goes on paying it",
    ]
    assert run("sync", "--yes") == (0, [*lines, "Done."])
    assert run("sync")[1][-1] == "Nothing to do: Stripe has the 4 prices of the catalog."


def test_a_healthy_account_is_found_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        stripe_routes, "ENDPOINTS", [{**GOOD_ENDPOINT, "url": "https://else.example.com"}, GOOD_ENDPOINT]
    )
    run("sync", "--yes")
    code, lines = run("doctor")
    assert code == 0
    assert [line.split()[0] for line in lines] == ["ok"] * len(lines)
    assert "the key opens the account acct_stub in test mode" in lines[0]
    assert len(lines) == 6


@pytest.mark.parametrize(
    ("endpoint", "verdict", "told"),
    [
        (None, "fail", "there is no webhook endpoint for https://api.example.com/v1/webhooks/stripe"),
        ({"status": "disabled"}, "fail", "is disabled"),
        ({"enabled_events": [e for e in command.EVENTS if e != "invoice.paid"]}, "fail", "not told of invoice.paid"),
        ({"enabled_events": ["*"]}, "ok", "is told of all we need"),
        ({"api_version": "2019-02-11"}, "warn", "has version 2019-02-11"),
        ({"api_version": None}, "warn", "has version of the account"),
    ],
)
def test_a_webhook_that_is_not_right_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, endpoint: dict[str, Any] | None, verdict: str, told: str
) -> None:
    monkeypatch.setattr(stripe_routes, "ENDPOINTS", [{**GOOD_ENDPOINT, **endpoint}] if endpoint else [])
    code, lines = run("doctor")
    [line] = [line for line in lines if told in line]
    assert line.split()[0] == verdict
    assert code == (verdict == "fail")


def test_what_else_can_be_wrong_is_named_with_a_remedy(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_routes, "ENDPOINTS", [GOOD_ENDPOINT])
    _, lines = run("doctor", payments_mode=PaymentsMode.mock, public_url="http://127.0.0.1:8000")
    assert lines[0] == "warn the mock gateway takes the payments. Set PAYMENTS_MODE=stripe to go on sale"
    assert any("stripe listen --forward-to http://127.0.0.1:8000/v1/webhooks/stripe" in line for line in lines)
    assert any("6 products and prices are not at Stripe yet. Run make stripe-sync" in line for line in lines)
    code, lines = run("doctor", stripe_webhook_secret=None)
    assert code == 1
    assert any(line.startswith("fail STRIPE_WEBHOOK_SECRET is not set") for line in lines)


def test_customers_of_the_mock_are_no_customers_of_stripe(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stripe_routes, "ENDPOINTS", [GOOD_ENDPOINT])
    with sessions() as session:
        user_id = users.register(session, email=f"{uuid4().hex}@example.com", password_hash="x").id
        checkouts.keep_customer(session, user_id=user_id, gateway_id="cus_mock_1")
    code, lines = run("doctor")
    assert code == 1
    assert lines[-1].startswith("fail 1 of our customers were made by the mock gateway")


def test_a_key_that_does_not_open_anything_is_told_without_showing_it(run: Run, stub: Stub) -> None:
    code, lines = run("doctor", stripe_secret_key=SecretStr("sk_test_wrong"))
    assert (code, lines) == (1, ["fail Stripe does not accept STRIPE_SECRET_KEY. The rest was not looked at"])
    code, lines = run("doctor", stripe_secret_key=None)
    assert code == 1
    assert "STRIPE_SECRET_KEY is not set" in lines[0]
    assert run("sync", stripe_secret_key=SecretStr("sk_test_wrong")) == (
        1, ["Stripe does not accept STRIPE_SECRET_KEY."],
    )  # fmt: skip
    stub.faults.append(Fault(500))
    code, lines = run("sync", "--yes")
    assert (code, lines[-1]) == (1, "Stripe has troubles of its own.")
    assert run("sync", "--yes")[0] == 0


def test_what_the_webhook_is_told_is_looked_at() -> None:
    assert set(command.EVENTS) <= set(LOOKS)


def test_the_gateway_is_the_one_of_the_settings(chosen: Settings) -> None:
    assert isinstance(gateway_for(chosen), StripeGateway)
    assert gateway_for(chosen) is gateway_for(chosen.model_copy())
    assert gateway_for(chosen.model_copy(update={"payments_mode": PaymentsMode.mock})).name == "mock"


def test_nobody_else_asks_who_takes_the_payments() -> None:
    """But the mock's own pages, which are not there when it does not."""
    asking = {
        str(path.relative_to(ROOT))
        for folder in ("models", "worker", "tasks", "web", "ops")
        for path in (ROOT / folder).rglob("*.py")
        if any(word in path.read_text() for word in ("payments_mode", "PaymentsMode"))
    }
    assert asking == {"worker/payments/__init__.py", "web/mock_checkout.py"}
