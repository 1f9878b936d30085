"""A folder on this machine, or on a volume that all processes mount."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worker.storage.meaning import ANYTHING, Opened, StorageUnavailable

TRIES = 10
"""How often a file is begun anew after somebody took its folder away as being empty."""


class Folder:
    """Each file is one below `root`, at the path that its key is."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def put(self, key: str, data: bytes, *, media_type: str = ANYTHING) -> None:
        target = self._inside(key)
        with _disk(looking=False):
            file, aside = _begin(target.parent)
            # Written aside and renamed, so that nobody ever sees half a file.
            try:
                with os.fdopen(file, "wb") as stream:
                    stream.write(data)
                    stream.flush()
                    os.fsync(stream.fileno())
                aside.replace(target)
            except BaseException:
                aside.unlink(missing_ok=True)
                raise

    def read(self, key: str) -> bytes:
        target = self._inside(key)
        with _disk():
            return target.read_bytes()

    def open(self, key: str) -> Opened:
        target = self._inside(key)
        with _disk():
            file = target.open("rb")
            return Opened(file, os.fstat(file.fileno()).st_size)

    def link(self, key: str, *, seconds: int, method: str, media_type: str, name: str) -> None:
        """A folder hands nothing out."""

    def delete(self, *keys: str) -> None:
        for target in [self._inside(key) for key in keys]:
            with _disk():
                target.unlink(missing_ok=True)
                self._tidy(target.parent)

    def delete_all(self, prefix: str) -> None:
        target = self._inside(prefix)
        shutil.rmtree(target, ignore_errors=True)
        with _disk():
            if target.exists():
                # Somebody wrote there meanwhile, or may not be deleted: the second time says which.
                shutil.rmtree(target)

    def older_than(self, prefix: str | None, *, seconds: float) -> Iterator[str]:
        limit = time.time() - seconds
        for file in _files(self._root if prefix is None else self._inside(prefix)):
            try:
                written = file.stat().st_mtime
            except FileNotFoundError:
                continue
            if written <= limit:
                yield Path(file).relative_to(self._root).as_posix()

    def _inside(self, key: str) -> Path:
        target = (self._root / key).resolve()
        if target == self._root or not target.is_relative_to(self._root):
            raise ValueError(f"{key!r} is not inside the storage folder")
        return target

    def _tidy(self, folder: Path) -> None:
        """Take away folders that are empty now. Whoever is about to write there makes them again."""
        while folder != self._root:
            try:
                folder.rmdir()
            except OSError:
                return
            folder = folder.parent


def _begin(folder: Path) -> tuple[int, Path]:
    """A new file, open, in a folder that is made if it is not there."""
    left = TRIES
    while True:
        left -= 1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file, name = tempfile.mkstemp(dir=folder)
        except (FileNotFoundError, FileExistsError):  # it, or one above it, was there for a moment
            if not left:
                raise
        else:
            return file, Path(name)


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Every file below, one folder at a time: there may be more than fit into memory."""
    try:
        entries = os.scandir(folder)
    except OSError:  # taken away meanwhile; or not ours to read, as a volume's lost+found
        return
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(Path(entry))
            else:
                yield entry


@contextmanager
def _disk(*, looking: bool = True) -> Iterator[None]:
    """What the disk refuses is told as what it means here: that it cannot be done, or for who is `looking` for a file,
    that there is none."""
    try:
        yield
    except OSError as error:
        if looking and isinstance(error, (FileNotFoundError, IsADirectoryError, NotADirectoryError)):
            raise FileNotFoundError("There is no such file.") from None
        raise StorageUnavailable(f"The disk refused: {errno.errorcode.get(error.errno or 0, 'unknown')}.") from error
