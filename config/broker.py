"""Settings of the broker, which carries wake-ups from the outbox to workers."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import field_validator, model_validator

from config.basis import Basis, Port


class BrokerSettings(Basis):
    """`redis_url` is another name of `broker_url`: whichever is given, both say the same afterwards."""

    broker_url: str = ""
    redis_url: str = ""
    broker_port: Port = 6380

    @field_validator("broker_url", "redis_url")
    @classmethod
    def _known_broker(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in ("redis", "rediss", "unix", "amqp", "amqps"):
            raise ValueError("expected redis://host:port/0 (or rediss://, unix://, amqp://, amqps://)")
        return value

    @model_validator(mode="after")
    def _one_broker(self) -> Self:
        if self.broker_url and self.redis_url and self.broker_url != self.redis_url:
            raise ValueError("BROKER_URL: expected the same as REDIS_URL, its other name; set one of them")
        url = self.broker_url or self.redis_url or f"redis://127.0.0.1:{self.broker_port}/0"
        for name in ("broker_url", "redis_url"):
            object.__setattr__(self, name, url)
        return self

    @property
    def brings_broker(self) -> bool:
        """Whether a broker was named. If not, `make up` runs one of its own."""
        return not {"broker_url", "redis_url"}.isdisjoint(self.model_fields_set)

    @property
    def on_rabbitmq(self) -> bool:
        return urlsplit(self.broker_url).scheme in ("amqp", "amqps")
