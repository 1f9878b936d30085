"""What a mail gateway is to Coinop: one mail handed over, or a reason why not.

A gateway knows nothing of users or the database. It takes a `Mail`, or raises `Refused` for what would be refused
again and `Unavailable` for what may pass. Neither says an address or a server's own words, which may quote one.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Mail:
    """A whole mail: the message, and the envelope it travels in."""

    email_id: UUID
    template: str
    created_at: datetime
    sender: str
    recipient: str
    message: EmailMessage


class Gateway(Protocol):
    """A way out for mail."""

    longest_seconds: float
    """How long `send` may take."""

    def send(self, mail: Mail) -> None:
        """Hand a mail over for good. Raises `MailError`."""
        ...


class MailError(Exception):
    """The mail was not handed over. `trouble` is a code, and a word on the cause: a status, or an error's class."""

    def __init__(self, code: str, cause: object = "") -> None:
        self.trouble = f"{code} {cause}".strip()
        super().__init__(self.trouble)


class Refused(MailError):
    """This mail will never be taken: trying it again would come to the same."""


class Unavailable(MailError):
    """It did not work now, and may later. `server` says that the server as a whole is to blame, not this mail;
    `misconfigured` that somebody has to do something about it."""

    def __init__(self, code: str, cause: object = "", *, server: bool = False, misconfigured: bool = False) -> None:
        super().__init__(code, cause)
        self.server = server
        self.misconfigured = misconfigured
