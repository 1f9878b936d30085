"""What the tests of what can be watched stand on."""

from __future__ import annotations

from tests.http.conftest import caller, client, sign_up

__all__ = ["caller", "client", "sign_up"]
