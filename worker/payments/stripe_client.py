"""Stripe's client as we use it, and what its errors mean to us.

One version of the API, our own timeouts and no retries inside: whoever calls tries again, with the same key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import stripe
import structlog
from stripe import StripeClient

from config import Settings
from worker.payments.gateway import Declined, GatewayError, Refused, Unreachable

log = structlog.get_logger(__name__)

API_VERSION = "2026-10-28.endive"
"""Whatever version the account is set to, calls are made in this one; its webhooks should be set to it too."""

CONNECT_SECONDS = 3.05
"""A little more than the three seconds after which TCP sends its first packet again."""

READ_SECONDS = 20.0
"""Stripe answers within a second or two, and takes longer only when a bank does."""


def client(settings: Settings, *, timeouts: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS)) -> StripeClient:
    """A client by these settings; `timeouts` are for connecting and for each wait for an answer, in seconds."""
    key = settings.stripe_secret_key
    return StripeClient(
        key.get_secret_value() if key else "",
        stripe_version=API_VERSION,
        max_network_retries=0,
        base_addresses={"api": settings.stripe_api_base} if settings.stripe_api_base else {},
        http_client=stripe.RequestsClient(timeout=timeouts),
    )


@contextmanager
def our_errors() -> Iterator[None]:
    """Turn what the client raises into `Declined`, `Refused` and `Unreachable`. No message of Stripe's gets out: it may
    quote what was sent."""
    try:
        yield
    except stripe.StripeError as error:
        ours = mapped(error)
        log.warning(
            "stripe_said_no", code=ours.code, status=error.http_status, request_id=error.request_id,
            param=getattr(error, "param", None),
        )  # fmt: skip
        raise ours from None


def mapped(error: stripe.StripeError) -> GatewayError:
    """What an error of Stripe's is in our words."""
    status = error.http_status or 0
    if isinstance(error, stripe.CardError):
        decline = error.error.decline_code if error.error else None
        return Declined(decline or error.code or "card_declined", "The card was declined.")
    if isinstance(error, stripe.APIConnectionError):
        return Unreachable("gateway_unreachable", "Stripe cannot be reached.")
    if isinstance(error, stripe.RateLimitError):
        return Unreachable("gateway_busy", "Stripe asks to slow down.", retry_after=_retry_after(error))
    if isinstance(error, stripe.IdempotencyError) or status == 409:
        # The same key is at work at this moment, or did its work with other values: either way the first call counts,
        # and what came of it is for the reconciliation to find.
        return Unreachable("gateway_conflict", "Stripe knows this call already.", retry_after=_retry_after(error))
    if isinstance(error, stripe.AuthenticationError):
        return Refused("gateway_key_refused", "Stripe does not accept STRIPE_SECRET_KEY.")
    if isinstance(error, stripe.PermissionError):
        return Refused("gateway_key_lacks_permission", "STRIPE_SECRET_KEY may not do this.")
    if isinstance(error, stripe.InvalidRequestError):
        where = f" ({error.param})" if error.param else ""
        return Refused(error.code or "gateway_refused", f"Stripe does not accept the request{where}.")
    return Unreachable("gateway_failing", "Stripe has troubles of its own.", retry_after=_retry_after(error))


def _retry_after(error: stripe.StripeError) -> float | None:
    told = {name.lower(): value for name, value in (error.headers or {}).items()}.get("retry-after", "")
    try:
        return max(float(told), 0.0)
    except ValueError:
        return None
