"""Composing: a letter as a whole mail, with the headers that make it one mail however often it is sent."""

from __future__ import annotations

from email.headerregistry import Address, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Any

import idna
from email_validator import EmailNotValidError, validate_email

from models.emails import Letter
from worker.mail.gateway import Mail, Refused
from worker.mail.render import render
from worker.mail.words import one_line

ENCODED_WORD = "=?"
"""How a header says that what follows is encoded (RFC 2047). In an address it is no letter of any mailbox, and what it
encodes may end the line."""


class _Link(UnstructuredHeader):
    """A header that is a link: it stays whole, however long it is."""

    def fold(self, *, policy: Any) -> str:
        return f"List-Unsubscribe: {self}{policy.linesep}"


_headers = HeaderRegistry()
_headers.map_to_type("list-unsubscribe", _Link)  # type: ignore[arg-type]  # a part that it makes a header of
POLICY = SMTP.clone(header_factory=_headers)


def compose(letter: Letter, *, mail_from: str) -> Mail:
    """Write a letter out as a mail from `mail_from`. Raises `Refused` when its address is none."""
    sender = sender_of(mail_from)
    recipient = _recipient(letter.recipient)
    facts = {
        **letter.facts,
        "name": letter.name and one_line(letter.name),
        "settings_link": letter.settings_link,
        "at": letter.created_at.isoformat(),
    }
    rendered = render(letter.template, facts)
    message = EmailMessage(policy=POLICY)
    message["From"] = sender
    message["To"] = Address(one_line(letter.name or ""), recipient.username, recipient.domain)
    message["Subject"] = rendered.subject
    message["Date"] = format_datetime(letter.created_at)
    message["Message-ID"] = f"<{letter.email_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if letter.settings_link is not None:
        message["List-Unsubscribe"] = f"<{letter.settings_link}>"
    message.set_content(rendered.text, cte="quoted-printable")
    message.add_alternative(rendered.html, subtype="html", cte="quoted-printable")
    return Mail(
        email_id=letter.email_id,
        template=letter.template,
        created_at=letter.created_at,
        sender=sender.addr_spec,
        recipient=recipient.addr_spec,
        message=message,
    )


def sender_of(mail_from: str) -> Address:
    """`Name <address>` as the settings have it."""
    name, address = parseaddr(mail_from)
    username, _, domain = address.rpartition("@")
    return Address(one_line(name), username, _ascii(domain))


def _recipient(address: str) -> Address:
    try:
        valid = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        raise Refused("bad_address") from None
    if ENCODED_WORD in valid.local_part:
        raise Refused("bad_address")
    return Address("", valid.local_part, valid.ascii_domain)


def _ascii(domain: str) -> str:
    return domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
