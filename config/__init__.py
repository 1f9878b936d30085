"""Settings: the only reader of the environment.

Every value Coinop can be told from outside is a field here, named in the environment as the field is, in upper case.
`settings()` reads them once per process, from the environment first, then `.env`, then the secrets that `make up`
generated in the state folder. A bad value stops the boot with the variable's name and what was expected.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import NoDecode
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from config.ai import AiMode
from config.basis import ROOT, BadSettings, Basis, Environment, Port, Seconds
from config.broker import BrokerSettings
from config.limits import AiFallback, LimitSettings
from config.mail import MailSettings
from config.moderation import ModerationMode, ModerationSettings
from config.openai import OpenAISettings
from config.payments import LIVE_KEYS, PaymentSettings, PaymentsMode
from config.predictions import PredictionsSettings
from config.retention import RetentionSettings
from config.storage import StorageSettings
from config.visibility import VisibilitySettings
from strictness import (
    HOW_TO_MAKE_ONE,
    SHORTEST_PASSWORD,
    SHORTEST_SECRET,
    as_browsers_send_it,
    on_this_machine,
    weakness,
)

__all__ = [
    "LIVE_KEYS", "ROOT", "SECRETS_FILE", "AiFallback", "AiMode", "BadSettings", "Environment", "ModerationMode",
    "PaymentsMode", "Settings", "settings",
]  # fmt: skip

SECRETS_FILE = "secrets.env"
"""The file in `COINOP_HOME` that holds the secrets `make up` generates on its first run."""


def _reachable(host: str) -> str:
    local = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # these two are no address to go to
    return f"[{local}]" if ":" in local else local


class Settings(
    BrokerSettings,
    LimitSettings,
    ModerationSettings,
    OpenAISettings,
    PredictionsSettings,
    PaymentSettings,
    MailSettings,
    StorageSettings,
    RetentionSettings,
    VisibilitySettings,
    Basis,
):
    """All settings. Times are in seconds, sizes in bytes unless the name says otherwise."""

    # Where we are
    host: str = "127.0.0.1"
    port: Port = 8000
    flower_port: Port = 5555
    database_url: str = ""
    preset: Path = ROOT / "presets" / "default.toml"

    # Secrets
    admin_api_key: SecretStr | None = None
    flower_password: SecretStr | None = None
    cors_origins: Annotated[tuple[str, ...], NoDecode] = ()

    # How others reach us
    public_url: str = ""
    app_url: str = ""
    trusted_proxies: Annotated[int, Field(ge=0, le=10)] = 0

    # Size of the house
    web_workers: Annotated[int, Field(ge=1, le=64)] = 2
    web_threads: Annotated[int, Field(ge=1, le=256)] = 8
    wait_seconds_max: Annotated[int, Field(ge=0, le=300)] = 30
    database_pool: Annotated[int, Field(ge=1, le=200)] = 10
    database_prepare: bool = True
    max_body_bytes: Annotated[int, Field(ge=1024)] = 256 * 1024
    log_level: Annotated[str, Field(pattern="^(DEBUG|INFO|WARNING|ERROR)$")] = "INFO"

    # How often: by network address, by account, by mailbox
    auth_rate_limit: str = "30 per minute"
    login_rate_limit: str = "10 per 15 minutes"
    mail_rate_limit: str = "5 per hour"
    submit_rate_limit: str = "600 per minute"
    upload_rate_limit: str = "30 per minute"

    # A second lock on what users own (PostgreSQL only; see docs/security.md)
    row_level_security: bool = True

    # How often beat looks for allowances to grant; a user's own request never waits for it
    allowance_seconds: Seconds = 60

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

    @field_validator("public_url", "app_url")
    @classmethod
    def _web_address(cls, value: str) -> str:
        url = urlsplit(value)
        if value and not (url.scheme in ("http", "https") and url.hostname and not url.query and not url.fragment):
            raise ValueError("expected an address such as https://api.example.com")
        return value.rstrip("/")

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
        derived = {
            "database_url": self.database_url or f"sqlite:///{self.coinop_home / 'coinop.sqlite3'}",
            "public_url": self.public_url or f"http://{_reachable(self.host)}:{self.port}",
        }
        for name, value in derived.items():
            object.__setattr__(self, name, value)
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
            "METRICS_TOKEN": (self.metrics_token, SHORTEST_SECRET),
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
