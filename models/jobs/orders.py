"""Orders: a quote on its way to become a job."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models.catalog import Catalog
from models.database import new_id
from models.jobs.tables import Queue
from models.kinds import Kind
from models.plans.entitlements import FairUse
from models.quotes import Quote, must_run

LONGEST_WAIT_SECONDS = 7 * 24 * 3600
"""The furthest `expires_in`: a job that nobody has started for a week is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Order:
    """A request that can be run: its input checked, its price worked out.

    `price` is in credits of `wallet`; `fair_use` is that under which it is free, if it is; `expires_in` is how many
    seconds the job may wait for its first attempt, None for ever; `digest` tells whether two requests are the same.
    """

    id: UUID
    user_id: UUID
    action: str
    kind: Kind
    queue: Queue
    wallet: str
    input: dict[str, Any]
    breakdown: list[dict[str, Any]]
    price: int
    fair_use: FairUse | None
    cancel_charge: int
    settling: dict[str, Any] | None
    concurrent_jobs: int
    max_attempts: int
    expires_in: int | None
    idempotency_key: str | None
    digest: str

    @property
    def upload_id(self) -> UUID | None:
        """The upload that the job begins with, if it does with one."""
        named = self.input.get("upload")
        return UUID(named) if named else None


def order(
    catalog: Catalog,
    quote: Quote,
    *,
    user_id: UUID,
    max_attempts: int,
    expires_in: int | None = None,
    idempotency_key: str | None = None,
) -> Order:
    """Make a quote an order of this user. Raises `InvalidInput` when its action runs no job."""
    must_run(quote)
    return Order(
        id=new_id(),
        user_id=user_id,
        action=quote.action,
        kind=Kind(quote.kind),
        queue=Queue.high if quote.priority else Queue.generation,
        wallet=quote.wallet,
        input=quote.input,
        breakdown=quote.breakdown,
        price=quote.price,
        fair_use=quote.fair_use,
        cancel_charge=quote.cancel_charge,
        settling=quote.settling,
        concurrent_jobs=catalog.limits.concurrent_jobs,
        max_attempts=max_attempts,
        expires_in=expires_in,
        idempotency_key=idempotency_key,
        digest=quote.digest(expires_in),
    )
