"""Storage: where artefacts live. `STORAGE_URL` says which; a folder shared by web and workers is what there is.

A key is written once and never changed: it carries the attempt, so a stale attempt cannot overwrite the result of the
one that counts. Keys are paths: `<job>/<attempt>/<n>` is what a job made, `uploads/<user>/<upload>` what a user
brought along.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
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

    def delete(self, key: str) -> None:
        """Delete the file. One that is not there has been deleted already."""
        ...

    def delete_all(self, prefix: str) -> None:
        """Delete every file whose key begins with `prefix` and a slash, such as all that one job made."""
        ...

    def older_than(self, prefix: str, *, seconds: float) -> Iterator[str]:
        """The keys under `prefix` and a slash that were written at least so many seconds ago."""
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

    def delete(self, key: str) -> None:
        # Empty folders stay: taking one away could take it from under somebody who is about to write there.
        self._inside(key).unlink(missing_ok=True)

    def delete_all(self, prefix: str) -> None:
        shutil.rmtree(self._inside(prefix), ignore_errors=True)
        if self._inside(prefix).exists():
            # Somebody wrote there meanwhile, or may not be deleted: the second time says which.
            shutil.rmtree(self._inside(prefix))

    def older_than(self, prefix: str, *, seconds: float) -> Iterator[str]:
        limit = time.time() - seconds
        for folder, _, names in os.walk(self._inside(prefix)):
            for name in names:
                file = Path(folder, name)
                try:
                    written = file.stat().st_mtime
                except FileNotFoundError:
                    continue
                if written <= limit:
                    yield file.relative_to(self._root).as_posix()

    def _inside(self, key: str) -> Path:
        target = (self._root / key).resolve()
        if target == self._root or not target.is_relative_to(self._root):
            raise ValueError(f"{key!r} is not inside the storage folder")
        return target


@cache
def storage() -> Storage:
    """The storage of the settings."""
    url = urlsplit(settings().storage_url)
    return Folder(Path(unquote(url.path)))
