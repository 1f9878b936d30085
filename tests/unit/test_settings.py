"""Settings: a bad value stops the boot with the variable's name and what is expected."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from pydantic import ValidationError

import celeryconfig
from config import ROOT, BadSettings, Settings, _explain, settings

GOOD = {"SECRET_KEY": "x" * 32, "JWT_SECRET_KEY": "y" * 32}


def _boot(home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    keep = {"PATH": os.environ["PATH"], "COINOP_HOME": str(home)}
    return subprocess.run(
        [sys.executable, "-c", "import wsgi"], cwd=ROOT, env={**keep, **GOOD, **variables}, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("SECRET_KEY", "short", "at least 32 bytes, got 5"),
        ("JWT_SECRET_KEY", "short", "at least 32 bytes, got 5"),
        ("JWT_SECRET_KEY", "", "required but not set"),
        ("DATABASE_URL", "nonsense", "expected postgresql://"),
        ("DATABASE_URL", "mysql://localhost/x", "expected postgresql://"),
        ("REDIS_URL", "http://localhost", "expected redis://"),
        ("BROKER_URL", "http://localhost", "expected redis://"),
        ("STORAGE_URL", "https://bucket.example.com", "expected file:///absolute/folder or s3://bucket/prefix"),
        ("STORAGE_URL", "s3://", "expected file:///absolute/folder or s3://bucket/prefix"),
        ("STORAGE_URL", "s3://bucket/../x", "expected file:///absolute/folder or s3://bucket/prefix"),
        ("S3_ENDPOINT_URL", "minio:9000", "expected https://host or http://host:port"),
        ("S3_ACCESS_KEY_ID", "AKIA", "S3_SECRET_ACCESS_KEY: expected beside"),
        ("S3_SECRET_ACCESS_KEY", "do-not-print", "S3_ACCESS_KEY_ID: expected beside"),
        ("OUTPUT_DAYS", "-1", "greater than or equal to 0"),
        ("OUTPUT_URL_SECONDS", "5", "greater than or equal to 60"),
        ("PORT", "http", "valid integer"),
        ("PORT", "70000", "less than or equal to 65535"),
        ("PRESET", "presets/none.toml", "is not there"),
        ("COINOP_ENV", "staging", "'development' or 'production'"),
        ("LEASE_SECONDS", "5", "HEARTBEAT_SECONDS: expected less than LEASE_SECONDS (5 s)"),
        ("AI_MODE", "openai", "OPENAI_API_KEY: required"),
        ("AI_PROVIDERS", "chat=openai", "OPENAI_API_KEY: required"),
        ("OPENAI_BASE_URL", "http://api.example.com/v1", "expected https://host/v1, or http:// to this machine"),
        ("OPENAI_BASE_URL", "http://8.8.8.8/v1", "inside a private network"),
        ("OPENAI_BASE_URL", "http://169.254.169.254/v1", "inside a private network"),
        ("OPENAI_BASE_URL", "https://me:key@api.example.com/v1", "expected https://host/v1"),
        ("OPENAI_BASE_URL", "https://api.example.com:port/v1", "expected https://host/v1"),
        ("OPENAI_CHAT_API", "assistants", "'responses' or 'completions'"),
        ("AUTH_RATE_LIMIT", "lots", "30 per minute"),
        ("LOGIN_RATE_LIMIT", "often", "30 per minute"),
        ("SMTP_URL", "mail.example.com:25", "expected smtp://"),
        ("SMTP_URL", "smtp://", "expected smtp://"),
        ("SMTP_URL", "smtp://mail.example.com:99999", "expected smtp://"),
        ("SMTP_URL", "smtp://a:p%C3%A4ss@mail.example.com", "expected smtp://"),
        ("MAIL_FROM", "Coinop", "expected a name and an address"),
        ("PUBLIC_URL", "api.example.com", "expected an address such as https://api.example.com"),
        ("APP_URL", "https://app.example.com/?page=1", "expected an address"),
        ("TRUSTED_PROXIES", "-1", "greater than or equal to 0"),
        ("PAYMENTS_MODE", "stripe", "STRIPE_SECRET_KEY: required"),
        ("UPLOAD_RATE_LIMIT", "slowly", "30 per minute"),
        ("UPLOAD_DAYS", "0", "greater than or equal to 1"),
        ("UPLOAD_SPACE_BYTES", "500 MB", "valid integer"),
        ("MAX_UPLOAD_BYTES", "10", "greater than or equal to 1024"),
        ("MAX_IMAGE_PIXELS", "0", "greater than or equal to 1"),
        ("METRICS_TOKEN", "short", "at least 32 bytes, got 5"),
        ("WORKER_METRICS_PORT", "70000", "less than or equal to 65535"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "expected the address of a collector"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "grpc://collector:4317", "such as http://127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/v1/traces", "without /v1/traces"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:key@collector:4318", "expected the address of a collector"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "do-not-print", "expected headers such as Authorization=Bearer%20abc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=do-not-print%0D%0Ax:y", "plain ASCII"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=%20", "not blank"),
        ("OTEL_SERVICE_NAME", "my shop", "String should match pattern"),
        ("OTEL_TRACES_SAMPLER_ARG", "2", "less than or equal to 1"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan", "less than or equal to 1"),
        ("SENTRY_DSN", "do-not-print", "expected what Sentry calls the DSN of a project: https://key@host/number"),
        ("SENTRY_DSN", "https://sentry.example.com/7", "https://key@host/number"),
        ("SENTRY_DSN", "https://do-not-print@sentry.example.com/project", "https://key@host/number"),
        ("SENTRY_DSN", "https://do-not-print@sentry.example.com:port/7", "https://key@host/number"),
        ("SENTRY_ENVIRONMENT", "a/b", "String should match pattern"),
        ("SENTRY_RELEASE", "a b", "String should match pattern"),
        ("COINOP_ENV", "production", "SMTP_URL: required with COINOP_ENV=production"),
    ],
)
def test_a_bad_value_stops_the_boot_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, given in {"COINOP_HOME": str(tmp_path), **GOOD, variable: value}.items():
        monkeypatch.setenv(name, given)
    settings.cache_clear()
    with pytest.raises(BadSettings) as refused:
        settings()
    said = str(refused.value)
    assert "Coinop cannot start" in said
    assert variable in said
    assert expected in said
    assert "do-not-print" not in said
    if variable.endswith("KEY") and value:
        assert value not in said.replace(f"{variable}:", "")


@pytest.mark.parametrize(
    ("variable", "value"), [("PORT", "http"), ("LEASE_SECONDS", "5")], ids=["by itself", "beside another"]
)
def test_a_boot_that_stops_says_why_and_nothing_else(tmp_path: Path, variable: str, value: str) -> None:
    ended = _boot(tmp_path, **{variable: value})
    assert ended.returncode != 0
    assert ended.stderr.startswith("Coinop cannot start")
    assert variable in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "base_url",
    [
        "http://ollama:11434/v1", "http://127.0.0.1:8080/v1", "http://[::1]:8080/v1", "http://10.0.0.7/v1",
        "https://192.168.1.4:8443/v1", "http://[fd00::7]/v1", "http://gpu.internal/v1", "http://box.local:1/v1/",
    ],
)  # fmt: skip
def test_a_server_inside_a_private_network_needs_no_key(monkeypatch: pytest.MonkeyPatch, base_url: str) -> None:
    chosen = _settings(monkeypatch, AI_MODE="openai", OPENAI_BASE_URL=base_url, OPENAI_CHAT_API="completions")
    assert chosen.openai_base_url == base_url.rstrip("/")


@pytest.mark.parametrize("variables", [
    {"AI_MODE": "openai"},
    {"AI_PROVIDERS": "speech=openai,chat=mock"},
    {"AI_PROVIDERS": "chat=openai:any-1", "OPENAI_BASE_URL": "https://api.example.com/v1"},
])  # fmt: skip
def test_whoever_asks_openai_has_a_key(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="OPENAI_API_KEY: required"):
        _settings(monkeypatch, **variables)
    with pytest.raises(ValidationError, match="OPENAI_API_KEY: required"):
        _settings(monkeypatch, **variables, OPENAI_API_KEY="  ")
    assert _settings(monkeypatch, **variables, OPENAI_API_KEY="sk-x").openai_api_key


STRIPE = {"PAYMENTS_MODE": "stripe", "STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}
PRODUCTION = {"COINOP_ENV": "production", "SMTP_URL": "console:", "PUBLIC_URL": "https://api.example.com"}


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({**STRIPE, "STRIPE_SECRET_KEY": "sk_live_do-not-print"}, "STRIPE_SECRET_KEY: expected a test key"),
        ({**STRIPE, "STRIPE_SECRET_KEY": "rk_live_do-not-print"}, "STRIPE_SECRET_KEY: expected a test key"),
        ({"PAYMENTS_MODE": "paypal"}, "'mock' or 'stripe'"),
        ({"PAYMENTS_MODE": "stripe"}, "STRIPE_WEBHOOK_SECRET: required"),
        ({**STRIPE, "STRIPE_WEBHOOK_SECRET": "  "}, "STRIPE_WEBHOOK_SECRET: required"),
        ({"STRIPE_API_BASE": "http://api.example.com"}, "expected https://host"),
        ({"STRIPE_API_BASE": "https://api.example.com/v1"}, "expected https://host"),
        ({"STRIPE_API_BASE": "api.stripe.com"}, "expected https://host"),
        (PRODUCTION, "PAYMENTS_MODE: required with COINOP_ENV=production"),
    ],
)
def test_nobody_takes_money_by_accident(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        _settings(monkeypatch, **variables)
    assert expected in str(refused.value.errors(include_input=False))
    assert "do-not-print" not in _explain(refused.value)


@pytest.mark.parametrize(
    "variables",
    [
        STRIPE,
        {**STRIPE, "STRIPE_API_BASE": "http://127.0.0.1:12111"},
        {**STRIPE, "STRIPE_API_BASE": "https://stripe.example.com/"},
        {**PRODUCTION, **STRIPE, "STRIPE_SECRET_KEY": "sk_live_x"},
        {**PRODUCTION, "PAYMENTS_MODE": "mock"},
    ],
)
def test_a_house_that_says_who_takes_its_payments_boots(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    chosen = _settings(monkeypatch, **variables)
    assert chosen.payments_mode == variables["PAYMENTS_MODE"]
    assert chosen.stripe_api_base in (None, "http://127.0.0.1:12111", "https://stripe.example.com")


def test_the_mock_signs_webhooks_with_a_secret_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    derived = _settings(monkeypatch).webhook_secret
    assert derived.startswith("whsec_")
    assert derived == _settings(monkeypatch).webhook_secret
    assert derived != _settings(monkeypatch, SECRET_KEY="z" * 48).webhook_secret
    assert _settings(monkeypatch, STRIPE_WEBHOOK_SECRET="whsec_x").webhook_secret == "whsec_x"


@pytest.mark.parametrize(
    ("variable", "value", "package"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318", "opentelemetry-exporter-otlp-proto-http"),
        ("SENTRY_DSN", "https://key@sentry.example.com/7", "sentry-sdk"),
    ],
)
def test_what_sends_traces_and_reports_is_asked_for_only_when_they_are_wanted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, package: str
) -> None:
    assert _settings(monkeypatch, **{variable: value})
    monkeypatch.setattr("config.visibility.distribution", _not_installed)
    assert _settings(monkeypatch, **{variable: ""})
    with pytest.raises(ValidationError) as refused:
        _settings(monkeypatch, **{variable: value})
    said = _explain(refused.value)
    assert f"{variable}: needs {package}, which is not installed: pip install -r requirements-telemetry.txt" in said


def _not_installed(package: str) -> None:
    raise PackageNotFoundError(package)


def test_headers_for_a_collector_are_read_as_the_standard_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = _settings(monkeypatch, OTEL_EXPORTER_OTLP_HEADERS="Authorization=Basic%20YTpi=, x-scope = 7 ,")
    assert chosen.otlp_headers == {"Authorization": "Basic YTpi=", "x-scope": "7"}
    assert _settings(monkeypatch, OTEL_EXPORTER_OTLP_HEADERS="").otlp_headers == {}


def _settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    strong = {"SECRET_KEY": secrets.token_urlsafe(48), "JWT_SECRET_KEY": secrets.token_urlsafe(48)}
    for name, value in {**(strong if "COINOP_ENV" in variables else GOOD), **variables}.items():
        monkeypatch.setenv(name, value)
    return Settings()


def test_the_broker_has_two_names_and_one_address(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = "redis://one/0", "amqp://me:do-not-print@other/"
    for names in (("BROKER_URL",), ("REDIS_URL",), ("BROKER_URL", "REDIS_URL")):
        chosen = _settings(monkeypatch, **dict.fromkeys(names, other))
        assert (chosen.broker_url, chosen.redis_url, chosen.on_rabbitmq) == (other, other, True)
    with pytest.raises(ValidationError) as refused:
        _settings(monkeypatch, BROKER_URL=other, REDIS_URL=one)
    said = _explain(refused.value)
    assert "BROKER_URL: expected the same as REDIS_URL" in said
    assert "do-not-print" not in said
    assert _settings(monkeypatch, BROKER_PORT="7000").broker_url == "redis://127.0.0.1:7000/0"


def test_good_values_boot(tmp_path: Path) -> None:
    assert _boot(tmp_path).returncode == 0


def test_patience_grows_from_the_inside_out() -> None:
    """A heartbeat fits in a lease, a provider's time in the run limit, and that in the broker's patience."""
    now = settings()
    visibility = celeryconfig.broker_transport_options["visibility_timeout"]
    assert isinstance(visibility, int)
    assert 2 * now.heartbeat_seconds < now.lease_seconds, "one heartbeat may be missed"
    assert now.provider_timeout_seconds < now.run_limit_seconds < visibility
    assert now.lease_seconds < now.run_limit_seconds
    assert now.rescue_seconds < now.lease_seconds


def test_the_example_file_lists_every_setting_and_no_other() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    named = {match[1] for line in lines if (match := re.match(r"#?\s?([A-Z][A-Z0-9_]+)=", line))}
    assert named == {name.upper() for name in Settings.model_fields}
