"""A running Coinop that has others do its work: predictions and words come from services, and files go to a bucket."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ai.openai.scripted import Scripted
from tests.ai.predictions.double import KEY, Double
from tests.outputs import s3
from tests.system.house import House
from tests.system.houses import Houses


@pytest.fixture(scope="package")
def double() -> Iterator[Double]:
    """A service of the house's own in this process, which outlives whatever dies there."""
    with Double().running() as made:
        yield made


@pytest.fixture(scope="package")
def talker() -> Iterator[Scripted]:
    """A server that speaks OpenAI's protocol, likewise."""
    with Scripted().running() as made:
        yield made


@pytest.fixture(scope="package")
def s3_house() -> Iterator[s3.House]:
    """A service that keeps files, likewise."""
    with s3.running() as made:
        yield made


@pytest.fixture(scope="package")
def house(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    double: Double,
    talker: Scripted,
    s3_house: s3.House,
) -> Iterator[House]:
    """One on PostgreSQL, as the database has no part in it; its books must balance in the end."""
    houses = Houses(
        request,
        tmp_path_factory,
        AI_PROVIDERS="video=predictions:acme/video-2,upscale=predictions:acme/larger-picture,chat=openai:any-1",
        OPENAI_BASE_URL=talker.base_url,
        PREDICTIONS_URL=double.url,
        PREDICTIONS_API_KEY=KEY,
        # Nobody's time is to run out by accident, on a machine that is busy: a new worker's first job reads in the
        # libraries of its provider.
        PROVIDER_TIMEOUT_SECONDS="5",
        RUN_LIMIT_SECONDS="20",
        **s3_house.environment("whole"),
    )
    yield houses.on("postgresql", selling="default")
    houses.close()
