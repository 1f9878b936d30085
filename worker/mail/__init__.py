"""Mail: how a letter leaves the house. `SMTP_URL` says which way."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

from config import Settings
from worker.mail.compose import compose, sender_of
from worker.mail.console import Console
from worker.mail.folder import Folder
from worker.mail.gateway import Gateway, Mail, MailError, Refused, Unavailable
from worker.mail.smtp import Smtp

__all__ = ["Gateway", "Mail", "MailError", "Refused", "Unavailable", "compose", "gateway_for"]


def gateway_for(settings: Settings) -> Gateway:
    """The gateway that these settings name; one in each process, as it knows how the server is."""
    return _gateway(settings.smtp_url, settings.smtp_timeout_seconds, sender_of(settings.mail_from).domain)


@cache
def _gateway(url: str, timeout: float, name: str) -> Gateway:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Folder(Path(unquote(parts.path)))
    if parts.scheme == "console":
        return Console()
    return Smtp(url, timeout=timeout, name=name)
