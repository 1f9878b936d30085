"""Referrals: who brought whom, and the credits both get for it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import ledger, users
from models.catalog import Catalog
from models.catalog import Referral as Terms
from models.database import AwareDateTime, Base, days_ahead, insert_into, now
from models.errors import Fault, InvalidInput, NotFound, ReferralRefused
from models.ledger import Lot, Source, Wallet
from models.mailboxes import mailbox

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""Without the letters and digits that are taken for each other: 0 and O, 1 and I, U and V."""

CODE_LENGTH = 8

On = Literal["verification", "purchase"]


class ReferralCode(Base):
    """The code that a user hands on."""

    __tablename__ = "referral_codes"
    __table_args__ = (UniqueConstraint("code"),)

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    code: Mapped[str] = mapped_column(String(16))


class Referral(Base):
    """`referrer_id` brought `referred_id`, who was brought by nobody else. Rewarded once, at `rewarded_at`."""

    __tablename__ = "referrals"
    __table_args__ = (
        CheckConstraint("referrer_id <> referred_id", name="not_self"),
        Index("ix_referrals_referrer_id", "referrer_id"),
    )

    referred_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    referrer_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())
    rewarded_at: Mapped[datetime | None] = mapped_column(AwareDateTime)


@dataclass(frozen=True, slots=True)
class Standing:
    """What a user has come to by bringing others: how many came, how many of them were `rewarded`, and the credits
    the user `earned`, by wallet."""

    code: str
    referred: int
    rewarded: int
    earned: dict[str, int]
    terms: Terms


def standing(session: Session, catalog: Catalog, *, user_id: UUID) -> Standing:
    """The user's code, made on first ask, and what it has led to. Raises `NotFound` when this product has no referrals.

    Locks nothing.
    """
    terms = _terms(catalog)
    code = _code_of(session, user_id)
    counted = select(func.count(), func.count(Referral.rewarded_at)).where(Referral.referrer_id == user_id)
    referred, rewarded = session.execute(counted).one()
    earned = {kind: amount for kind, (_, amount) in _earned(session, user_id).items()}
    return Standing(code, referred, rewarded, earned or {terms.wallet: 0}, terms)


def refer(session: Session, catalog: Catalog, *, user_id: UUID, code: str, field: str = "code") -> Referral:
    """Note who brought a user, by the code the user names.

    A user whose address is verified already is rewarded at once where verification is what counts. Locks both users,
    in the order of their ids, then as `reward`. Raises `NotFound` when this product has no referrals, `InvalidInput`
    naming `field` when nobody has this code, and `ReferralRefused`, whose member `why` is own_code, same_mailbox,
    each_other, already_referred or has_bought.
    """
    _terms(catalog)
    owner = select(ReferralCode.user_id).where(ReferralCode.code == code.strip().upper())
    referrer_id = session.scalar(owner)
    if referrer_id is None:
        raise InvalidInput(Fault(field, "there is no such code"))
    if referrer_id == user_id:
        raise ReferralRefused("This is your own code.", why="own_code")
    for each in sorted((user_id, referrer_id)):
        users.lock(session, each)
    _check(session, user_id, referrer_id)
    made = session.execute(
        insert(Referral).values(referred_id=user_id, referrer_id=referrer_id).returning(Referral)
    ).scalar_one()
    if users.get(session, user_id).verified_at is not None:
        reward(session, catalog, user_id=user_id, on="verification")
        session.refresh(made)
    return made


def reward(session: Session, catalog: Catalog, *, user_id: UUID, on: On) -> bool:
    """Give a referred user and the referrer their credits, once, if `on` is what the catalog rewards.

    Returns whether this was the time. The referrer gets them for so many users as the catalog's cap says, and beyond
    it only the referred one does. Locks the referral, then the referrer's code, so that nobody else counts meanwhile,
    then the referrer's wallet and all of the referred user's in the order of their ids: so call it before anything else
    in the transaction locks a wallet; what comes after may go on to any wallet of the referred user.
    """
    terms = catalog.referral
    if terms is None or terms.on != on:
        return False
    referrer_id = session.scalar(
        update(Referral)
        .where(Referral.referred_id == user_id, Referral.rewarded_at.is_(None))
        .values(rewarded_at=now())
        .returning(Referral.referrer_id)
        .execution_options(synchronize_session=False)
    )
    if referrer_id is None:
        return False
    code = select(ReferralCode.code).where(ReferralCode.user_id == referrer_id)
    # Who has no code any more has gone, and gets nothing.
    is_there = session.scalar(code.with_for_update(key_share=True)) is not None
    times = sum(count for count, _ in _earned(session, referrer_id).values())
    sides = {user_id: (terms.referred, "referred", "Brought by a friend")}
    if is_there and times < terms.cap:
        sides[referrer_id] = (terms.referrer, "referrer", "Brought a friend")
    wallets = {ledger.open_wallet(session, user_id=side, kind=terms.wallet): sides[side] for side in sorted(sides)}
    ledger.lock_wallets(session, user_id=user_id, also=wallets)
    expires_at = days_ahead(session, terms.expires_days)
    for wallet_id, (amount, side, title) in sorted(wallets.items()):
        ledger.grant(
            session,
            wallet_id=wallet_id,
            amount=amount,
            source=Source.referral,
            ref=f"referral:{user_id}:{side}",
            expires_at=expires_at,
            details={"title": title},
        )
    return True


def forget_code(session: Session, *, user_id: UUID) -> None:
    """Delete a user's code: nobody can be brought by it any more. Locks it; call it before a wallet is locked."""
    session.execute(delete(ReferralCode).where(ReferralCode.user_id == user_id))


def _terms(catalog: Catalog) -> Terms:
    if catalog.referral is None:
        raise NotFound("This product does not reward bringing others.")
    return catalog.referral


def _code_of(session: Session, user_id: UUID) -> str:
    users.get(session, user_id)
    mine = select(ReferralCode.code).where(ReferralCode.user_id == user_id)
    while (code := session.scalar(mine)) is None:
        made = "".join(secrets.choice(ALPHABET) for _ in range(CODE_LENGTH))
        # It may be taken, by chance; or the user has one by now, from another request.
        session.execute(insert_into(session, ReferralCode).values(user_id=user_id, code=made).on_conflict_do_nothing())
    return code


def _check(session: Session, user_id: UUID, referrer_id: UUID) -> None:
    mine, theirs = (users.get(session, each).email or "" for each in (user_id, referrer_id))
    if mailbox(mine) == mailbox(theirs):
        raise ReferralRefused("This code belongs to your own mailbox.", why="same_mailbox")
    if session.scalar(select(exists().where(Referral.referred_id == user_id))):
        raise ReferralRefused("You have said before who brought you.", why="already_referred")
    if session.scalar(select(exists().where(Referral.referred_id == referrer_id, Referral.referrer_id == user_id))):
        raise ReferralRefused("You brought the owner of this code.", why="each_other")
    bought = exists().where(Lot.wallet_id == Wallet.id, Wallet.user_id == user_id, Lot.source == Source.purchase)
    if session.scalar(select(bought)):
        raise ReferralRefused("Only new users can say who brought them: you have bought before.", why="has_bought")


def _earned(session: Session, referrer_id: UUID) -> dict[str, tuple[int, int]]:
    """How often a user was rewarded for bringing others, and with how many credits, by wallet."""
    rows = session.execute(
        select(Wallet.kind, func.count(), func.sum(Lot.issued))
        .join(Lot, Lot.wallet_id == Wallet.id)
        .where(Wallet.user_id == referrer_id, Lot.source == Source.referral, Lot.ref.endswith(":referrer"))
        .group_by(Wallet.kind)
        .order_by(Wallet.kind)
    )
    return {kind: (count, int(amount)) for kind, count, amount in rows}
