"""Taking up a plan and leaving it. Who gives it, a person, a code or a payment, is for others to decide."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, exists, func, select, update
from sqlalchemy.orm import Session

from models import catalog, users
from models.catalog import Billing, Catalog, PlanVersion
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
    fact: the same one subscribes once, and a user who has the very same for good keeps it as it is. Locks the user,
    then the wallets. Raises `InvalidInput` naming `plan`.
    """
    sold = catalog.current(session)
    if plan not in sold.plans:
        raise InvalidInput(Fault("plan", f"there is no such plan; this product has {', '.join(sold.plans) or 'none'}"))
    users.lock(session, user_id)
    earlier = session.scalar(select(Subscription.id).where(Subscription.ref == ref))
    if earlier is not None:
        return earlier
    version = catalog.plan_version(session, plan, sold.plans[plan])
    has_it = _open_as(session, user_id, version, billing) if months is None else None
    if has_it is not None:
        return has_it
    end_open(session, user_id)
    began = moment(session)
    made = session.execute(
        insert_into(session, Subscription)
        .values(
            user_id=user_id,
            plan_version_id=version,
            origin=origin,
            billing=billing,
            ref=ref,
            started_at=began,
            anchor_at=_anchor_of_signup(session, user_id) or began if origin is Origin.signup else began,
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
    fallback = catalog.current(session).signup.plan
    if _is_on_signup_plan(session, user_id, fallback):
        return
    ended = end_open(session, user_id)
    if ended is None:
        return
    if fallback:
        subscribe(session, user_id=user_id, plan=fallback, origin=Origin.signup, ref=f"after:{ended}")
    else:
        allowances.begin(session, user_id=user_id)


def leave(session: Session, *, user_id: UUID) -> None:
    """End the plan a user has, with no other in its place: the user is going. Again changes nothing.

    Locks the user, then the wallets, which nothing is granted to any more.
    """
    users.lock(session, user_id)
    end_open(session, user_id)
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


def _open_as(session: Session, user_id: UUID, plan_version_id: int, billing: Billing | None) -> int | None:
    """The subscription that the user has open for good to this version, billed like this."""
    return session.scalar(
        select(Subscription.id).where(
            Subscription.user_id == user_id,
            Subscription.plan_version_id == plan_version_id,
            Subscription.billing.is_(None) if billing is None else Subscription.billing == billing,
            Subscription.ends_at.is_(None),
            Subscription.ended_at.is_(None),
        )
    )


def _is_on_signup_plan(session: Session, user_id: UUID, plan: str | None) -> bool:
    on_it = (
        exists()
        .where(Subscription.user_id == user_id, Subscription.ended_at.is_(None), Subscription.ends_at.is_(None))
        .where(Subscription.origin == Origin.signup)
        .where(PlanVersion.id == Subscription.plan_version_id, PlanVersion.plan == plan)
    )
    return session.execute(select(on_it)).scalar_one()


def _anchor_of_signup(session: Session, user_id: UUID) -> datetime | None:
    """Where the cycles of the user's plan of sign-up began, if it was ever given."""
    return session.scalar(
        select(func.min(Subscription.anchor_at)).where(
            Subscription.user_id == user_id, Subscription.origin == Origin.signup
        )
    )


def end_open(session: Session, user_id: UUID) -> int | None:
    """End the plan a user has, with nothing in its place, and return its id. The caller has locked the user."""
    return session.scalar(
        update(Subscription)
        .where(Subscription.user_id == user_id, Subscription.ended_at.is_(None))
        # Who waited for the user may have begun before the plan did, and clocks are set back.
        .values(ended_at=case((Subscription.started_at > now(), Subscription.started_at), else_=now()))
        .returning(Subscription.id)
        .execution_options(synchronize_session=False)
    )


def plan_at_signup(session: Session, sold: Catalog, *, user_id: UUID) -> None:
    """Give a new user the plan of sign-up, if the catalog has one."""
    if sold.signup.plan:
        subscribe(session, user_id=user_id, plan=sold.signup.plan, origin=Origin.signup, ref=f"signup:{user_id}")
