"""Storage: where artefacts live. `STORAGE_URL` says which; a folder shared by web and workers is what there is.

A key is written once and never changed: it carries the attempt, so a stale attempt cannot overwrite the result of the
one that counts.
"""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from config import settings


class Storage(Protocol):
    def put(self, key: str, data: bytes) -> None:
        """Store `data` under `key`; when it returns, the data is on disk."""
        ...

    def path(self, key: str) -> Path:
        """The file to read. Raises `FileNotFoundError`."""
        ...


class Folder:
    """A folder on this machine or on a volume that all processes mount."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def put(self, key: str, data: bytes) -> None:
        target = self._inside(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Written aside and renamed, so that nobody ever sees half a file.
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(file.name).replace(target)

    def path(self, key: str) -> Path:
        target = self._inside(key)
        if not target.is_file():
            raise FileNotFoundError(key)
        return target

    def _inside(self, key: str) -> Path:
        target = (self._root / key).resolve()
        if not target.is_relative_to(self._root):
            raise ValueError(f"{key!r} is outside the storage folder")
        return target


@cache
def storage() -> Storage:
    """The storage of the settings."""
    url = urlsplit(settings().storage_url)
    return Folder(Path(unquote(url.path)))
