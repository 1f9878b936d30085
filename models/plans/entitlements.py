"""Entitlements: what a user's plan lets them do. Reading only, one indexed read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Uuid, bindparam, or_, select
from sqlalchemy.orm import Session

from models import catalog
from models.catalog import Action, Billing, Catalog, Plan, Rate
from models.database import Prepared, now, readings
from models.errors import FeatureRequired
from models.plans.tables import Origin, Subscription


@dataclass(frozen=True, slots=True)
class Held:
    """The plan a user has now: the subscription, and the terms as they were when it began."""

    subscription_id: int
    plan: str
    terms: Plan
    origin: Origin
    billing: Billing | None
    started_at: datetime
    anchor_at: datetime
    ends_at: datetime | None
    series: str | None = None
    paid_until: datetime | None = None


@dataclass(frozen=True, slots=True)
class FairUse:
    """The rate under which something is free; uses are counted under `name`, each promise of a plan by itself."""

    name: str
    rate: Rate


@dataclass(frozen=True, slots=True)
class Entitlements:
    """What a caller may do: with the terms of `held`, or with nothing but credits when there is no plan."""

    held: Held | None = None

    @property
    def priority(self) -> bool:
        """Whether the caller's jobs go to the queue that is served first."""
        return self.held is not None and self.held.terms.priority

    def has(self, feature: str) -> bool:
        return self.held is not None and feature in self.held.terms.features

    def limit(self, name: str) -> int | None:
        """How many of something the caller may have; None is as many as they like."""
        return self.held.terms.limits.get(name) if self.held else 0

    def unlimited(self, action_name: str, wallet: str) -> FairUse | None:
        """The fair use under which an action is free for the caller, or None when it has its price."""
        for free in self.held.terms.unlimited if self.held else ():
            if free.action == action_name or free.wallet == wallet:
                return FairUse(f"free:action:{free.action}" if free.action else f"free:wallet:{wallet}", free.fair_use)
        return None

    def allow(self, catalog: Catalog, action: Action) -> None:
        """Raise `FeatureRequired`, saying which plans have it, unless the caller may order this action."""
        if action.requires is None or self.has(action.requires):
            return
        offering = [name for name, plan in catalog.plans.items() if action.requires in plan.features]
        titles = ", ".join(catalog.plans[name].title for name in offering)
        raise FeatureRequired(
            f"{action.title} comes with the plan {titles}." if len(offering) == 1
            else f"{action.title} comes with one of the plans {titles}.",
            feature=action.requires, plans=offering,
        )  # fmt: skip


NOTHING = Entitlements()

# Columns of the tables rather than of the classes: this is read before most submissions.
_subscription, _version = Subscription.__table__.c, catalog.PlanVersion.__table__.c

_OPEN = Prepared(
    select(
        _subscription.id, _version.plan, _version.id, _version.digest, _subscription.origin, _subscription.billing,
        _subscription.started_at, _subscription.anchor_at, _subscription.ends_at, _subscription.series,
        _subscription.paid_until,
    )
    .join_from(Subscription.__table__, catalog.PlanVersion.__table__, _version.id == _subscription.plan_version_id)
    .where(
        _subscription.user_id == bindparam("user_id", type_=Uuid()),
        _subscription.ended_at.is_(None),
        or_(_subscription.ends_at.is_(None), _subscription.ends_at > now()),
    )
)  # fmt: skip


def entitlements(session: Session, *, user_id: UUID) -> Entitlements:
    """What this user may do now. Locks nothing."""
    row = _OPEN.one_or_none(session, user_id=user_id)
    if row is None:
        return NOTHING
    return _held(row, catalog.terms(session, plan_version_id=row[2], digest=row[3]))


def read_entitlements(*, user_id: UUID) -> Entitlements:
    """`entitlements`, on a connection of its own: they are asked for before every job."""
    row = _OPEN.read(user_id=user_id)
    if row is None:
        return NOTHING
    terms = catalog.known_terms(row[3])
    if terms is None:
        with readings() as session:
            terms = catalog.terms(session, plan_version_id=row[2], digest=row[3])
    return _held(row, terms)


def _held(row: Sequence[Any], terms: Plan) -> Entitlements:
    subscription_id, plan, _, _, origin, billing, started_at, anchor_at, ends_at, series, paid_until = row
    return Entitlements(
        Held(
            subscription_id=subscription_id,
            plan=plan,
            terms=terms,
            origin=Origin(origin),
            billing=None if billing is None else Billing(billing),
            started_at=started_at,
            anchor_at=anchor_at,
            ends_at=ends_at,
            series=series,
            paid_until=paid_until,
        )
    )
