"""Writing: to whom an e-mail goes and with which facts, looked up when it is sent and not when it was staged.

Much may have happened since: the address was verified, somebody else had it all along, the account is closed. An
e-mail that nobody is to have any more is dropped. How it looks is not decided here.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select
from sqlalchemy.orm import Session

from config import settings
from models import catalog, ledger, one_time_tokens, users
from models.catalog import Catalog
from models.database import moment
from models.emails.attempts import Claim, drop
from models.emails.tables import Email, EmailState
from models.emails.templates import NOTICES, Template
from models.ledger import Source
from models.one_time_tokens import LIFETIME_SECONDS, OneTimeToken, Purpose
from models.users import User

PATHS = {
    Purpose.verify_email: "/verify-email",
    Purpose.reset_password: "/reset-password",
    Purpose.change_email: "/confirm-email",
}
"""Where a link leads, on the front end or on our own small pages."""


@dataclass(frozen=True, slots=True)
class Letter:
    """What an e-mail is to say to whom. `settings_link` is where its reader can turn such mails off, if that can be."""

    email_id: UUID
    template: Template
    recipient: str
    name: str | None
    facts: dict[str, Any]
    created_at: datetime
    settings_link: str | None


class _Nobody(Exception):
    """Nobody is to be told; `trouble` says why."""

    def __init__(self, trouble: str) -> None:
        super().__init__(trouble)
        self.trouble = trouble


def write(session: Session, claim: Claim) -> Letter | None:
    """Find out what a claimed e-mail says and to whom; None when it was dropped, or has ended meanwhile.

    A one-time link is made here, the same for each attempt. Locks the e-mail when it drops it, else nothing. Raises
    `NotFound` when no catalog is loaded.
    """
    email = session.get(Email, claim.email_id, populate_existing=True)
    if email is None or email.state is not EmailState.queued:
        return None
    try:
        return _write(session, email, catalog.current(session))
    except _Nobody as nobody:
        drop(session, claim, trouble=nobody.trouble)
        return None


def wants_notices() -> ColumnElement[bool]:
    """Whether a user is to have by mail what a notice tells as well: asked for, and to an address that is theirs."""
    return and_(User.notices_by_mail, User.verified_at.is_not(None), User.email.is_not(None))


def _write(session: Session, email: Email, sold: Catalog) -> Letter:
    template = Template(email.template)
    user, address = _READERS.get(template, _any_reader)(session, email)
    if template in _PROOFS and _belongs_to_another(session, address, user):
        template = Template.already_registered
    facts = _facts(session, email, template, sold, user)
    if template in _PROOFS:
        purpose = _PROOFS[template]
        facts["link"] = _link(session, email, user, purpose, address)
        facts["link_seconds"] = LIFETIME_SECONDS[purpose]
    known = user is not None and user.verified_at is not None and user.email == address
    return Letter(
        email_id=email.id,
        template=template,
        recipient=address,
        # Whoever names somebody else's address must not be able to have that person sent words of their choice.
        name=user.name if user is not None and known else None,
        facts={**facts, "product": sold.title, "home": settings().app_url or None},
        created_at=email.created_at,
        settings_link=_settings_link() if template in NOTICES else None,
    )


Reader = tuple[User | None, str]
"""The account that an e-mail is about, if any, and the address it goes to."""


def _who_verifies(session: Session, email: Email) -> Reader:
    """The account that waits for its address to be verified: the one that was told, or the newest that named it."""
    if email.user_id is not None:
        candidates = [_open_account(session, email.user_id)]
    else:
        candidates = list(users.named(session, email=email.recipient or ""))
    for user in candidates:
        if user.verified_at is None:
            return user, user.email or ""
    raise _Nobody("verified" if candidates else "nobody")


def _who_resets(session: Session, email: Email) -> Reader:
    user = users.find(session, email=email.recipient or "")
    if user is None:
        raise _Nobody("nobody")
    # To the address on record: the one that was typed may look the same in lower case and be somebody else's mailbox.
    return user, user.email or ""


def _who_moves(session: Session, email: Email) -> Reader:
    user = _open_account(session, email.user_id)
    address = email.recipient or ""
    if user.email == address.lower() and user.verified_at is not None:
        raise _Nobody("verified")
    return user, address


def _any_reader(session: Session, email: Email) -> Reader:
    user = session.get(User, email.user_id) if email.user_id is not None else None
    address = email.recipient or (user and user.email)
    if not address:
        raise _Nobody("nobody")
    # An account may have named an address, and never been seen to have it; it is none of its owner's business.
    if user is not None and _belongs_to_another(session, address, user):
        raise _Nobody("somebody_else")
    return user, address


def _who_wants_notices(session: Session, email: Email) -> Reader:
    wanting = select(User).where(User.id == email.user_id, User.closing_at.is_(None), wants_notices())
    user = session.scalar(wanting)
    if user is None:
        raise _Nobody("not_wanted")
    return user, user.email or ""


_READERS = {
    Template.verify_address: _who_verifies,
    Template.reset_password: _who_resets,
    Template.confirm_new_address: _who_moves,
    **dict.fromkeys(NOTICES, _who_wants_notices),
}

_PROOFS = {
    Template.verify_address: Purpose.verify_email,
    Template.reset_password: Purpose.reset_password,
    Template.confirm_new_address: Purpose.change_email,
}
"""Those whose reader proves by a link to have the mailbox."""


def _open_account(session: Session, user_id: UUID | None) -> User:
    user = session.get(User, user_id)
    if user is None or user.closing_at is not None or user.email is None:
        raise _Nobody("nobody")
    return user


def _belongs_to_another(session: Session, address: str, user: User | None) -> bool:
    """Whether an account other than this one was seen to have the address."""
    owner = select(User.id).where(User.email == address.lower(), User.verified_at.is_not(None))
    if user is not None:
        owner = owner.where(User.id != user.id)
    return session.scalar(select(owner.exists())) is True


def _link(session: Session, email: Email, user: User | None, purpose: Purpose, address: str) -> str:
    """The link with a one-time token, the same for each attempt while the token is good."""
    if user is None:
        raise _Nobody("nobody")
    made = session.get(OneTimeToken, email.id)
    if made is not None and (made.used_at is not None or made.user_id != user.id or made.email != address.lower()):
        raise _Nobody("link_used")
    # Without its row a token would be made anew; but one that is forgotten may have been used.
    began = made.created_at if made is not None else email.created_at
    if email.attempts > 1 and began <= moment(session, plus=-LIFETIME_SECONDS[purpose]):
        raise _Nobody("link_expired")
    token = one_time_tokens.issue(session, user_id=user.id, purpose=purpose, email=address, token_id=email.id)
    return f"{_front()}{PATHS[purpose]}?token={token}"


def _front() -> str:
    return settings().app_url or settings().public_url


def _settings_link() -> str:
    """Where a user changes what they are told: the front end's profile, or else the page that says how to ask us."""
    return f"{settings().app_url}/profile" if settings().app_url else f"{settings().public_url}/docs"


def _facts(session: Session, email: Email, template: Template, sold: Catalog, user: User | None) -> dict[str, Any]:
    """The details as they were staged, with the titles of the credits they name."""
    facts = dict(email.details)
    for name in ("credits", "bonus"):
        if name in facts:
            # In the order in which the product shows its kinds; what is stored as jsonb has none.
            kinds = [
                *(kind for kind in sold.wallets if kind in facts[name]),
                *sorted(facts[name].keys() - sold.wallets),
            ]
            facts[name] = [{"title": _title(sold, kind), "amount": facts[name][kind]} for kind in kinds]
    if "wallet" in facts:
        facts["wallet"] = _title(sold, facts["wallet"])
    if template is Template.credits_expiring and user is not None:
        facts["expiring"] = _expiring(session, sold, user)
    return facts


def _expiring(session: Session, sold: Catalog, user: User) -> list[dict[str, Any]]:
    """What is left and ends soon, but for what comes each day or week."""
    notice_days = {kind: wallet.notice_days for kind, wallet in sold.wallets.items()}
    soon = ledger.expiring(session, user_id=user.id, notice_days=notice_days)
    lots = [
        {"title": _title(sold, kind), "amount": lot.amount, "expires_at": lot.expires_at.isoformat()}
        for kind, lots in soon.items()
        for lot in lots
        if lot.source not in (Source.daily, Source.weekly)
    ]
    if not lots:
        raise _Nobody("used_up")
    return sorted(lots, key=lambda lot: str(lot["expires_at"]))


def _title(sold: Catalog, kind: str) -> str:
    return sold.wallets[kind].title if kind in sold.wallets else kind
