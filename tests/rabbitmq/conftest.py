"""A real RabbitMQ, on machines that have one; the tests that need it say so where there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rabbitmq.server import RabbitMQ, missing, rabbitmq


@pytest.fixture(scope="session")
def server() -> Iterator[RabbitMQ]:
    """Its queues are quorum queues unless who declares them says otherwise."""
    if lacking := missing():
        pytest.skip(f"this machine has no RabbitMQ; it lacks: {lacking}")
    with rabbitmq() as running:
        running.add_virtual_host()
        yield running
