"""What the people of the house do, asked through the front door of this process; no worker and no broker is there."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import mock

import pytest
from flask.testing import FlaskClient
from pydantic import SecretStr

from config import settings
from models.users import Role
from tests.admin.house import KEY, having
from tests.http.conftest import Caller, caller, client, sign_up
from tests.plans.clock import clock
from web import tokens

__all__ = ["caller", "client", "clock", "sign_up"]


@pytest.fixture(autouse=True)
def admin_key() -> Iterator[None]:
    tokens.look_again()
    given = settings().model_copy(update={"admin_api_key": SecretStr(KEY)})
    with mock.patch("web.admin.doors.settings", return_value=given):
        yield


@pytest.fixture
def admin(client: FlaskClient) -> Caller:
    return having(client, "root@example.com", Role.admin)


@pytest.fixture
def support(client: FlaskClient) -> Caller:
    return having(client, "sue@example.com", Role.support)
