"""Auto top-up: a pack bought by itself from the saved card when a balance falls low. Only for who asked for it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, ForeignKey, String, delete, func, or_, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import emails, packs, users
from models.catalog import Catalog
from models.database import DAY_SECONDS, AwareDateTime, Base, BigId, insert_into, now
from models.errors import Fault, InvalidInput, NotFound
from models.ledger import Wallet
from models.payments import checkouts
from models.payments.checkouts import Wanted
from models.payments.tables import Checkout, CheckoutMode, CheckoutState

MONTH_SECONDS = 30 * DAY_SECONDS
"""The cap is on any so many seconds, so that no two days at the turn of a month spend it twice."""

FIRST_REST_SECONDS = DAY_SECONDS
MOST_DECLINES = 3
"""Declined so often in a row, after rests of one and two days, it stops until its owner sets it anew."""


class TopUp(Base):
    """When `wallet` has less than `threshold` credits, buy `pack`, for at most `monthly_cap` minor units a month.

    `checkout_id` is the purchase under way: never two at once. After a declined card it rests until `paused_until`,
    each time longer; after too many in a row it stops until its owner sets it anew.
    """

    __tablename__ = "top_ups"
    __table_args__ = (
        CheckConstraint("threshold > 0 AND monthly_cap > 0", name="amounts_positive"),
        CheckConstraint("declines >= 0", name="declines_not_negative"),
    )

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    wallet: Mapped[str] = mapped_column(String(50))
    pack: Mapped[str] = mapped_column(String(50))
    threshold: Mapped[int] = mapped_column(BigId)
    monthly_cap: Mapped[int] = mapped_column(BigId)
    currency: Mapped[str] = mapped_column(String(3))
    checkout_id: Mapped[UUID | None] = mapped_column(ForeignKey("checkouts.id"))
    declines: Mapped[int] = mapped_column(default=0)
    paused_until: Mapped[datetime | None] = mapped_column(AwareDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(AwareDateTime)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


def set_up(
    session: Session, catalog: Catalog, *, user_id: UUID, wallet: str, pack: str, threshold: int, monthly_cap: int
) -> TopUp:
    """Have a user's wallet topped up from now on, in place of what was set up before.

    `threshold` is in credits, `monthly_cap` in minor units of the pack's currency. A purchase under way goes on. Raises
    `InvalidInput` naming `wallet`, `pack` or `monthly_cap`, and `NotFound` when the account is gone or closing.
    """
    sold = packs.find(catalog, pack)
    if wallet not in catalog.wallets:
        raise InvalidInput(Fault("wallet", f"there is no such wallet; this product has {', '.join(catalog.wallets)}"))
    if wallet not in packs.contents(sold):
        raise InvalidInput(Fault("pack", f"this pack has no {catalog.wallets[wallet].title.lower()}"))
    if monthly_cap < sold.price.amount:
        raise InvalidInput(Fault("monthly_cap", f"expected at least {sold.price.amount}, the price of the pack once"))
    values = {
        "wallet": wallet, "pack": pack, "threshold": threshold, "monthly_cap": monthly_cap,
        "currency": sold.price.currency, "declines": 0, "paused_until": None, "stopped_at": None,
    }  # fmt: skip
    users.lock_open(session, user_id)
    statement = insert_into(session, TopUp).values(user_id=user_id, **values)
    session.execute(statement.on_conflict_do_update(index_elements=[TopUp.user_id], set_=values))
    return get(session, user_id=user_id)


def get(session: Session, *, user_id: UUID) -> TopUp:
    """What a user has set up. Raises `NotFound`."""
    found = session.get(TopUp, user_id, populate_existing=True)
    if found is None:
        raise NotFound("You have no top-up set up.")
    return found


def switch_off(session: Session, *, user_id: UUID) -> None:
    """Top a user up no more; a purchase under way goes on."""
    session.execute(delete(TopUp).where(TopUp.user_id == user_id).execution_options(synchronize_session=False))


def spent(session: Session, *, user_id: UUID) -> int:
    """What top-ups have cost a user in the last thirty days or are about to, in minor units."""
    bought = select(func.sum(Checkout.amount)).where(
        Checkout.user_id == user_id,
        Checkout.mode == CheckoutMode.off_session,
        Checkout.state.in_([CheckoutState.creating, CheckoutState.open, CheckoutState.paid]),
        Checkout.created_at > now(-MONTH_SECONDS),
    )
    return int(session.scalar(bought) or 0)


def is_buying(session: Session, mine: TopUp) -> bool:
    """Whether a purchase is under way; one that has ended may still be to be noted."""
    under_way = select(Checkout.id).where(Checkout.id == mine.checkout_id, Checkout.ended_at.is_(None))
    return session.scalar(under_way) is not None


def due(session: Session, *, limit: int, after: UUID | None = None) -> Sequence[UUID]:
    """Users above `after` with something to do: a balance below the threshold, or a purchase that has ended.

    Locks nothing.
    """
    low = (TopUp.checkout_id.is_(None), TopUp.stopped_at.is_(None), Wallet.available < TopUp.threshold)
    rested = or_(TopUp.paused_until.is_(None), TopUp.paused_until <= now())
    query = (
        select(TopUp.user_id)
        .join(Wallet, (Wallet.user_id == TopUp.user_id) & (Wallet.kind == TopUp.wallet))
        .outerjoin(Checkout, Checkout.id == TopUp.checkout_id)
        .where(or_(Checkout.ended_at.is_not(None), (low[0] & low[1] & low[2] & rested)))
    )
    if after is not None:
        query = query.where(TopUp.user_id > after)
    return session.scalars(query.order_by(TopUp.user_id).limit(limit)).all()


def top_up(session: Session, catalog: Catalog, *, user_id: UUID) -> UUID | None:
    """Note what became of the last purchase, and begin one if the balance is below the threshold.

    Returns the new checkout, None when there is nothing to buy: the balance is fine, one is under way, the card rests,
    the cap is reached, the pack is not sold any more, or the account is closing. Locks the user, then their top-up, so
    there are never two at once.
    """
    if not users.lock_if_open(session, user_id):
        return None
    query = select(TopUp).where(TopUp.user_id == user_id).with_for_update()
    mine = session.scalar(query.execution_options(populate_existing=True))
    if mine is None or not _is_over(session, mine):
        return None
    available = session.scalar(select(Wallet.available).where(Wallet.user_id == user_id, Wallet.kind == mine.wallet))
    rests = select(TopUp.user_id).where(TopUp.user_id == user_id, TopUp.paused_until > now())
    if available is None or available >= mine.threshold or mine.stopped_at or session.scalar(rests) is not None:
        return None
    sold = catalog.packs.get(mine.pack)
    if sold is None or sold.price.currency != mine.currency:
        return None
    if spent(session, user_id=user_id) + sold.price.amount > mine.monthly_cap:
        return None
    begun = checkouts.begin(
        session, catalog, Wanted(mode=CheckoutMode.off_session, pack=mine.pack), user_id=user_id
    ).checkout
    mine.checkout_id = begun.id
    session.flush()
    return begun.id


def _is_over(session: Session, mine: TopUp) -> bool:
    """Whether no purchase is under way; what became of one that has ended is noted."""
    if mine.checkout_id is None:
        return True
    checkout = session.get_one(Checkout, mine.checkout_id, populate_existing=True)
    if checkout.ended_at is None:
        return False
    mine.checkout_id = None
    if checkout.state is CheckoutState.paid:
        mine.declines, mine.paused_until = 0, None
    else:
        _rest(session, mine, checkout)
    session.flush()
    return True


def _rest(session: Session, mine: TopUp, checkout: Checkout) -> None:
    """Leave a card that was declined alone for a while, and tell its owner; for good after too many."""
    mine.declines += 1
    session.flush()
    pause = FIRST_REST_SECONDS * 2 ** (mine.declines - 1)
    values = {"stopped_at": now()} if mine.declines >= MOST_DECLINES else {"paused_until": now(pause)}
    resting = update(TopUp).where(TopUp.user_id == mine.user_id).values(values)
    session.execute(resting.execution_options(synchronize_session=False))
    session.refresh(mine)
    emails.stage(
        session, key=f"top-up:{checkout.id}", template="payment_failed", user_id=mine.user_id,
        title=checkout.terms["title"], price={"amount": checkout.amount, "currency": checkout.currency},
    )  # fmt: skip
