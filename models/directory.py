"""The directory: finding accounts, for the people of the house. Reading only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, exists, func, or_, select
from sqlalchemy.orm import Session

from models.catalog import PlanVersion
from models.plans import Subscription
from models.users import Role, User

MOST_LOOKED_AT = 10_000
"""Accounts that one page looks through where no index helps, so that what fits nobody costs no more than that."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which accounts are asked for; None is all.

    `named` is an account's id, or how its address begins, which an index finds. `contains` is a part of the address or
    of the name, in capitals or not. `plan` is the plan the user has now.
    """

    named: str | None = None
    contains: str | None = None
    role: Role | None = None
    suspended: bool | None = None
    plan: str | None = None

    @property
    def looks_through(self) -> bool:
        """Whether accounts have to be looked at one by one."""
        filters = (self.contains, self.role, self.suspended, self.plan)
        return self.named is None and any(each is not None for each in filters)


def search(
    session: Session, *, wanted: Wanted, limit: int, after: UUID | None = None
) -> tuple[Sequence[User], UUID | None]:
    """Accounts, newest first, from just after `after`; with the id to go on from, None at the end.

    A page can be shorter than `limit`, or empty, before the end: where the filters let little through, looking goes on
    with the next page. Locks nothing.
    """
    query = select(User) if after is None else select(User).where(User.id < after)
    down_to = _down_to(session, after) if wanted.looks_through else None
    if down_to is not None:
        query = query.where(User.id >= down_to)
    rows = session.scalars(query.where(*_conditions(wanted)).order_by(User.id.desc()).limit(limit + 1)).all()
    if len(rows) > limit:
        return rows[:limit], rows[limit - 1].id
    return rows, down_to


def _down_to(session: Session, after: UUID | None) -> UUID | None:
    """The last account that this page looks at, None when it looks at all that are left."""
    ids = select(User.id) if after is None else select(User.id).where(User.id < after)
    return session.scalar(ids.order_by(User.id.desc()).offset(MOST_LOOKED_AT - 1).limit(1))


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.named is not None:
        conditions.append(_named(wanted.named))
    if wanted.contains is not None:
        part = wanted.contains.lower()
        conditions.append(
            or_(User.email.contains(part, autoescape=True), func.lower(User.name).contains(part, autoescape=True))
        )
    if wanted.role is not None:
        conditions.append(User.role == wanted.role)
    if wanted.suspended is not None:
        conditions.append(User.suspended_at.is_not(None) if wanted.suspended else User.suspended_at.is_(None))
    if wanted.plan is not None:
        has = exists().where(Subscription.user_id == User.id, Subscription.ended_at.is_(None))
        conditions.append(has.where(PlanVersion.id == Subscription.plan_version_id, PlanVersion.plan == wanted.plan))
    return conditions


def _named(wanted: str) -> ColumnElement[bool]:
    try:
        return User.id == UUID(wanted)
    except ValueError:
        return User.email.startswith(wanted.lower(), autoescape=True)
