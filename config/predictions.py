"""Settings of the predictions backend: a service that takes work on, is asked how far it is, and gives addresses of
what it made (Replicate's protocol)."""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from config.ai import AiSettings
from config.basis import told
from strictness import on_this_machine

PREDICTIONS = "predictions"
"""The name of the backend in `AI_PROVIDERS`."""

_PART = r"[A-Za-z0-9][A-Za-z0-9._-]*"
PREDICTIONS_MODEL = re.compile(rf"(?P<owner>{_PART})/(?P<name>{_PART})(?::(?P<version>{_PART}))?")
"""A model's name is part of an address, so nothing else may be in it."""


class PredictionsSettings(AiSettings):
    predictions_url: str = "https://api.replicate.com/v1"
    predictions_api_key: SecretStr | None = None
    predictions_output_bytes: Annotated[int, Field(ge=1024)] = 100 * 1024 * 1024

    @field_validator("predictions_url")
    @classmethod
    def _predictions_key_goes_in_secret(cls, value: str) -> str:
        url = urlsplit(value)
        secret = url.scheme == "https" or (url.scheme == "http" and on_this_machine(url.hostname or ""))
        if not (secret and url.hostname and not url.query and not url.fragment and not url.username):
            raise ValueError("expected https://host/v1, or http:// to this machine: the key goes there")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _predictions_have_what_they_need(self) -> Self:
        models = {kind: model for kind, (provider, model) in self.wishes.items() if provider == PREDICTIONS and model}
        for kind, model in models.items():
            if not PREDICTIONS_MODEL.fullmatch(model):
                raise ValueError(
                    f"AI_PROVIDERS: expected {kind}=predictions:owner/name or predictions:owner/name:version, "
                    f"got {model!r}"
                )
        if models and not told(self.predictions_api_key):
            raise ValueError(f"PREDICTIONS_API_KEY: required with AI_PROVIDERS={next(iter(models))}=predictions:…")
        return self
