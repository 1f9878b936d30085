"""Settings of storage: where uploads and outputs live, and how long."""

from __future__ import annotations

import re
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from config.basis import Basis, has_good_port, told

BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
"""What a bucket is called."""

DAY_SECONDS = 86_400


class StorageSettings(Basis):
    """Sizes in bytes. `output_days` of 0 is for ever."""

    storage_url: str = ""
    s3_endpoint_url: str = ""
    s3_region: str = ""
    s3_access_key_id: str = ""
    s3_secret_access_key: SecretStr | None = None

    max_upload_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024 * 1024
    max_image_pixels: Annotated[int, Field(ge=1)] = 40_000_000
    upload_days: Annotated[int, Field(ge=1, le=3650)] = 7
    upload_space_bytes: Annotated[int, Field(ge=1024)] = 500 * 1024 * 1024

    output_days: Annotated[int, Field(ge=0, le=3650)] = 30
    output_url_seconds: Annotated[int, Field(ge=60, le=5 * DAY_SECONDS)] = 3600

    @field_validator("storage_url")
    @classmethod
    def _known_storage(cls, value: str) -> str:
        url = urlsplit(value)
        prefix = url.path.strip("/")
        good = {
            "": url.path.startswith("/") or not value,
            "file": url.path.startswith("/"),
            "s3": BUCKET.fullmatch(url.netloc) and not (prefix and {"", ".", ".."} & set(prefix.split("/"))),
        }
        if not good.get(url.scheme) or url.query or url.fragment:
            raise ValueError("expected file:///absolute/folder or s3://bucket/prefix")
        return value

    @field_validator("s3_endpoint_url")
    @classmethod
    def _reachable_endpoint(cls, value: str) -> str:
        url = urlsplit(value)
        if value and not (
            url.scheme in ("http", "https") and url.hostname and has_good_port(url) and "@" not in url.netloc
            and url.path in ("", "/") and not url.query and not url.fragment
        ):  # fmt: skip
            raise ValueError("expected https://host or http://host:port, without a path")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _both_halves_of_the_key(self) -> Self:
        if bool(self.s3_access_key_id) != bool(told(self.s3_secret_access_key)):
            given, missing = "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"
            if not self.s3_access_key_id:
                given, missing = missing, given
            raise ValueError(f"{missing}: expected beside {given}; without both, the places where AWS keeps them count")
        return self

    @model_validator(mode="after")
    def _stored_in_the_state_folder(self) -> Self:
        if not self.storage_url:
            object.__setattr__(self, "storage_url", f"file://{self.coinop_home / 'outputs'}")
        return self
