"""Taking up a plan and leaving it. Who gives it, a person, a code or a payment, is for others to decide."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from models import catalog, users
from models.catalog import Billing, Catalog
from models.database import insert_into, moment, now
from models.errors import Fault, InvalidInput
from models.plans import allowances
from models.plans.periods import months_after
from models.plans.tables import Origin, Subscription


def subscribe(
    session: Session,
    *,
    user_id: UUID,
    plan: str,
    origin: Origin,
    ref: str,
    billing: Billing | None = None,
    months: int | None = None,
) -> int:
    """Give a user a plan, as the current catalog has it, and return the id of the subscription.

    It takes the place of the plan the user has; the allowances of the current periods are granted at once. With
    `months` it ends by itself after so many, and the user falls back to the plan of sign-up. `ref` names the business
    fact: the same one subscribes once. Locks the user, then the wallets. Raises `InvalidInput` naming `plan`.
    """
    sold = catalog.current(session)
    if plan not in sold.plans:
        raise InvalidInput(Fault("plan", f"there is no such plan; this product has {', '.join(sold.plans) or 'none'}"))
    users.lock(session, user_id)
    earlier = session.scalar(select(Subscription.id).where(Subscription.ref == ref))
    if earlier is not None:
        return earlier
    _end_open(session, user_id)
    began = moment(session)
    made = session.execute(
        insert_into(session, Subscription)
        .values(
            user_id=user_id,
            plan_version_id=catalog.plan_version(session, plan, sold.plans[plan]),
            origin=origin,
            billing=billing,
            ref=ref,
            started_at=began,
            ends_at=months_after(began, months) if months else None,
        )
        .returning(Subscription.id)
    ).scalar_one()
    allowances.begin(session, user_id=user_id)
    return int(made)


def unsubscribe(session: Session, *, user_id: UUID) -> None:
    """End the plan a user has; the user falls back to the plan of sign-up, if there is one.

    What the plan has given stays until it expires. Again changes nothing. Locks the user, then the wallets.
    """
    users.lock(session, user_id)
    ended = _end_open(session, user_id)
    if ended is None:
        return
    fallback = catalog.current(session).signup.plan
    if fallback:
        subscribe(session, user_id=user_id, plan=fallback, origin=Origin.signup, ref=f"after:{ended}")
    else:
        allowances.begin(session, user_id=user_id)


def overdue(session: Session, *, limit: int) -> Sequence[UUID]:
    """Users whose plan is past its end, a page of up to `limit`. Locks nothing."""
    return session.scalars(
        select(Subscription.user_id)
        .where(Subscription.ended_at.is_(None), Subscription.ends_at <= now())
        .order_by(Subscription.ends_at)
        .limit(limit)
    ).all()


def end_overdue(session: Session, *, user_id: UUID) -> None:
    """`unsubscribe` a user whose plan is past its end; again, or before its end, changes nothing."""
    users.lock(session, user_id)
    still = select(Subscription.id).where(
        Subscription.user_id == user_id, Subscription.ended_at.is_(None), Subscription.ends_at <= now()
    )
    if session.scalar(still) is not None:
        unsubscribe(session, user_id=user_id)


def _end_open(session: Session, user_id: UUID) -> int | None:
    return session.scalar(
        update(Subscription)
        .where(Subscription.user_id == user_id, Subscription.ended_at.is_(None))
        .values(ended_at=now())
        .returning(Subscription.id)
        .execution_options(synchronize_session=False)
    )


def plan_at_signup(session: Session, sold: Catalog, *, user_id: UUID) -> None:
    """Give a new user the plan of sign-up, if the catalog has one."""
    if sold.signup.plan:
        subscribe(session, user_id=user_id, plan=sold.signup.plan, origin=Origin.signup, ref=f"signup:{user_id}")
