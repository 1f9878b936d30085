"""A prediction service of our own, and our backend that talks to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ai.predictions.asking import ATTEMPTS, LIMIT
from tests.ai.predictions.double import KEY, Double
from worker.ai.predictions import PredictionsProvider
from worker.ai.predictions.service import Service


@pytest.fixture
def double() -> Iterator[Double]:
    with Double().running() as made:
        yield made


@pytest.fixture
def provider(double: Double) -> PredictionsProvider:
    spoken_to = Service(double.url, KEY, output_bytes=LIMIT)
    return PredictionsProvider(spoken_to, output_bytes=LIMIT, attempts=ATTEMPTS, attempt_seconds=40)
