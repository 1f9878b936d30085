"""Orders: what a request to run an action amounts to, before anything is touched."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from models import prices
from models.catalog import Action, Catalog
from models.database import new_id
from models.jobs.tables import Queue
from models.kinds import Kind, parse_input
from models.prices import Part

LONGEST_WAIT_SECONDS = 7 * 24 * 3600
"""The furthest `expires_in`: a job that nobody has started for a week is not wanted any more."""


@dataclass(frozen=True, slots=True)
class Order:
    """A request that can be run: its input checked, its price worked out.

    `price` is in credits of `wallet`; `expires_in` is how many seconds the job may wait for its first attempt, None
    for ever; `digest` tells whether two requests are the same.
    """

    id: UUID
    user_id: UUID
    action: str
    kind: Kind
    queue: Queue
    wallet: str
    input: dict[str, Any]
    parts: tuple[Part, ...]
    price: int
    cancel_charge: int
    concurrent_jobs: int
    max_attempts: int
    expires_in: int | None
    idempotency_key: str | None
    digest: str

    @property
    def breakdown(self) -> list[dict[str, Any]]:
        return [part.model_dump() for part in self.parts]


def order(
    catalog: Catalog,
    *,
    user_id: UUID,
    action: str,
    raw_input: object,
    max_attempts: int,
    expires_in: int | None = None,
    idempotency_key: str | None = None,
) -> Order:
    """Check a request against the catalog and price it. Raises `InvalidInput` naming each field at fault."""
    offer: Action = catalog.action(action)
    given = parse_input(offer.kind, raw_input)
    parts = tuple(offer.price.estimate(offer.title, given))
    return Order(
        id=new_id(),
        user_id=user_id,
        action=action,
        kind=offer.kind,
        queue=Queue.generation,
        wallet=offer.wallet,
        input=given,
        parts=parts,
        price=prices.total(list(parts)),
        cancel_charge=offer.cancel_charge,
        concurrent_jobs=catalog.limits.concurrent_jobs,
        max_attempts=max_attempts,
        expires_in=expires_in,
        idempotency_key=idempotency_key,
        digest=_digest(action, given, expires_in),
    )


def _digest(action: str, given: dict[str, Any], expires_in: int | None) -> str:
    return hashlib.sha256(json.dumps([action, given, expires_in], sort_keys=True).encode()).hexdigest()
