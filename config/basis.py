"""What every part of the settings needs: where we are, the secrets, and the types of values."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import SplitResult

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from strictness import HOW_TO_MAKE_ONE, SHORTEST_SECRET

ROOT = Path(__file__).resolve().parent.parent


class BadSettings(SystemExit):
    """The environment cannot be used; the message names each variable at fault and what it should be."""


class Environment(StrEnum):
    development = "development"
    production = "production"


def told(secret: SecretStr | None) -> str:
    """What a secret says; nothing when it was not given."""
    return secret.get_secret_value().strip() if secret else ""


def has_good_port(url: SplitResult) -> bool:
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


class Basis(BaseSettings):
    """Where we are, and the secrets that all else rests on."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, env_ignore_empty=True)

    coinop_env: Environment = Environment.development
    coinop_home: Path = ROOT / ".coinop"
    secret_key: Secret
    jwt_secret_key: Secret

    @model_validator(mode="after")
    def _home_is_absolute(self) -> Self:
        if not self.coinop_home.is_absolute():
            object.__setattr__(self, "coinop_home", ROOT / self.coinop_home)
        return self

    @property
    def in_development(self) -> bool:
        return self.coinop_env is Environment.development
