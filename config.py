"""Settings: the only reader of the environment.

Every value Coinop can be told from outside is a field here, named in the environment as the field is, in upper case.
`settings()` reads them once per process, from the environment first, then `.env`, then the secrets that `make up`
generated in the state folder. A bad value stops the boot with the variable's name and what was expected.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from email.utils import parseaddr
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult, unquote, urlsplit

from limits import parse_many
from pydantic import AfterValidator, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from strictness import (
    HOW_TO_MAKE_ONE,
    SHORTEST_PASSWORD,
    SHORTEST_SECRET,
    as_browsers_send_it,
    on_this_machine,
    weakness,
)

ROOT = Path(__file__).resolve().parent
SECRETS_FILE = "secrets.env"
"""The file in `COINOP_HOME` that holds the secrets `make up` generates on its first run."""

LIVE_KEYS = ("sk_live_", "rk_live_")
"""How Stripe's keys begin that take real money."""


class BadSettings(SystemExit):
    """The environment cannot be used; the message names each variable at fault and what it should be."""


class Environment(StrEnum):
    development = "development"
    production = "production"


class AiMode(StrEnum):
    mock = "mock"
    openai = "openai"


class PaymentsMode(StrEnum):
    mock = "mock"
    stripe = "stripe"


def _reachable(host: str) -> str:
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # these two are no address to go to
    return f"[{local}]" if ":" in local else local


def _told(secret: SecretStr | None) -> str:
    return secret.get_secret_value().strip() if secret else ""


def _has_good_port(url: SplitResult) -> bool:
    try:
        return url.port is None or url.port > 0
    except ValueError:
        return False


def _long_enough(secret: SecretStr) -> SecretStr:
    length = len(secret.get_secret_value().encode())
    if length < SHORTEST_SECRET:
        raise ValueError(f"expected at least {SHORTEST_SECRET} bytes, got {length}; {HOW_TO_MAKE_ONE}")
    return secret


Secret = Annotated[SecretStr, AfterValidator(_long_enough)]
Port = Annotated[int, Field(ge=1, le=65535)]
Seconds = Annotated[float, Field(gt=0)]


class Settings(BaseSettings):
    """All settings. Times are in seconds, sizes in bytes unless the name says otherwise."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    # Where we are
    coinop_env: Environment = Environment.development
    coinop_home: Path = ROOT / ".coinop"
    host: str = "127.0.0.1"
    port: Port = 8000
    flower_port: Port = 5555
    broker_port: Port = 6380
    database_url: str = ""
    redis_url: str = ""
    storage_url: str = ""
    preset: Path = ROOT / "presets" / "default.toml"

    # Secrets
    secret_key: Secret
    jwt_secret_key: Secret
    admin_api_key: SecretStr | None = None
    flower_password: SecretStr | None = None
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()

    # The outside world
    ai_mode: AiMode = AiMode.mock
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    payments_mode: PaymentsMode = PaymentsMode.mock
    stripe_secret_key: SecretStr | None = None
    stripe_webhook_secret: SecretStr | None = None
    stripe_api_base: str | None = None
    smtp_url: str = ""
    smtp_timeout_seconds: Seconds = 10
    mail_from: str = "Coinop <coinop@example.com>"

    # How others reach us
    public_url: str = ""
    app_url: str = ""
    trusted_proxies: Annotated[int, Field(ge=0, le=10)] = 0

    # Size of the house
    web_workers: Annotated[int, Field(ge=1, le=64)] = 2
    web_threads: Annotated[int, Field(ge=1, le=256)] = 8
    generation_concurrency: Annotated[int, Field(ge=1, le=5000)] = 200
    database_pool: Annotated[int, Field(ge=1, le=200)] = 10
    max_body_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024
    max_upload_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024 * 1024
    max_image_pixels: Annotated[int, Field(ge=1)] = 40_000_000
    upload_days: Annotated[int, Field(ge=1, le=3650)] = 7
    upload_space_bytes: Annotated[int, Field(ge=1024)] = 500 * 1024 * 1024
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"

    # How often: by network address, by account, by mailbox
    auth_rate_limit: str = "30 per minute"
    login_rate_limit: str = "10 per 15 minutes"
    mail_rate_limit: str = "5 per hour"
    submit_rate_limit: str = "600 per minute"
    upload_rate_limit: str = "30 per minute"

    # A second lock on what users own (PostgreSQL only; see docs/security.md)
    row_level_security: bool = True

    # The chain of patience: heartbeat < lease, and provider < run limit < visibility (see docs/adr/0004)
    heartbeat_seconds: Seconds = 10
    lease_seconds: Seconds = 30
    rescue_seconds: Seconds = 5
    provider_timeout_seconds: Seconds = 120
    run_limit_seconds: Seconds = 180
    visibility_timeout_seconds: Annotated[int, Field(ge=10)] = 3600
    max_attempts: Annotated[int, Field(ge=1, le=20)] = 4
    retry_base_seconds: Seconds = 2

    # How often beat looks for allowances to grant; a user's own request never waits for it
    allowance_seconds: Seconds = 60

    # The mock provider
    mock_latency_seconds: Annotated[float, Field(ge=0)] = 0.2

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("cors_origins")
    @classmethod
    def _origins_alone(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if origin != "*" and origin != as_browsers_send_it(origin):
                raise ValueError(
                    f"expected origins as browsers send them, such as https://app.example.com, "
                    f"without a path; {origin!r} is none"
                )
        if "*" in value and len(value) > 1:
            raise ValueError("expected either a list of origins or * alone")
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if not value:
            return value
        try:
            backend = make_url(value).get_backend_name()
        except ArgumentError:
            backend = ""
        if backend not in ("postgresql", "sqlite"):
            raise ValueError("expected postgresql://user:password@host/name or sqlite:////absolute/path.sqlite3")
        return value

    @field_validator("redis_url")
    @classmethod
    def _known_broker(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("redis", "rediss", "unix", "amqp", "amqps"):
            raise ValueError("expected redis://host:port/0 (or rediss://, unix://, amqp://)")
        return value

    @field_validator("storage_url")
    @classmethod
    def _known_storage(cls, value: str) -> str:
        if (value and not urlsplit(value).path.startswith("/")) or urlsplit(value).scheme not in ("", "file"):
            raise ValueError("expected file:///absolute/folder")
        return value

    @field_validator("smtp_url")
    @classmethod
    def _known_mail(cls, value: str) -> str:
        url = urlsplit(value)
        if value and not (
            # Python's smtplib logs in with ASCII alone.
            (url.scheme in ("smtp", "smtps") and url.hostname and _has_good_port(url) and unquote(url.netloc).isascii())
            or (url.scheme == "file" and url.path.startswith("/"))
            or value == "console:"
        ):
            raise ValueError("expected smtp://user:password@host:587, smtps://…, file:///absolute/folder or console:")
        return value

    @field_validator("mail_from")
    @classmethod
    def _has_an_address(cls, value: str) -> str:
        _, address = parseaddr(value)
        local, _, domain = address.rpartition("@")
        if not (local and domain and address.isprintable() and " " not in address):
            raise ValueError("expected a name and an address such as Coinop <coinop@example.com>")
        return value

    @field_validator("public_url", "app_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        url = urlsplit(value)
        if value and not (url.scheme in ("http", "https") and url.hostname and not url.query and not url.fragment):
            raise ValueError("expected an address such as https://api.example.com")
        return value.rstrip("/")

    @field_validator("stripe_api_base")
    @classmethod
    def _reached_in_secret(cls, value: str | None) -> str | None:
        url = urlsplit(value or "")
        secret = url.scheme == "https" or (url.scheme == "http" and on_this_machine(url.hostname or ""))
        if value and not (secret and url.hostname and url.path in ("", "/") and not url.query and not url.fragment):
            raise ValueError("expected https://host, or http:// to this machine: the secret key goes there")
        return value.rstrip("/") if value else value

    @field_validator("auth_rate_limit", "login_rate_limit", "mail_rate_limit", "submit_rate_limit", "upload_rate_limit")
    @classmethod
    def _readable_rate(cls, value: str) -> str:
        try:
            parse_many(value)
        except ValueError:
            raise ValueError("expected a rate such as 30 per minute") from None
        return value

    @field_validator("preset")
    @classmethod
    def _preset_exists(cls, value: Path) -> Path:
        path = value if value.is_absolute() else ROOT / value
        if not path.is_file():
            raise ValueError(f"expected the path of a preset file such as presets/default.toml; {path} is not there")
        return path

    @model_validator(mode="after")
    def _places_in_the_state_folder(self) -> Self:
        home = self.coinop_home if self.coinop_home.is_absolute() else ROOT / self.coinop_home
        derived = {
            "coinop_home": home,
            "database_url": self.database_url or f"sqlite:///{home / 'coinop.sqlite3'}",
            "storage_url": self.storage_url or f"file://{home / 'outputs'}",
            "redis_url": self.redis_url or f"redis://127.0.0.1:{self.broker_port}/0",
            "smtp_url": self.smtp_url or (f"file://{home / 'mail'}" if self.in_development else ""),
            "public_url": self.public_url or f"http://{_reachable(self.host)}:{self.port}",
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
        return self

    @model_validator(mode="after")
    def _mail_goes_somewhere(self) -> Self:
        if not self.smtp_url:
            raise ValueError(
                "SMTP_URL: required with COINOP_ENV=production, such as smtp://user:password@host:587; "
                "console: only logs that there was mail"
            )
        return self

    @model_validator(mode="after")
    def _locked_in_production(self) -> Self:
        """Outside development nobody gets by with what is good enough to try things out."""
        if self.in_development:
            return self
        faults = []
        seen: dict[str, str] = {}
        secrets = {
            "SECRET_KEY": (self.secret_key, SHORTEST_SECRET),
            "JWT_SECRET_KEY": (self.jwt_secret_key, SHORTEST_SECRET),
            "ADMIN_API_KEY": (self.admin_api_key, SHORTEST_SECRET),
            "FLOWER_PASSWORD": (self.flower_password, SHORTEST_PASSWORD),
        }
        for name, (secret, shortest) in secrets.items():
            if secret is None:
                continue
            value = secret.get_secret_value()
            if why := weakness(value, shortest):
                faults.append(f"{name}: {why}; {HOW_TO_MAKE_ONE}")
            if value in seen:
                faults.append(f"{name}: expected a secret of its own, got the one of {seen[value]}")
            seen.setdefault(value, name)
        if "*" in self.cors_origins:
            faults.append("CORS_ORIGINS: expected a list of origins with COINOP_ENV=production, not *")
        for name, address in (("PUBLIC_URL", self.public_url), ("APP_URL", self.app_url)):
            url = urlsplit(address)
            if url.scheme == "http" and not on_this_machine(url.hostname or ""):
                faults.append(f"{name}: expected https:// with COINOP_ENV=production: links with tokens begin with it")
        if faults:
            raise ValueError("\n  ".join(faults))
        return self

    @model_validator(mode="after")
    def _patience_is_ordered(self) -> Self:
        chain = [
            ("heartbeat_seconds", "lease_seconds"),
            ("provider_timeout_seconds", "run_limit_seconds"),
            ("lease_seconds", "run_limit_seconds"),
            ("run_limit_seconds", "visibility_timeout_seconds"),
        ]
        for shorter, longer in chain:
            if not getattr(self, shorter) < getattr(self, longer):
                limit = f"{longer.upper()} ({getattr(self, longer):g} s)"
                raise ValueError(f"{shorter.upper()}: expected less than {limit}")
        return self

    @model_validator(mode="after")
    def _modes_have_their_keys(self) -> Self:
        if self.ai_mode is AiMode.openai:
            raise ValueError("AI_MODE: expected mock; this release has no other provider")
        if self.payments_mode is PaymentsMode.mock:
            if not self.in_development and "payments_mode" not in self.model_fields_set:
                raise ValueError(
                    "PAYMENTS_MODE: required with COINOP_ENV=production, stripe; "
                    "with mock, whoever presses a button has paid"
                )
            return self
        missing = [name for name in ("stripe_secret_key", "stripe_webhook_secret") if not _told(getattr(self, name))]
        if missing:
            raise ValueError("\n  ".join(f"{name.upper()}: required with PAYMENTS_MODE=stripe" for name in missing))
        if self.in_development and _told(self.stripe_secret_key).startswith(LIVE_KEYS):
            raise ValueError(
                "STRIPE_SECRET_KEY: expected a test key (sk_test_…), as a live one takes real money; "
                "it is for COINOP_ENV=production"
            )
        return self

    @property
    def in_development(self) -> bool:
        return self.coinop_env is Environment.development

    @property
    def webhook_secret(self) -> str:
        """What webhooks are signed with. A mock that was told none makes its own from `SECRET_KEY`."""
        derived = hmac.new(self.secret_key.get_secret_value().encode(), b"webhooks of the mock gateway", hashlib.sha256)
        return _told(self.stripe_webhook_secret) or f"whsec_{derived.hexdigest()}"

    @property
    def on_postgresql(self) -> bool:
        return make_url(self.database_url).get_backend_name() == "postgresql"


@cache
def settings() -> Settings:
    """The process's settings, read once. Raises `BadSettings`, which ends the process with a readable message."""
    home = Path(os.environ.get("COINOP_HOME") or ROOT / ".coinop")
    home = home if home.is_absolute() else ROOT / home
    try:
        return Settings(_env_file=(home / SECRETS_FILE, ROOT / ".env"))
    except ValidationError as error:
        raise BadSettings(_explain(error)) from None


def _explain(error: ValidationError) -> str:
    lines = ["Coinop cannot start, a setting is wrong:"]
    for fault in error.errors(include_input=False, include_url=False):
        name = str(fault["loc"][0]).upper() if fault["loc"] else ""
        message = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "missing":
            message = "required but not set; `make up` generates secrets for development, see .env.example"
        lines.append(f"  {name + ': ' if name else ''}{message}")
    return "\n".join(lines)
