"""The rank test of the benchmark that asks whether known addresses can be told by the time of an answer."""

from __future__ import annotations

import random

import pytest

from bench.enumeration import mann_whitney


def test_an_example_worked_by_hand() -> None:
    # U = 17 of 20, mean 10, variance 20 · 10 / 12, away by 6.5 after the correction: z = 1.592
    assert mann_whitney([19, 22, 16, 29, 24], [20, 11, 17, 12]) == pytest.approx(0.1113, abs=0.0001)


def test_ties_count_half() -> None:
    assert mann_whitney([1, 1, 2, 2], [1, 1, 2, 2]) == 1.0
    assert mann_whitney([1, 1, 1], [1, 1, 1]) == 1.0


@pytest.mark.parametrize(("shift", "told_apart"), [(0.0, False), (0.5, True)])
def test_two_hundred_samples_show_a_shift_of_half_their_spread(shift: float, told_apart: bool) -> None:
    dice = random.Random(1)
    one, other = ([dice.gauss(mean, 1.0) for _ in range(200)] for mean in (0.0, shift))
    assert (mann_whitney(one, other) < 0.01) == told_apart
    assert mann_whitney(one, other) == pytest.approx(mann_whitney(other, one))
