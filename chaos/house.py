"""The house under chaos: real processes that can be killed, frozen and restarted, and that come back.

It starts what `make up` starts, from the same descriptions. One thread and one loop (`tick`) do all of it, because the
kernel ties a child to the thread that started it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from ops.processes import tie_to_us
from ops.service import Service

TICK_SECONDS = 0.05
START_SECONDS = 60.0
STOP_SECONDS = 30.0
"""How long an orderly stop may take. Jobs here run for two seconds; what takes longer hangs."""

RESTART_SECONDS = 0.5
"""Until a process that died without our doing is started again."""

PROBED = ("web", "broker")
"""Those whose outage lasts until they answer; that of the others until they run."""

DIED = "died"
"""What is said of an outage that was not our doing: a job may kill its worker."""


class StartFailed(Exception):
    """A service did not become ready; the message says which, and where its log is."""


@dataclass(slots=True)
class Outage:
    """A time in which a process was not, or not wholly, there. `until` is when it was ready again."""

    target: str
    what: str
    at: float
    until: float | None = None

    def covers(self, since: float, until: float, *, slack: float = 0.0) -> bool:
        return self.at <= until and (self.until is None or since <= self.until + slack)


@dataclass(slots=True)
class Child:
    service: Service
    log: Path
    process: subprocess.Popen[bytes]
    restart_at: float | None = None
    down_for: float = 0.0
    resume_at: float | None = None
    kill_at: float | None = None
    outage: Outage | None = None
    due: bool = False
    """Whether its death is our doing."""

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    @property
    def untouched(self) -> bool:
        """Whether it runs and nothing is being done to it."""
        return self.alive and self.resume_at is None and self.restart_at is None and not self.due


@dataclass(slots=True)
class House:
    """All processes of a run; a context manager that kills whatever is left. `outages` is what happened to them.

    `natural` says whether a death that was not our doing is part of the plan; it gets the name and the exit code.
    """

    logs: Path
    cwd: Path
    natural: Callable[[str, int], bool]
    outages: list[Outage] = field(default_factory=list)
    surprises: list[str] = field(default_factory=list)
    """Deaths nobody caused, and stops that hung."""
    deaths: dict[str, int] = field(default_factory=dict)
    """Natural deaths by name."""
    _children: dict[str, Child] = field(default_factory=dict)
    _diary: TextIO = field(init=False)

    def __enter__(self) -> House:
        self.logs.mkdir(parents=True, exist_ok=True)
        self._diary = (self.logs / "diary.txt").open("a", buffering=1)
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            _signal_group(child.process, signal.SIGKILL)
        for child in self._children.values():
            child.process.wait(10)
        self._diary.close()

    def start(self, *services: Service) -> None:
        """Start services together and wait until all are ready. Raises `StartFailed`."""
        for service in services:
            log = self.logs / f"{service.name}.log"
            self._children[service.name] = Child(service, log, self._spawn(service, log))
        deadline = time.monotonic() + START_SECONDS
        for service in services:
            child = self._children[service.name]
            while not service.ready():
                if not child.alive or time.monotonic() > deadline:
                    raise StartFailed(f"{service.name} did not become ready; its log is {child.log}")
                time.sleep(TICK_SECONDS)

    def tick(self) -> None:
        """Do what is due: wake the frozen, start the dead again, kill what does not stop. Then sleep a little."""
        now = time.monotonic()
        for child in self._children.values():
            if child.resume_at is not None and now >= child.resume_at:
                self._resume(child)
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._start_again(child)
            elif not child.alive:
                self._note_death(child)
            elif child.kill_at is not None and now >= child.kill_at:
                self.surprises.append(f"{child.service.name} did not stop within {STOP_SECONDS:g} s of SIGTERM")
                child.kill_at = None
                _signal_group(child.process, signal.SIGKILL)
            elif child.outage is not None and child.untouched and self._is_back(child):
                child.outage.until = time.monotonic()
                child.outage = None
                self.note(f"{child.service.name} is back")
        time.sleep(TICK_SECONDS)

    def quiet(self) -> bool:
        """Whether every process runs and nothing is being done to any."""
        return all(child.untouched and child.outage is None for child in self._children.values())

    # -- the faults; each says whether it could be done

    def kill(self, name: str, down_for: float) -> bool:
        """SIGKILL it and all its children; it is started again `down_for` seconds later. Also when it is frozen."""
        child = self._children[name]
        if not child.alive or child.due:
            return False
        self._goes_away(child, "killed", down_for)
        _signal_group(child.process, signal.SIGKILL)
        return True

    def terminate(self, name: str, down_for: float) -> bool:
        """SIGTERM it, and start a new one `down_for` seconds after it has stopped."""
        child = self._children[name]
        if not child.untouched:
            return False
        self._goes_away(child, "restarted", down_for)
        child.kill_at = time.monotonic() + STOP_SECONDS
        child.process.terminate()
        return True

    def freeze(self, name: str, seconds: float) -> bool:
        """SIGSTOP it and all its children, and wake them after `seconds`."""
        child = self._children[name]
        if not child.untouched:
            return False
        self._suffers(child, "frozen")
        child.resume_at = time.monotonic() + seconds
        _signal_group(child.process, signal.SIGSTOP)
        return True

    def kill_part(self, name: str, choose: Callable[[Sequence[int]], int]) -> bool:
        """SIGKILL one of its children, which it has to replace itself."""
        child = self._children[name]
        parts = _children_of(child.process.pid) if child.untouched else []
        if not parts:
            return False
        self._suffers(child, "lost a part")
        with contextlib.suppress(ProcessLookupError):
            os.kill(choose(parts), signal.SIGKILL)
        return True

    def note(self, what: str) -> None:
        """Write a line with the time in the diary, to be read beside the logs."""
        self._diary.write(f"{datetime.now(UTC):%H:%M:%S.%f} {what}\n")

    # -- beneath

    def _is_back(self, child: Child) -> bool:
        # A worker answers through the broker, and to wait for that here would hold up everything else.
        return child.service.name not in PROBED or child.service.ready()

    def _goes_away(self, child: Child, what: str, down_for: float) -> None:
        self._suffers(child, what)
        child.due = True
        child.down_for = down_for
        child.resume_at = None

    def _suffers(self, child: Child, what: str) -> None:
        self.note(f"{child.service.name} {what}")
        if child.outage is None:
            child.outage = Outage(child.service.name, what, time.monotonic())
            self.outages.append(child.outage)
        else:
            child.outage.what += f", {what}"

    def _resume(self, child: Child) -> None:
        child.resume_at = None
        _signal_group(child.process, signal.SIGCONT)

    def _note_death(self, child: Child) -> None:
        name, code = child.service.name, child.process.returncode
        if not child.due:
            self._suffers(child, DIED)
            child.down_for = RESTART_SECONDS
            if self.natural(name, code):
                self.deaths[name] = self.deaths.get(name, 0) + 1
            else:
                self.surprises.append(f"{name} ended by itself, with exit code {code}")
        _signal_group(child.process, signal.SIGKILL)  # what it forked may still hold its port
        child.kill_at = child.resume_at = None
        child.restart_at = time.monotonic() + child.down_for

    def _start_again(self, child: Child) -> None:
        child.restart_at = None
        child.due = False
        child.process = self._spawn(child.service, child.log)

    def _spawn(self, service: Service, log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(
                service.argv,
                cwd=self.cwd,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **service.env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=tie_to_us(signal.SIGKILL),
            )


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a child and what it forked; each child leads a group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _children_of(pid: int) -> list[int]:
    """The child processes of a process; none where there is no /proc."""
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
