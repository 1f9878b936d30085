"""Plans that are paid for: taken up, paid until some day, and ended by what becomes of the subscription.

What they give per cycle is counted by their `series`, one for each subscription, so that changing plans, losing one for
want of payment and getting it back give a cycle's credits once.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from models import users
from models.catalog import Billing, Plan
from models.database import moment, new_id
from models.plans import allowances
from models.plans.subscribing import end_open, unsubscribe
from models.plans.tables import Origin, Subscription


def take_up(
    session: Session,
    *,
    user_id: UUID,
    plan_version_id: int,
    billing: Billing,
    series: str,
    anchor_at: datetime,
    paid_until: datetime,
    instead_of: Plan | None = None,
) -> int:
    """Give a user a plan that is paid for, in place of the one there is, and return the id of the subscription.

    With `instead_of`, a smaller plan of the same series within a cycle, what the new one adds to the rest of the cycle
    is granted; what the old one still owed is granted before. Locks the user, then the wallets.
    """
    users.lock(session, user_id)
    allowances.grant_due(session, user_id=user_id)
    end_open(session, user_id)
    made: int = session.execute(
        insert(Subscription)
        .values(
            user_id=user_id,
            plan_version_id=plan_version_id,
            origin=Origin.payment,
            billing=billing,
            ref=f"paid:{series}:{new_id()}",
            started_at=moment(session),
            anchor_at=anchor_at,
            series=series,
            paid_until=paid_until,
        )
        .returning(Subscription.id)
    ).scalar_one()
    if instead_of is not None:
        allowances.grant_difference(session, user_id=user_id, before=instead_of)
    allowances.begin(session, user_id=user_id)
    return made


def pay_until(session: Session, *, user_id: UUID, subscription_id: int, paid_until: datetime) -> None:
    """Note until when a plan is paid, and grant what that sets free. Locks the user, then the wallets."""
    users.lock(session, user_id)
    moved = update(Subscription).where(Subscription.id == subscription_id).values(paid_until=paid_until)
    session.execute(moved.execution_options(synchronize_session=False))
    allowances.begin(session, user_id=user_id)


def let_end_at(session: Session, *, subscription_id: int, ends_at: datetime | None) -> None:
    """Say when a plan is over unless something happens before; None is never. The sweep of plans ends it then."""
    session.execute(
        update(Subscription)
        .where(Subscription.id == subscription_id, Subscription.ended_at.is_(None))
        .values(ends_at=ends_at)
        .execution_options(synchronize_session=False)
    )


def end_paid(session: Session, *, user_id: UUID, subscription_id: int) -> bool:
    """End a plan that is not paid for any more, if it is still the user's, and say whether it was. Locks the user."""
    users.lock(session, user_id)
    if not is_open(session, subscription_id=subscription_id):
        return False
    unsubscribe(session, user_id=user_id)
    return True


def is_open(session: Session, *, subscription_id: int | None) -> bool:
    """Whether this is still the plan its user has."""
    still = select(Subscription.id).where(Subscription.id == subscription_id, Subscription.ended_at.is_(None))
    return subscription_id is not None and session.scalar(still) is not None
