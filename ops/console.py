"""What the terminal shows: our own lines, and the children's with a short name in front; and the files behind them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import rich.console

LARGEST_LOG = 10 * 1024 * 1024
"""Bytes. A longer log is moved aside to `<name>.log.1`, over the one moved aside before."""

_LONGEST_LINE = 64 * 1024
_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)


class Console:
    """One line at a time to a terminal or a pipe. A reader that has gone away is no reason to fail."""

    def __init__(self, names: Iterable[str], stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout
        names = list(names)
        self._width = max((len(name) for name in names), default=0)
        self._colours = {name: _COLOURS[at % len(_COLOURS)] for at, name in enumerate(names)}
        self.is_terminal = self._stream.isatty()
        self._coloured = rich.console.Console(file=self._stream).color_system is not None  # it knows NO_COLOR and TERM

    def say(self, text: str, *, colour: int | None = None) -> None:
        """Print a line of our own; `colour` is an ANSI foreground, used only where the reader shows colours."""
        self._write(f"\x1b[{colour}m{text}\x1b[0m" if colour and self._coloured else text)

    def complain(self, text: str) -> None:
        self.say(text, colour=31)

    def child(self, name: str, line: str) -> None:
        """Print a line of the child's output after its name."""
        prefix = f"{name:<{self._width}} |"
        if self._coloured:
            prefix = f"\x1b[{self._colours.get(name, 37)}m{prefix}\x1b[0m"
        self._write(f"{prefix} {line}")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text + "\n")
            self._stream.flush()
        except OSError:
            # The terminal was closed or the pipe's reader left. What runs must still be stopped in order, so go on
            # writing, into nothing.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())


class Log:
    """A child's log file, read as it grows.

    Children write straight to the file rather than through a pipe of ours: a terminal paused with Ctrl-S, or a
    supervisor that is killed, then never blocks them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._rotate_if_large()
        self._reader = path.open("rb")
        self._reader.seek(0, os.SEEK_END)
        self._rest = b""

    def writer(self) -> int:
        """A new file descriptor that appends, for a child's output. The caller closes it."""
        return os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def new_lines(self, *, last: bool = False) -> list[str]:
        """The lines added since the last call; with `last`, also one without its newline."""
        self._rest += self._reader.read()
        *lines, self._rest = self._rest.split(b"\n")
        if self._rest and (last or len(self._rest) > _LONGEST_LINE):
            lines.append(self._rest)
            self._rest = b""
        if self._reader.tell() > LARGEST_LOG:
            self._rotate_if_large()
            self._reader.seek(0)
        return [line.decode(errors="replace").rstrip("\r") for line in lines]

    def tail(self, count: int) -> list[str]:
        """The last `count` lines in the file."""
        with self.path.open("rb") as file:
            file.seek(max(0, self.path.stat().st_size - count * 500))
            return file.read().decode(errors="replace").splitlines()[-count:]

    def close(self) -> None:
        self._reader.close()

    def _rotate_if_large(self) -> None:
        if self.path.stat().st_size > LARGEST_LOG:
            # Copied and cut rather than renamed, as children hold the file open; they append, so the next line goes
            # to the new start. A line written between the two calls is lost: this log is a convenience.
            shutil.copyfile(self.path, self.path.with_name(self.path.name + ".1"))
            os.truncate(self.path, 0)
