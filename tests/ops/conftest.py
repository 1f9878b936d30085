"""What the tests of the doctor stand on."""

from __future__ import annotations

from tests.http.conftest import client
from tests.mail.conftest import mail_by, mail_server

__all__ = ["client", "mail_by", "mail_server"]
