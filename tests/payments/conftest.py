"""What the tests of payments stand on."""

from tests.http.conftest import caller, client, sign_up
from tests.payments.hands import hands
from tests.plans.clock import clock

__all__ = ["caller", "client", "clock", "hands", "sign_up"]
