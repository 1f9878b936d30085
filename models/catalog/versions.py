"""Versions: what was sold when. Loading a catalog stores a new version; none is ever changed.

So a job can be traced to the prices it was sold at, and a subscriber keeps the plan as it was bought: each plan has
versions of its own, and what a version gives per period lies in a table, where batches can join it.
"""

from __future__ import annotations

import hashlib
import json
import time
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, String, UniqueConstraint, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.catalog.document import Catalog, Period, Plan
from models.database import AwareDateTime, Base, BigId, Json, OrderedJson, insert_into, now, words
from models.errors import NotFound

FRESH_SECONDS = 2.0
"""How long a process may sell from the version it knows before it looks for a newer one."""


class CatalogVersion(Base):
    """One loaded preset. `digest` is of its content, so loading the same again changes nothing."""

    __tablename__ = "catalog_versions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    digest: Mapped[str] = mapped_column(String(64))
    document: Mapped[dict[str, Any]] = mapped_column(OrderedJson)
    loaded_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


class PlanVersion(Base):
    """The terms of one plan as they were sold at some time."""

    __tablename__ = "plan_versions"
    __table_args__ = (UniqueConstraint("plan", "digest"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    plan: Mapped[str] = mapped_column(String(50))
    digest: Mapped[str] = mapped_column(String(64))
    terms: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


class PlanAllowance(Base):
    """`amount` credits that a plan version gives into one wallet each period."""

    __tablename__ = "plan_allowances"
    __table_args__ = (CheckConstraint("amount > 0", name="amount_positive"),)

    plan_version_id: Mapped[int] = mapped_column(BigId, ForeignKey("plan_versions.id"), primary_key=True)
    wallet: Mapped[str] = mapped_column(String(50), primary_key=True)
    period: Mapped[Period] = mapped_column(words(Period, "period"), primary_key=True)
    amount: Mapped[int] = mapped_column(BigId)
    rollover: Mapped[bool]


def load(session: Session, catalog: Catalog) -> bool:
    """Make this catalog the current one and say whether that changed anything."""
    document = catalog.model_dump(mode="json")
    # The order counts here: it is the order in which things are shown.
    digest = _digest(document, sort_keys=False)
    for name, plan in catalog.plans.items():
        plan_version(session, name, plan)
    newest = session.scalar(select(CatalogVersion.digest).order_by(CatalogVersion.id.desc()).limit(1))
    if newest == digest:
        return False
    session.execute(insert_into(session, CatalogVersion).values(name=catalog.name, digest=digest, document=document))
    return True


def plan_version(session: Session, name: str, plan: Plan) -> int:
    """The id of the version of a plan with exactly these terms, stored now if it is new."""
    terms = plan.model_dump(mode="json")
    digest = _digest(terms, sort_keys=True)
    statement = insert_into(session, PlanVersion).values(plan=name, digest=digest, terms=terms)
    made = session.scalar(
        statement.on_conflict_do_nothing(index_elements=[PlanVersion.plan, PlanVersion.digest]).returning(
            PlanVersion.id
        )
    )
    if made is None:
        known = select(PlanVersion.id).where(PlanVersion.plan == name, PlanVersion.digest == digest)
        return int(session.execute(known).scalar_one())
    if plan.allowances:
        rows = [{"plan_version_id": made, **allowance.model_dump()} for allowance in plan.allowances]
        session.execute(insert(PlanAllowance), rows)
    return int(made)


def known_terms(digest: str) -> Plan | None:
    """The terms with this digest, if this process has read them before."""
    return _terms.get(digest)


def terms(session: Session, *, plan_version_id: int, digest: str) -> Plan:
    """The terms of a plan version, read once per process: what has this digest never changes."""
    if digest not in _terms:
        stored = session.execute(select(PlanVersion.terms).where(PlanVersion.id == plan_version_id)).scalar_one()
        _terms[digest] = Plan.model_validate(stored)
    return _terms[digest]


_terms: dict[str, Plan] = {}


def current(session: Session) -> Catalog:
    """The newest version. Raises `NotFound` when nothing has been loaded yet."""
    newest = session.execute(
        select(CatalogVersion.id, CatalogVersion.digest).order_by(CatalogVersion.id.desc()).limit(1)
    ).one_or_none()
    if newest is None:
        raise NotFound("No catalog is loaded: run `flask catalog load presets/default.toml`.")
    if newest.digest not in _catalogs:
        document = session.execute(select(CatalogVersion.document).where(CatalogVersion.id == newest.id)).scalar_one()
        _catalogs.clear()
        _catalogs[newest.digest] = Catalog.model_validate(document)
    return _catalogs[newest.digest]


_catalogs: dict[str, Catalog] = {}
"""The catalog that this process read last, by its digest: checking a document anew takes milliseconds."""


class Shelf:
    """The current catalog kept in memory, looked at again every `FRESH_SECONDS`."""

    def __init__(self) -> None:
        self._catalog: Catalog | None = None
        self._looked_at = float("-inf")

    def at_hand(self) -> Catalog | None:
        """What is sold now, if it is known freshly enough without asking the database."""
        return self._catalog if time.monotonic() - self._looked_at <= FRESH_SECONDS else None

    def catalog(self, session: Session) -> Catalog:
        """What is sold now, at most `FRESH_SECONDS` old. Raises as `current` does."""
        catalog = self.at_hand()
        if catalog is None:
            catalog = self._catalog = current(session)
            self._looked_at = time.monotonic()
        return catalog

    def look_again(self) -> None:
        """Ask the database at the next question, however fresh the answer is."""
        self._looked_at = float("-inf")


def _digest(document: dict[str, Any], *, sort_keys: bool) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=sort_keys).encode()).hexdigest()
