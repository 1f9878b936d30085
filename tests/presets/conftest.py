"""A running Coinop that sells what the stories of one file are about; each story has customers of its own.

A file names its `PRESET` and, if PostgreSQL is not enough, its `DATABASES`. On each database the products are sold one
after the other by the same Coinop.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask import Flask

from tests.presets.stories import Product
from tests.system.houses import Houses


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "product" in metafunc.fixturenames:
        preset = metafunc.module.PRESET
        databases = getattr(metafunc.module, "DATABASES", ("postgresql",))
        runs = [pytest.param((preset, each), id=each) for each in databases]
        metafunc.parametrize("product", runs, indirect=True, scope="module")


@pytest.fixture(scope="module")
def product(request: pytest.FixtureRequest, houses: Houses, app: Flask) -> Product:
    preset, database = request.param
    on_postgresql = database == "postgresql"
    product = Product(houses.on(database, selling=preset, with_clock=on_postgresql), app)
    if on_postgresql:
        # So that no real day, week or month ends in the middle of a story.
        product.set_clock(datetime(2030, 1, 1, 12, tzinfo=UTC))
    return product
