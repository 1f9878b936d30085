"""Sign-up and verification: an account, its wallets, and the credits and the plan that the catalog gives new users.

Sign-up tells nobody whether an address is known: it makes an account whoever has it, and an address becomes somebody's
when the reader of its mailbox says so. So one mailbox could have many accounts, and its credits are given once.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import emails, ledger, mailboxes, one_time_tokens, plans, referrals, users
from models.catalog import Catalog
from models.database import days_ahead, new_id
from models.errors import Fault, InvalidInput
from models.ledger import Lot, Source
from models.one_time_tokens import Purpose
from models.users import User


def sign_up(
    session: Session, catalog: Catalog, *, email: str, password_hash: str, referral_code: str | None = None
) -> User:
    """Create an account with a wallet of every kind and the plan of sign-up, and have a link to verify it sent.

    Where the catalog gives the sign-up credits at once, the mailbox that is new gets them, and so does the very
    address that got them before: else the balance would tell that it is known. Another spelling of that mailbox gets
    none. With a `referral_code` it is noted who brought the new user. Raises `InvalidInput` naming `referral_code`, or
    `ReferralRefused`.
    """
    if referral_code is not None and catalog.referral is None:
        raise InvalidInput(Fault("referral_code", "this product does not reward bringing others"))
    user = users.register(session, email=email, password_hash=password_hash)
    for kind in catalog.wallets:
        ledger.open_wallet(session, user_id=user.id, kind=kind)
    if catalog.signup.credits_at == "signup":
        mailboxes.claim(session, email)
        # Asked whether the claim was new or not, so that both take the same statements.
        if mailboxes.spelled_alike(session, email):
            _grant(session, catalog, user_id=user.id)
    if referral_code is not None:
        referrals.refer(session, catalog, user_id=user.id, code=referral_code, field="referral_code")
    plans.plan_at_signup(session, catalog, user_id=user.id)
    emails.stage(session, key=f"verify_address:{user.id}", template="verify_address", user_id=user.id)
    return user


def ask_again(session: Session, *, email: str) -> None:
    """Have a link sent to verify this address, if an account that named it waits for that; who asks is not told.

    So whoever named it, nothing is looked up: the worker that writes the e-mail does that, and drops it.
    """
    emails.stage(session, key=f"verify_address:{new_id()}", template="verify_address", recipient=email.lower())


def verify(session: Session, catalog: Catalog, *, user_id: UUID) -> bool:
    """Note that a user's address is theirs, and say whether that is new. Then they get what waited for it, once.

    That is a welcome, the reward for whoever brought them where verification is rewarded, and the sign-up credits, if
    neither they nor their mailbox have had them, whatever the catalog said when they signed up. Locks the user, the
    mailbox, then as `referrals.reward`, then the user's wallets in the order of their ids. Raises `TokenNotGood` when
    another account has the address.
    """
    new = users.verify(session, user_id)
    had = session.scalar(select(Lot.id).where(Lot.ref == _ref(user_id, 0)))
    email = session.scalar(select(User.email).where(User.id == user_id))
    unclaimed = new and had is None and email is not None and mailboxes.claim(session, email)
    referrals.reward(session, catalog, user_id=user_id, on="verification")
    if unclaimed:
        _grant(session, catalog, user_id=user_id)
    if new:
        emails.stage(session, key=f"welcome:{user_id}", template="welcome", user_id=user_id)
    return new


def verify_by_token(session: Session, catalog: Catalog, *, token: str) -> UUID:
    """Verify the address of whoever a link was sent to, and return the user's id. As `verify`; raises `TokenNotGood`
    also when the link was used, or its time is over."""
    used = one_time_tokens.use(session, token, purpose=Purpose.verify_email)
    verify(session, catalog, user_id=used.user_id)
    return used.user_id


def _grant(session: Session, catalog: Catalog, *, user_id: UUID) -> None:
    wallets = {kind: ledger.open_wallet(session, user_id=user_id, kind=kind) for kind in catalog.wallets}
    for number, given in sorted(enumerate(catalog.signup_grants), key=lambda each: wallets[each[1].wallet]):
        ledger.grant(
            session,
            wallet_id=wallets[given.wallet],
            amount=given.amount,
            source=Source.signup,
            ref=_ref(user_id, number),
            expires_at=days_ahead(session, given.expires_days),
            details={"title": given.title},
        )


def _ref(user_id: UUID, number: int) -> str:
    return f"signup:{user_id}:{number}"
