"""Settings of payments."""

from __future__ import annotations

import hashlib
import hmac
from enum import StrEnum
from typing import Self
from urllib.parse import urlsplit

from pydantic import SecretStr, field_validator, model_validator

from config.basis import Basis, told
from strictness import on_this_machine

LIVE_KEYS = ("sk_live_", "rk_live_")
"""How Stripe's keys begin that take real money."""


class PaymentsMode(StrEnum):
    mock = "mock"
    stripe = "stripe"


class PaymentSettings(Basis):
    payments_mode: PaymentsMode = PaymentsMode.mock
    stripe_secret_key: SecretStr | None = None
    stripe_webhook_secret: SecretStr | None = None
    stripe_api_base: str | None = None

    @field_validator("stripe_api_base")
    @classmethod
    def _reached_in_secret(cls, value: str | None) -> str | None:
        url = urlsplit(value or "")
        secret = url.scheme == "https" or (url.scheme == "http" and on_this_machine(url.hostname or ""))
        if value and not (secret and url.hostname and url.path in ("", "/") and not url.query and not url.fragment):
            raise ValueError("expected https://host, or http:// to this machine: the secret key goes there")
        return value.rstrip("/") if value else value

    @model_validator(mode="after")
    def _has_its_keys(self) -> Self:
        if self.payments_mode is PaymentsMode.mock:
            if not self.in_development and "payments_mode" not in self.model_fields_set:
                raise ValueError(
                    "PAYMENTS_MODE: required with COINOP_ENV=production, stripe; "
                    "with mock, whoever presses a button has paid"
                )
            return self
        missing = [name for name in ("stripe_secret_key", "stripe_webhook_secret") if not told(getattr(self, name))]
        if missing:
            raise ValueError("\n  ".join(f"{name.upper()}: required with PAYMENTS_MODE=stripe" for name in missing))
        if self.in_development and told(self.stripe_secret_key).startswith(LIVE_KEYS):
            raise ValueError(
                "STRIPE_SECRET_KEY: expected a test key (sk_test_…), as a live one takes real money; "
                "it is for COINOP_ENV=production"
            )
        return self

    @property
    def webhook_secret(self) -> str:
        """What webhooks are signed with. A mock that was told none makes its own from `SECRET_KEY`."""
        derived = hmac.new(self.secret_key.get_secret_value().encode(), b"webhooks of the mock gateway", hashlib.sha256)
        return told(self.stripe_webhook_secret) or f"whsec_{derived.hexdigest()}"
