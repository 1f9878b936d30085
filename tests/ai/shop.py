"""A shop for the tests of what is made and what it costs, and jobs in it that are run in this process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from models import catalog, jobs, plans, quotes
from models.audit import audit
from models.catalog import Catalog
from models.database import sessions
from models.jobs import Attempt
from tasks import generation
from tests.audits import prove
from web.shelf import shelf
from worker.metering import rates

A_SECOND: dict[str, Any] = {"form": "per_unit", "quantity": "seconds", "amount": 3}


def action(kind: str, price: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"title": kind.title(), "kind": kind, "wallet": "credits", "price": dict(price), **more}


def shop(*, costs: Mapping[str, Any] | None = None, **actions: dict[str, Any]) -> Catalog:
    return Catalog.model_validate(
        {
            "name": "shop",
            "title": "Shop",
            "wallets": {"credits": {"title": "Credits"}},
            "actions": actions,
            "costs": costs or {},
        }
    )


def open_shop(*, costs: Mapping[str, Any] | None = None, **actions: dict[str, Any]) -> None:
    """Sell these actions and no others."""
    with sessions() as session:
        catalog.load(session, shop(costs=costs, **actions))
    rates.look_again()
    shelf.look_again()


def ordered(user_id: UUID, action: str, given: Mapping[str, Any], *, attempts: int = 3) -> UUID:
    """The id of a new job, priced as the shop says."""
    with sessions() as session:
        sold = catalog.current(session)
        entitled = plans.entitlements(session, user_id=user_id)
        asked = quotes.quote(sold, entitled, action=action, raw_input=dict(given))
        return jobs.submit(session, jobs.order(sold, asked, user_id=user_id, max_attempts=attempts)).job.id


def run(job_id: UUID) -> None:
    """What a worker does when it is woken for a job; then everything must still fit."""
    generation.run(str(job_id))
    prove(audit)


def attempts(job_id: UUID) -> list[Attempt]:
    with sessions() as session:
        return list(jobs.attempts_of(session, job_id))
