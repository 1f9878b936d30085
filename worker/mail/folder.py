"""Mail into a folder, for development: each is a file that a mail program opens."""

from __future__ import annotations

import tempfile
from pathlib import Path

from worker.mail.compose import POLICY
from worker.mail.gateway import Mail, Unavailable

READABLE = POLICY.clone(utf8=True)
"""Headers in the letters that they are written in."""


class Folder:
    """Writes `.eml` files whose names sort by when the mail began; one that is sent again is the same file."""

    longest_seconds = 10.0

    def __init__(self, root: Path) -> None:
        self._root = root

    def send(self, mail: Mail) -> None:
        name = f"{mail.created_at:%Y%m%d-%H%M%S}-{mail.created_at.microsecond // 1000:03}-{mail.template}"
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            # Written aside and renamed, so that nobody ever sees half a mail.
            with tempfile.NamedTemporaryFile(dir=self._root, prefix=".", delete=False) as file:
                file.write(mail.message.as_bytes(policy=READABLE))
            Path(file.name).replace(self._root / f"{name}-{mail.email_id.hex[-12:]}.eml")
        except OSError as error:
            raise Unavailable("folder", type(error).__name__, server=True, misconfigured=True) from None
