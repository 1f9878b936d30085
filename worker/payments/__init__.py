"""Payments: whoever takes the money. One gateway each for Stripe and for trying things out, and here the choice.

Nobody else asks which one it is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from threading import Lock

from config import PaymentsMode, Settings
from worker.payments.gateway import Gateway
from worker.payments.mock import MockGateway
from worker.payments.stripe_client import client
from worker.payments.stripe_gateway import StripeGateway

_MAKERS: dict[PaymentsMode, Callable[[Settings], Gateway]] = {
    PaymentsMode.mock: lambda settings: MockGateway(),
    PaymentsMode.stripe: lambda settings: StripeGateway(client(settings)),
}

_making = Lock()


def gateway_for(settings: Settings) -> Gateway:
    """The gateway of these settings; the same one each time, for all threads to share."""
    with _making:  # a cache alone lets two threads that come first both make one
        return _gateway(settings)


@cache
def _gateway(settings: Settings) -> Gateway:
    return _MAKERS[settings.payments_mode](settings)
