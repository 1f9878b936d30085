"""Sign-up: an account, its wallets, and the credits and the plan that the catalog gives to new users."""

from __future__ import annotations

from sqlalchemy.orm import Session

from models import ledger, plans, referrals, users
from models.catalog import Catalog
from models.database import days_ahead
from models.errors import Fault, InvalidInput
from models.ledger import Source
from models.users import User


def sign_up(
    session: Session, catalog: Catalog, *, email: str, password_hash: str, referral_code: str | None = None
) -> User:
    """Create an account with a wallet of every kind, the grants and the plan of sign-up.

    With a `referral_code` it is noted who brought the new user. Raises `InvalidInput` naming `referral_code`, or
    `ReferralRefused`.
    """
    if referral_code is not None and catalog.referral is None:
        raise InvalidInput(Fault("referral_code", "this product does not reward bringing others"))
    user = users.register(session, email=email, password_hash=password_hash)
    wallets = {kind: ledger.open_wallet(session, user_id=user.id, kind=kind) for kind in catalog.wallets}
    for number, given in enumerate(catalog.signup_grants):
        ledger.grant(
            session,
            wallet_id=wallets[given.wallet],
            amount=given.amount,
            source=Source.signup,
            ref=f"signup:{user.id}:{number}",
            expires_at=days_ahead(session, given.expires_days),
            details={"title": given.title},
        )
    if referral_code is not None:
        referrals.refer(session, catalog, user_id=user.id, code=referral_code, field="referral_code")
    plans.plan_at_signup(session, catalog, user_id=user.id)
    return user
