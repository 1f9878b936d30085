"""Metering: what an attempt takes, kept as it goes, and what that costs us by the rates in the catalog."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models import catalog, costs
from models.costs import ModelCost
from models.database import readings
from models.errors import NotFound
from models.jobs import Effort
from worker.ai.provider import Generation, ProviderError

log = structlog.get_logger(__name__)

FREE = frozenset({"mock"})
"""Providers that bill nobody, whatever they use."""

MODERATIONS = "moderations"
"""Among what an attempt used: how often a moderation was asked."""

NOT_BEGUN = frozenset((
    "image_refused", "image_unavailable", "kind_unavailable", "provider_rate_limited", "provider_rejected_key",
))  # fmt: skip
"""Errors after which nothing was used for certain: nobody began to work."""


class Meter:
    """Of one attempt: who was asked, and what they used. Whoever does the work says so as it goes."""

    def __init__(self, *, moderated_by: str = "") -> None:
        self._moderated_by = moderated_by
        self._moderations = 0
        self._provider: str | None = None
        self._model: str | None = None
        self._usage: Mapping[str, int] | None = {}
        self._request_id: str | None = None

    def moderated(self) -> None:
        """A moderation has looked at what was ordered."""
        self._moderations += 1

    def asked(self, provider: str, model: str, request_id: str | None = None) -> None:
        """A provider is asked, from here on: what it uses is not known until it says."""
        self._provider, self._model, self._request_id = provider, model, request_id
        self._usage = None

    def made(self, generation: Generation) -> None:
        """The provider has made something, and says what it used."""
        self._usage = generation.usage
        self._request_id = generation.request_id or self._request_id

    def failed(self, error: ProviderError, request_id: str | None = None) -> Effort:
        """`effort` of an attempt of which nothing came. The provider may say what it used all the same, and has, if it
        made something that then could not be stored."""
        if error.usage is not None or error.code in NOT_BEGUN:
            self._usage = error.usage or {}
        return self.effort(request_id)

    def effort(self, request_id: str | None = None) -> Effort:
        """What the attempt took until now; `request_id` is the provider's name for what it began."""
        usage = self._usage
        if self._moderations:
            usage = {**(usage or {}), MODERATIONS: self._moderations}
        return Effort(self._provider, self._model, self._request_id or request_id, usage, self._cost())

    def _cost(self) -> int | None:
        """In millionths of a US dollar; None when it is not known. A moderation that has no rate is free."""
        checks = rates.micros(self._moderated_by, {MODERATIONS: self._moderations}) if self._moderations else 0
        if self._provider is None or self._provider in FREE or self._usage == {}:
            return checks or 0
        if self._usage is None or self._model is None:
            return None
        micros = rates.micros(self._model, self._usage)
        return None if micros is None else micros + (checks or 0)


class Rates:
    """What models cost by the current catalog, for all threads of this process."""

    def __init__(self) -> None:
        self._shelf = catalog.Shelf()
        self._known: Mapping[str, ModelCost] = {}
        self._reading = Lock()

    def micros(self, model: str, usage: Mapping[str, int]) -> int | None:
        """What a usage costs, in millionths of a US dollar; None when that is not known."""
        return costs.micros(self._costs(), model, usage)

    def look_again(self) -> None:
        """Ask the database at the next question."""
        self._shelf.look_again()

    def _costs(self) -> Mapping[str, ModelCost]:
        if (at_hand := self._shelf.at_hand()) is not None:
            return at_hand.costs
        with self._reading:  # one asks for all
            try:
                with readings() as session:
                    self._known = self._shelf.catalog(session).costs
            except (SQLAlchemyError, NotFound) as error:
                log.warning("rates_not_read", error=type(error).__name__)
        return self._known


rates = Rates()
