"""Accounts, asked through the front door of this process; no worker and no broker is there."""

from __future__ import annotations

from tests.http.conftest import caller, client, sign_up
from tests.races.conftest import arena

__all__ = ["arena", "caller", "client", "sign_up"]
