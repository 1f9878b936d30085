"""The doors, asked through the front door of this process; no worker and no broker is there."""

from __future__ import annotations

from tests.http.conftest import caller, client, sign_up

__all__ = ["caller", "client", "sign_up"]
