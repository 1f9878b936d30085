"""What the tests of operations stand on."""

from __future__ import annotations

from tests.http.conftest import caller, client, sign_up
from tests.mail.conftest import mail_by, mail_server
from tests.payments.hands import hands

__all__ = ["caller", "client", "hands", "mail_by", "mail_server", "sign_up"]
