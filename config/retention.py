"""Settings of retention: after how long what is past its use is forgotten."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from config.basis import Basis

Days = Annotated[int, Field(ge=0, le=36_500)]

SHORTEST_EVENT_DAYS = 35
"""Stripe tells an event again for three days and shows it for thirty (docs.stripe.com/webhooks and /api/events): as
long as one may come again, it should be known."""


class RetentionSettings(Basis):
    """In days; 0 is for ever. The books (wallets, lots, transfers, payments) and the audit log have no setting: they
    stay."""

    job_days: Days = 365
    email_days: Days = 180
    event_days: Days = 90
    notice_days: Days = 365

    @model_validator(mode="after")
    def _events_outlast_the_gateway(self) -> Self:
        if 0 < self.event_days < SHORTEST_EVENT_DAYS:
            raise ValueError(f"EVENT_DAYS: expected 0 or at least {SHORTEST_EVENT_DAYS}, as long as one may come again")
        return self
