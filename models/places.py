"""Places: what a user occupies of a limit of the plan, such as the companions that are active."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, String, delete, func, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models import pages, plans, users
from models.catalog import Catalog
from models.database import AwareDateTime, Base, now
from models.errors import LimitReached, NotFound
from models.plans import Entitlements


class Place(Base):
    """One thing, by the product's own name for it, that counts towards a limit."""

    __tablename__ = "places"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    limit_name: Mapped[str] = mapped_column(String(50), primary_key=True)
    item: Mapped[str] = mapped_column(String(200), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


@dataclass(frozen=True, slots=True)
class Usage:
    """How many places of a limit are taken, and how many there are; None is as many as one likes."""

    limit: int | None
    used: int


@dataclass(frozen=True, slots=True)
class Overview:
    """What a user may do, and what is taken of each limit."""

    entitled: Entitlements
    limits: dict[str, Usage]


def check(catalog: Catalog, limit_name: str) -> None:
    """Raise `NotFound` unless some plan of the catalog has a limit of this name."""
    if limit_name not in _names(catalog):
        raise NotFound("No plan has a limit of this name.")


def overview(session: Session, catalog: Catalog, *, user_id: UUID) -> Overview:
    """What a user's plan includes and what of it is taken. Locks nothing."""
    entitled = plans.entitlements(session, user_id=user_id)
    rows = session.execute(
        select(Place.limit_name, func.count().label("taken")).where(Place.user_id == user_id).group_by(Place.limit_name)
    )
    used = {row.limit_name: int(row.taken) for row in rows}
    limits = {name: Usage(entitled.limit(name), used.get(name, 0)) for name in sorted(_names(catalog))}
    return Overview(entitled, limits)


def take(session: Session, *, user_id: UUID, limit_name: str, item: str) -> tuple[Place, bool]:
    """Let an item occupy a place of a limit, and say whether that is new.

    An item that has its place keeps it, also above the limit of a smaller plan that came later. Locks the user. Raises
    `LimitReached` when there is no place left.
    """
    users.lock(session, user_id)
    mine = (Place.user_id == user_id, Place.limit_name == limit_name)
    has_it = session.scalar(select(Place).where(*mine, Place.item == item))
    if has_it is not None:
        return has_it, False
    limit = plans.entitlements(session, user_id=user_id).limit(limit_name)
    used = session.execute(select(func.count()).select_from(Place).where(*mine)).scalar_one()
    if limit is not None and used >= limit:
        raise LimitReached(
            f"Your plan includes {limit} of {limit_name}, and {used} are taken.",
            name=limit_name, limit=limit, used=used,
        )  # fmt: skip
    made = insert(Place).values(user_id=user_id, limit_name=limit_name, item=item).returning(Place)
    return session.execute(made).scalar_one(), True


def free(session: Session, *, user_id: UUID, limit_name: str, item: str) -> None:
    """Give the place of an item back; nothing happens when it has none. Locks the place."""
    session.execute(delete(Place).where(Place.user_id == user_id, Place.limit_name == limit_name, Place.item == item))


def free_all(session: Session, *, user_id: UUID) -> None:
    """Give back every place that a user has."""
    session.execute(delete(Place).where(Place.user_id == user_id))


def taken(
    session: Session, *, user_id: UUID, limit_name: str, limit: int, after: str | None = None
) -> tuple[list[Place], str | None]:
    """The items that occupy a limit, by name, from just after `after`; with the one to go on from, None at the end."""
    query = select(Place).where(Place.user_id == user_id, Place.limit_name == limit_name)
    return pages.by_name(session, query, Place.item, limit=limit, after=after)


def _names(catalog: Catalog) -> set[str]:
    return {name for plan in catalog.plans.values() for name in plan.limits}
