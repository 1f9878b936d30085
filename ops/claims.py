"""What `make up` must have to itself: its ports and its state folder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from ops.service import local


class Taken(Exception):
    """Something else uses what we need; the message says what, and what to do."""


def claim_ports(ports: Mapping[str, tuple[str, int]]) -> None:
    """Check that each port is free; `ports` maps a variable's name to (host, port). Raises `Taken`, naming all."""
    faults = []
    seen: dict[int, str] = {}
    for variable, (host, port) in ports.items():
        if port in seen:
            faults.append(f"Port {port} is wanted twice: give {seen[port]} and {variable} different values.")
            continue
        seen[port] = variable
        if fault := _fault(variable, host, port):
            faults.append(fault)
    if faults:
        raise Taken("\n".join(faults))


def _fault(variable: str, host: str, port: int) -> str | None:
    taken = f"Port {port} is taken: stop what uses it or set {variable}."
    try:
        with socket.create_connection((local(host), port), timeout=0.5):
            return taken
    except OSError:
        pass  # nobody listens, as it should be
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            # As servers do it: without this, connections of the last run that still linger would count as taken.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return taken
        return f"Port {port} on {host} cannot be used ({error.strerror}): check HOST and {variable}."
    return None


@contextmanager
def claim_folder(home: Path) -> Iterator[None]:
    """Hold the state folder for this process. Raises `Taken` if another one has it. The kernel lets go if we die."""
    with (home / "up.lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise Taken(
                f"Coinop is already running with the state folder {home} (process {holder}): "
                "stop it or set COINOP_HOME."
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
