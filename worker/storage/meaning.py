"""What a storage is, whichever there is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Protocol

ANYTHING = "application/octet-stream"
"""The media type of bytes of which nothing is known."""


class StorageUnavailable(OSError):
    """The storage did not do it, now: it is away, full, slow, or does not let us. Its message has no secret in it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A stored file, to be read from any place; whoever asked for it closes it. `size` is in bytes."""

    file: IO[bytes]
    size: int


class Storage(Protocol):
    """Each verb may raise `StorageUnavailable`, after a bounded time, and `ValueError` for a key that leads outside."""

    def put(self, key: str, data: bytes, *, media_type: str = ANYTHING) -> None:
        """Store `data` under `key`; when it returns, the data is there for good and whole."""
        ...

    def read(self, key: str) -> bytes:
        """All of a file. Raises `FileNotFoundError`."""
        ...

    def open(self, key: str) -> Opened:
        """A file, of which only what is read is fetched. Raises `FileNotFoundError`."""
        ...

    def link(self, key: str, *, seconds: int, method: str, media_type: str, name: str) -> str | None:
        """An address where whoever has it gets the file from the storage itself for so many seconds, by `method` GET
        or HEAD, as an attachment called `name`. None where the storage hands nothing out. Asks nobody whether it is
        there."""
        ...

    def delete(self, *keys: str) -> None:
        """Delete files. One that is not there has been deleted already."""
        ...

    def delete_all(self, prefix: str) -> None:
        """Delete every file whose key begins with `prefix` and a slash, such as all that one job made."""
        ...

    def older_than(self, prefix: str | None, *, seconds: float) -> Iterator[str]:
        """The keys under `prefix` and a slash, or (None) all there are, written at least so many seconds ago."""
        ...
