"""The circuit breaker: who is let through to a server, and when."""

from __future__ import annotations

import pytest

from worker.mail.circuit import FAILURES, OPEN_SECONDS, Circuit
from worker.mail.gateway import Refused, Unavailable

AWAY = Unavailable("connection", server=True)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def circuit(clock: Clock) -> Circuit:
    return Circuit(clock=clock)


def fail(circuit: Circuit, error: BaseException = AWAY) -> None:
    with pytest.raises(type(error)), circuit.passing():
        raise error


def is_open(circuit: Circuit) -> bool:
    """Whether nobody is let through; who is let through finds the server well."""
    try:
        with circuit.passing():
            return False
    except Unavailable:
        return True


def test_some_failures_in_a_row_open_it(circuit: Circuit) -> None:
    for _ in range(FAILURES):
        for _ in range(FAILURES - 1):
            fail(circuit)
        with circuit.passing():
            pass
    for _ in range(FAILURES):
        fail(circuit)
    with pytest.raises(Unavailable, match="server_away"), circuit.passing():
        pass


@pytest.mark.parametrize("error", [Refused("refused", 550), Unavailable("later", 450), ValueError()])
def test_what_is_wrong_with_one_mail_does_not(circuit: Circuit, error: Exception) -> None:
    for _ in range(2 * FAILURES):
        fail(circuit, error)
    assert not is_open(circuit)


def test_after_a_while_one_finds_out_how_it_is(circuit: Circuit, clock: Clock) -> None:
    for _ in range(FAILURES):
        fail(circuit)
    clock.now += OPEN_SECONDS - 0.1
    assert is_open(circuit)
    clock.now += 0.2
    with circuit.passing():
        assert is_open(circuit), "one is on the way, the others do not wait for what comes of it"
    assert not is_open(circuit)


@pytest.mark.parametrize("error", [AWAY, KeyboardInterrupt()])
def test_as_long_as_it_is_away_one_asks_each_time(circuit: Circuit, clock: Clock, error: BaseException) -> None:
    for _ in range(FAILURES):
        fail(circuit)
    for _ in range(3):
        clock.now += OPEN_SECONDS
        fail(circuit)
        assert is_open(circuit)
    clock.now += OPEN_SECONDS
    fail(circuit, error)
    clock.now += OPEN_SECONDS
    assert not is_open(circuit), "however the one ended, another may ask"
