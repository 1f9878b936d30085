"""The mock gateway, and the customers, banks and clocks that play along with it."""

from worker.payments.mock.gateway import MockGateway

__all__ = ["MockGateway"]
