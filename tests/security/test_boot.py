"""Boot refusal: outside development nothing starts with a lock that a stranger could open."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from pathlib import Path

import pytest

from config import ROOT, BadSettings, settings
from ops.secrets_file import BYTES, ensure_secrets
from strictness import PLACEHOLDERS, weakness

GOOD = {
    "COINOP_ENV": "production",
    "SECRET_KEY": secrets.token_urlsafe(48),
    "JWT_SECRET_KEY": secrets.token_hex(32),
    "ADMIN_API_KEY": secrets.token_urlsafe(48),
    "FLOWER_PASSWORD": secrets.token_urlsafe(18),
    "SMTP_URL": "console:",
    "PAYMENTS_MODE": "mock",
    "PUBLIC_URL": "https://api.example.com",
    "CORS_ORIGINS": "https://app.example.com, http://localhost:3000",
}

Boot = Callable[..., str]


@pytest.fixture
def boot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Boot:
    """Read the settings as a process does; gives what it says instead of starting, or nothing."""

    def read(**variables: str) -> str:
        with monkeypatch.context() as patched:
            patched.setenv("COINOP_HOME", str(tmp_path))
            for name, value in {**GOOD, **variables}.items():
                patched.setenv(name, value)
            try:
                settings.__wrapped__()
            except BadSettings as refused:
                return str(refused)
            return ""

    return read


def test_good_secrets_and_addresses_boot(boot: Boot) -> None:
    assert boot() == ""


@pytest.mark.parametrize("name", BYTES)
@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("changeme", "at least"),
        ("changeme-changeme-changeme-changeme", "placeholder"),
        ("ChangeMe!0o9i8u7y6t5r4e3w2q1_Change_Me!", "placeholder"),
        ("the secret of this installation, 1 of 4", "placeholder"),
        ("super-PASSWORD-for-nobody-to-guess-42xyz", "placeholder"),
        ("x" * 48, "repeats itself"),
        ("abab" * 12, "repeats itself"),
        ("q7Zr-p2Kd" * 5, "repeats itself"),
    ],
)
def test_a_guessable_secret_is_refused_by_name(boot: Boot, name: str, value: str, why: str) -> None:
    said = boot(**{name: value})
    assert "Coinop cannot start" in said
    assert re.search(rf"^  {name}: .*{why}", said, re.MULTILINE), said
    assert value not in said


@pytest.mark.parametrize("name", ["JWT_SECRET_KEY", "ADMIN_API_KEY", "FLOWER_PASSWORD"])
def test_no_two_locks_have_one_key(boot: Boot, name: str) -> None:
    said = boot(**{name: GOOD["SECRET_KEY"]})
    assert f"  {name}: expected a secret of its own, got the one of SECRET_KEY" in said
    assert GOOD["SECRET_KEY"] not in said


def test_every_fault_is_named_at_once(boot: Boot) -> None:
    said = boot(ADMIN_API_KEY="changeme", FLOWER_PASSWORD="changeme", CORS_ORIGINS="*", PUBLIC_URL="http://example.com")
    assert re.findall(r"^  ([A-Z_]+):", said, re.MULTILINE) == [
        "ADMIN_API_KEY", "FLOWER_PASSWORD", "FLOWER_PASSWORD", "CORS_ORIGINS", "PUBLIC_URL",
    ]  # fmt: skip


def test_development_may_be_careless(boot: Boot) -> None:
    careless = {"SECRET_KEY": "x" * 32, "JWT_SECRET_KEY": "x" * 32, "ADMIN_API_KEY": "admin", "CORS_ORIGINS": "*"}
    assert boot(COINOP_ENV="development", PUBLIC_URL="http://example.com", **careless) == ""


def test_what_our_own_pages_show_as_a_secret_opens_nothing() -> None:
    """Whoever copies a secret out of the documents or the tests is stopped."""
    shown = set()
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob(".ci/*"), *ROOT.glob("tests/**/*.py")]:
        for _, given in re.findall(
            r"""\b(SECRET_KEY|ADMIN_API_KEY|FLOWER_PASSWORD)["']?[=:] ?["']?([^"'\s$]{8}[^"'\n]*)""", path.read_text()
        ):
            shown.add(given.rstrip(" \\,"))
    assert len(shown) >= 3, "the search finds nothing any more"
    assert [value for value in shown if not weakness(value, 16)] == []


def test_what_make_up_generates_is_good(tmp_path: Path) -> None:
    for number in range(20):
        ensure_secrets(tmp_path / str(number), {})
        for line in (tmp_path / str(number) / "secrets.env").read_text().splitlines():
            name, _, value = line.partition("=")
            if name in BYTES:
                assert weakness(value, 16) is None, name


def test_random_secrets_never_read_like_placeholders() -> None:
    assert min(len(word) for word in PLACEHOLDERS) >= 6


@pytest.mark.parametrize(
    "origins",
    [
        "app.example.com", "https://app.example.com/", "https://app.example.com/start", "https://app.example.com?x=1",
        "https://user:pass@app.example.com", "https://App.example.com", "https://app.example.com:443", "null",
        "https://*.example.com", "ftp://app.example.com", "https://", "https://app.example.com:port",
        "https://app.example.com, *",
    ],
)  # fmt: skip
@pytest.mark.parametrize("env", ["development", "production"])
def test_what_is_no_origin_is_refused_by_name(boot: Boot, env: str, origins: str) -> None:
    assert "  CORS_ORIGINS: expected" in boot(COINOP_ENV=env, CORS_ORIGINS=origins)


@pytest.mark.parametrize(
    ("name", "address", "good"),
    [
        ("PUBLIC_URL", "http://api.example.com", False),
        ("APP_URL", "http://app.example.com", False),
        ("PUBLIC_URL", "http://10.0.0.1:8000", False),
        ("PUBLIC_URL", "http://localhost.example.com", False),
        ("PUBLIC_URL", "http://127.0.0.1:8000", True),
        ("PUBLIC_URL", "http://[::1]:8000", True),
        ("APP_URL", "http://localhost:3000", True),
        ("APP_URL", "https://app.example.com", True),
    ],
)
def test_links_with_tokens_go_over_https(boot: Boot, name: str, address: str, good: bool) -> None:
    said = boot(**{name: address})
    assert said == "" if good else f"  {name}: expected https://" in said
