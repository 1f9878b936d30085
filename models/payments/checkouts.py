"""Checkouts: from the wish to buy something to the gateway's word that it is paid, or never will be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import outbox, packs, users
from models.catalog import Billing, Catalog, Money, Pack
from models.database import insert_into, new_id, now
from models.errors import Fault, IdempotencyKeyReused, InvalidInput, NotFound
from models.payments.tables import Checkout, CheckoutMode, CheckoutState, Customer, Invoice, Payment, PaymentState

OPEN_TASK = "payments.open_checkout"
QUEUE = "payments"

PATIENCE_SECONDS = 15 * 60
"""How long a checkout may wait for a gateway that does not answer; whoever wanted to buy is long gone by then."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be bought, and where the customer goes after."""

    mode: CheckoutMode
    pack: str | None = None
    plan: str | None = None
    billing: Billing | None = None
    success_url: str | None = None
    cancel_url: str | None = None

    def digest(self) -> str:
        """The same for the same wish, to know a repeated request by."""
        wish = [self.mode, self.pack, self.plan, self.billing, self.success_url, self.cancel_url]
        return hashlib.sha256(json.dumps(wish).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Begun:
    """A checkout, made now or by an earlier request with the same idempotency key (`replayed`)."""

    checkout: Checkout
    replayed: bool


def begin(
    session: Session, catalog: Catalog, wanted: Wanted, *, user_id: UUID, idempotency_key: str | None = None
) -> Begun:
    """Store a wish to buy, at today's price and contents, and have a worker open it at the gateway.

    Locks the user; of two at once with one key, one is made. Raises `InvalidInput` naming `pack`, `plan` or `billing`,
    `IdempotencyKeyReused` when the key came with another wish, and `NotFound` when the account is gone or closing.
    """
    title, price, terms = _offer(catalog, wanted)
    users.lock_open(session, user_id)
    if wanted.plan is not None and not _was_billed(session, user_id):
        terms["trial_days"] = catalog.plans[wanted.plan].trial_days
    made = session.scalar(
        insert_into(session, Checkout)
        .values(
            id=new_id(),
            user_id=user_id,
            mode=wanted.mode,
            pack=wanted.pack,
            plan=wanted.plan,
            billing=wanted.billing,
            terms={"title": title, **terms},
            amount=price.amount,
            currency=price.currency,
            state=CheckoutState.creating,
            success_url=wanted.success_url,
            cancel_url=wanted.cancel_url,
            idempotency_key=idempotency_key,
            request_hash=wanted.digest(),
        )
        .on_conflict_do_nothing(index_elements=[Checkout.user_id, Checkout.idempotency_key])
        .returning(Checkout)
    )
    if made is None:
        return Begun(_begun_before(session, wanted, user_id, idempotency_key), replayed=True)
    _have_opened(session, [made.id])
    return Begun(made, replayed=False)


def get(session: Session, *, user_id: UUID, checkout_id: UUID) -> Checkout:
    """A user's checkout. Raises `NotFound`."""
    found = session.scalar(select(Checkout).where(Checkout.id == checkout_id, Checkout.user_id == user_id))
    if found is None:
        raise NotFound("There is no such checkout.")
    return found


def to_open(session: Session, checkout_id: UUID) -> Checkout | None:
    """The checkout, if the gateway is still to hear of it."""
    waiting = (Checkout.id == checkout_id, Checkout.state == CheckoutState.creating)
    return session.scalar(select(Checkout).where(*waiting))


def opened(
    session: Session,
    *,
    checkout_id: UUID,
    gateway_id: str,
    url: str | None = None,
    client_secret: str | None = None,
) -> None:
    """Note what the gateway knows a checkout as. Again changes nothing. Locks the checkout.

    A payment that a form of the front end is to complete is in the user's history from now on.
    """
    made = session.scalar(
        update(Checkout)
        .where(Checkout.id == checkout_id, Checkout.state == CheckoutState.creating)
        .values(state=CheckoutState.open, gateway_id=gateway_id, url=url, client_secret=client_secret)
        .returning(Checkout)
        .execution_options(synchronize_session=False)
    )
    if made is not None and made.mode is not CheckoutMode.page:
        pending = insert_into(session, Payment).values(
            id=new_id(), user_id=made.user_id, checkout_id=made.id, gateway_id=gateway_id, title=made.terms["title"],
            amount=made.amount, currency=made.currency, state=PaymentState.pending, refunded=0,
        )  # fmt: skip
        session.execute(pending.on_conflict_do_nothing(index_elements=[Payment.gateway_id]))


def end(session: Session, *, checkout_id: UUID, state: CheckoutState, problem: str | None = None) -> bool:
    """End a checkout that nobody has paid, or note that somebody has, and say whether that is news.

    What is paid stays paid; what has ended otherwise can still turn out to be paid, as money does not ask. Locks it.
    """
    open_ones = [CheckoutState.creating, CheckoutState.open]
    may_become = [*open_ones, CheckoutState.failed, CheckoutState.expired] if state is CheckoutState.paid else open_ones
    ended = session.scalar(
        update(Checkout)
        .where(Checkout.id == checkout_id, Checkout.state.in_(may_become))
        .values(state=state, problem=problem, url=None, client_secret=None, ended_at=now())
        .returning(Checkout.id)
        .execution_options(synchronize_session=False)
    )
    return ended is not None


def withdraw(session: Session, *, user_id: UUID) -> None:
    """End what a user began and the gateway has not heard of: it is not opened, and no saved card is charged for it."""
    waiting = update(Checkout).where(Checkout.user_id == user_id, Checkout.state == CheckoutState.creating)
    ended = waiting.values(state=CheckoutState.failed, problem="account_closing", ended_at=now())
    session.execute(ended.execution_options(synchronize_session=False))


def forgotten(session: Session, *, limit: int, older_than: float) -> int:
    """Have the checkouts opened that still wait for it after `older_than` seconds; those that waited too long fail.

    Returns how many there were, up to `limit`.
    """
    waiting = select(Checkout.id, Checkout.created_at <= now(-PATIENCE_SECONDS)).where(
        Checkout.state == CheckoutState.creating, Checkout.ended_at.is_(None), Checkout.created_at <= now(-older_than)
    )
    found = session.execute(waiting.order_by(Checkout.created_at).limit(limit)).all()
    for checkout_id, too_late in found:
        if too_late:
            end(session, checkout_id=checkout_id, state=CheckoutState.failed, problem="gateway_unavailable")
    _have_opened(session, [checkout_id for checkout_id, too_late in found if not too_late])
    return len(found)


def customer_of(session: Session, *, user_id: UUID) -> str | None:
    """What the gateway knows a user as, if it does."""
    return session.scalar(select(Customer.gateway_id).where(Customer.user_id == user_id))


def keep_customer(session: Session, *, user_id: UUID, gateway_id: str) -> str:
    """Remember what the gateway knows a user as, and return it; of two at once, the first is kept."""
    statement = insert_into(session, Customer).values(user_id=user_id, gateway_id=gateway_id)
    session.execute(statement.on_conflict_do_nothing(index_elements=[Customer.user_id]))
    return session.execute(select(Customer.gateway_id).where(Customer.user_id == user_id)).scalar_one()


def owner_of(session: Session, *, customer_id: str | None) -> UUID | None:
    """The user whom the gateway knows as this customer, if it is one of ours."""
    return session.scalar(select(Customer.user_id).where(Customer.gateway_id == customer_id)) if customer_id else None


def _offer(catalog: Catalog, wanted: Wanted) -> tuple[str, Money, dict[str, Any]]:
    """Title, price and contents of what is wanted, as it is sold now."""
    if wanted.pack is not None:
        pack = packs.find(catalog, wanted.pack)
        if wanted.mode is CheckoutMode.intent and not pack.quick:
            raise InvalidInput(Fault("pack", "this pack is sold by checkout page only"))
        return pack.title, pack.price, {"pack": pack.model_dump(mode="json")}
    plan = catalog.plans.get(wanted.plan or "")
    if plan is None:
        sold = ", ".join(name for name, each in catalog.plans.items() if any(p.amount for p in each.prices.values()))
        raise InvalidInput(Fault("plan", f"there is no such plan; this product has {sold or 'none'}"))
    price = plan.prices.get(wanted.billing) if wanted.billing else None
    if price is None or price.amount == 0:
        billings = ", ".join(str(each) for each, money in plan.prices.items() if money.amount)
        raise InvalidInput(Fault("billing", f"this plan is billed {billings}" if billings else "this plan is not sold"))
    return plan.title, price, {"plan": plan.model_dump(mode="json")}


def sold_pack(checkout: Checkout) -> Pack:
    """The pack as it was when the checkout began."""
    return Pack.model_validate(checkout.terms["pack"])


def sold_price(checkout: Checkout) -> Money:
    """The price as it was when the checkout began."""
    return Money(amount=checkout.amount, currency=checkout.currency)


def sold_trial(checkout: Checkout) -> int | None:
    """How many days of the plan are for nothing, as it was when the checkout began."""
    days: int | None = checkout.terms.get("trial_days")
    return days


def _was_billed(session: Session, user_id: UUID) -> bool:
    """Whether a user was ever billed for a plan, if only for a trial that cost nothing."""
    return session.scalar(select(Invoice.id).where(Invoice.user_id == user_id).limit(1)) is not None


def _begun_before(session: Session, wanted: Wanted, user_id: UUID, key: str | None) -> Checkout:
    earlier = session.execute(
        select(Checkout).where(Checkout.user_id == user_id, Checkout.idempotency_key == key)
    ).scalar_one()
    if earlier.request_hash != wanted.digest():
        raise IdempotencyKeyReused("This idempotency key came with another request before.")
    return earlier


def _have_opened(session: Session, ids: Sequence[UUID]) -> None:
    outbox.stage(
        session,
        *(outbox.message(task=OPEN_TASK, queue=QUEUE, args=[str(each)], task_id=f"checkout-{each}") for each in ids),
    )
