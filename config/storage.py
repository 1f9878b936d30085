"""Settings of storage: where uploads and outputs live."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from config.basis import Basis


class StorageSettings(Basis):
    """Sizes in bytes."""

    storage_url: str = ""
    max_upload_bytes: Annotated[int, Field(ge=1024)] = 10 * 1024 * 1024
    max_image_pixels: Annotated[int, Field(ge=1)] = 40_000_000
    upload_days: Annotated[int, Field(ge=1, le=3650)] = 7
    upload_space_bytes: Annotated[int, Field(ge=1024)] = 500 * 1024 * 1024

    @field_validator("storage_url")
    @classmethod
    def _known_storage(cls, value: str) -> str:
        if (value and not urlsplit(value).path.startswith("/")) or urlsplit(value).scheme not in ("", "file"):
            raise ValueError("expected file:///absolute/folder")
        return value

    @model_validator(mode="after")
    def _stored_in_the_state_folder(self) -> Self:
        if not self.storage_url:
            object.__setattr__(self, "storage_url", f"file://{self.coinop_home / 'outputs'}")
        return self
