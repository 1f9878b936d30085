"""What the tests of plans stand on: a clock they can move, and a shop with plans."""

from tests.plans.clock import clock, postgresql_clock

__all__ = ["clock", "postgresql_clock"]
