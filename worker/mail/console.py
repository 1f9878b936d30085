"""Mail into the log: only that there was one, for its links and its reader's address have no place there."""

from __future__ import annotations

import structlog

from worker.mail.gateway import Mail

log = structlog.get_logger(__name__)


class Console:
    longest_seconds = 10.0

    def send(self, mail: Mail) -> None:
        log.info("mail", template=mail.template, email_id=str(mail.email_id))
