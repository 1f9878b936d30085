"""What the tests of outputs stand on: the front door, callers, and both storages, each of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest

from config import settings
from tests.http.conftest import caller, client, sign_up
from tests.outputs import s3
from worker.storage import Storage, storage
from worker.storage.s3 import Bucket

__all__ = ["caller", "client", "sign_up"]


@pytest.fixture(scope="session")
def s3_house() -> Iterator[s3.House]:
    with s3.running() as running:
        yield running


@pytest.fixture
def service(s3_house: s3.House) -> s3.Service:
    """The S3 that a test stores at, on a good day."""
    s3_house.service.get_over_it()
    return s3_house.service


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Storage]:
    """The product of this process stores in a folder of the test's own."""
    with _storing(monkeypatch, STORAGE_URL=f"file://{tmp_path / 'files'}"):
        yield storage()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, service: s3.Service, s3_house: s3.House) -> Iterator[Storage]:
    """The product of this process stores at S3, in a part of the bucket that is the test's own."""
    prefix = f"kept/{uuid4().hex}"
    # A client takes a second to make on a busy machine, so there is one.
    made = mock.patch.object(Bucket, "of", return_value=Bucket(s3_house.client, s3.BUCKET, prefix=prefix))
    with _storing(monkeypatch, **s3_house.environment(prefix)), made:
        yield storage()


@pytest.fixture(params=["folder", "bucket"])
def stored(request: pytest.FixtureRequest) -> Any:
    """Both storages, one after the other."""
    return request.getfixturevalue(request.param)


@contextmanager
def _storing(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Iterator[None]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    storage.cache_clear()
    yield
    for name in variables:
        monkeypatch.delenv(name)
    settings.cache_clear()
    storage.cache_clear()
