"""What the tests of plans stand on: a clock they can move, a shop with plans, and somebody who has one."""

from __future__ import annotations

from uuid import UUID

import pytest

from models.catalog import Catalog
from tests.plans import shop
from tests.plans.clock import MONDAY, Clock, clock, postgresql_clock

__all__ = ["clock", "postgresql_clock"]


@pytest.fixture
def sold(clock: Clock) -> Catalog:
    """The shop, opened on a Monday morning."""
    clock.set(MONDAY)
    return shop.open_shop()


@pytest.fixture
def user(sold: Catalog) -> UUID:
    """Somebody who signed up just now: on the free plan, with the day's 50."""
    return shop.sign_up(sold)
