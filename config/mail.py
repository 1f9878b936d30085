"""Settings of e-mail."""

from __future__ import annotations

from email.utils import parseaddr
from typing import Self
from urllib.parse import unquote, urlsplit

from pydantic import field_validator, model_validator

from config.basis import Basis, Seconds, has_good_port


class MailSettings(Basis):
    smtp_url: str = ""
    smtp_timeout_seconds: Seconds = 10
    mail_from: str = "Coinop <coinop@example.com>"

    @field_validator("smtp_url")
    @classmethod
    def _known_mail(cls, value: str) -> str:
        url = urlsplit(value)
        if value and not (
            # Python's smtplib logs in with ASCII alone.
            (url.scheme in ("smtp", "smtps") and url.hostname and has_good_port(url) and unquote(url.netloc).isascii())
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

    @model_validator(mode="after")
    def _mail_goes_somewhere(self) -> Self:
        if not self.smtp_url and self.in_development:
            object.__setattr__(self, "smtp_url", f"file://{self.coinop_home / 'mail'}")
        if not self.smtp_url:
            raise ValueError(
                "SMTP_URL: required with COINOP_ENV=production, such as smtp://user:password@host:587; "
                "console: only logs that there was mail"
            )
        return self
