"""Child processes: started in order, watched, started again when they die, stopped in order.

One thread and one loop do it all. That is not only simpler: the kernel ties a child to the *thread* that started it
(see `tie_to_us`), and starting a process from a program with threads is delicate.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from types import FrameType, TracebackType
from typing import Self

from ops.console import Console, Log
from ops.service import Service

TICK_SECONDS = 0.1
"""How often output is forwarded and probes are tried; signals and deaths are noticed at once."""

HURRIED_GRACE = 2.0
"""Seconds each step of stopping may still take after a second Ctrl-C."""

ECHO_SECONDS = 1.0
"""A second signal sooner than this is the first one's echo: `make` passes on a SIGTERM that a process manager may
also have sent to the whole group."""

TAIL_LINES = 25


class StartFailed(Exception):
    """A service did not become ready; the message says which, why, and ends with its last lines."""


class StopRequested(Exception):
    """Ctrl-C, SIGTERM, or the terminal was closed."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: until a first start counts as failed; and before a dead child is started again, doubling up to a cap."""

    ready: float = 180
    restart: float = 1
    restart_most: float = 30
    forgiven: float = 60
    """After this long alive and ready, earlier deaths no longer count."""


@dataclass(slots=True)
class _Child:
    service: Service
    log: Log
    process: subprocess.Popen[bytes]
    started: float
    ready: bool = False
    deaths: int = 0
    restart_at: float | None = None

    @property
    def alive(self) -> bool:
        return self.process.poll() is None


class Supervisor:
    """Runs services; a context manager that owns the process's signals and stops what is left on the way out.

    `stop_order` lists groups of names: the groups stop one after the other, the members of one together.
    """

    def __init__(
        self,
        console: Console,
        *,
        logs: Path,
        cwd: Path,
        stop_order: Sequence[Sequence[str]],
        patience: Patience | None = None,
    ) -> None:
        self._console = console
        self._logs = logs
        self._cwd = cwd
        self._stop_order = stop_order
        self._patience = patience or Patience()
        self._children: dict[str, _Child] = {}
        self._requested_at: float | None = None
        self._hurry = False
        self._said_stop = self._said_hurry = False

    def __enter__(self) -> Self:
        self._wake, wake_end = socket.socketpair()
        self._wake.setblocking(False)
        wake_end.setblocking(False)
        self._wake_end = wake_end
        self._old_wakeup = signal.set_wakeup_fd(wake_end.fileno(), warn_on_full_buffer=False)
        self._old_handlers = {signal.SIGCHLD: signal.signal(signal.SIGCHLD, _only_wake)}
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                continue  # started with nohup: the terminal may go
            self._old_handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            signal.set_wakeup_fd(self._old_wakeup)
            for number, handler in self._old_handlers.items():
                signal.signal(number, handler)
            self._wake.close()
            self._wake_end.close()

    def run_once(self, name: str, argv: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        """Run a command to its end, its output only in its log. Raises `StartFailed` with the output if it fails."""
        log = Log(self._logs / f"{name}.log")
        began = time.monotonic()
        process = self._spawn(argv, env or {}, log, signal.SIGTERM)
        try:
            while process.poll() is None:
                self._sleep()
                self._raise_if_asked_to_stop()
            output = list(log.new_lines(last=True))[-4 * TAIL_LINES :]
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
            log.close()
        if process.returncode != 0:
            raise StartFailed("\n".join([f"{name} failed ({_ending(process.returncode)}):", *output]))
        self._console.say(f"{name}: done ({time.monotonic() - began:.1f} s)", colour=32)

    def start(self, *services: Service) -> None:
        """Start services side by side and return once all are ready. Raises `StartFailed`, `StopRequested`."""
        new = [self._begin(service) for service in services]
        while coming := [child for child in new if not child.ready]:
            self._raise_if_asked_to_stop()
            self._sleep()
            for child in coming:
                self._see_in(child)
            self._look_after(child for child in self._children.values() if child not in coming)

    def watch(self) -> None:
        """Forward output and restart what dies, until asked to stop; then raises `StopRequested`."""
        while True:
            self._raise_if_asked_to_stop()
            self._sleep()
            self._look_after(self._children.values())

    def stop(self) -> None:
        """Stop every child, in the given order: its steps, then SIGKILL to its group. Returns when all are gone."""
        listed = {name for names in self._stop_order for name in names}
        for names in ([name for name in self._children if name not in listed], *self._stop_order):
            self._stop_together([self._children[name] for name in names if name in self._children])

    # -- starting and watching

    def _begin(self, service: Service) -> _Child:
        log = Log(self._logs / f"{service.name}.log")
        process = self._spawn(service.argv, service.env, log, service.orphan_signal)
        child = self._children[service.name] = _Child(service, log, process, started=time.monotonic())
        return child

    def _see_in(self, child: _Child) -> None:
        """Look whether a child that was just begun is ready; one that never will be ends the start."""
        name, waited = child.service.name, time.monotonic() - child.started
        self._forward(child)
        if not child.alive:
            why = _ending(child.process.returncode)
            del self._children[name]
            _kill_group(child.process)
            raise StartFailed(self._last_words(child, f"{name} ended before it was ready ({why})"))
        if waited > self._patience.ready:
            raise StartFailed(self._last_words(child, f"{name} was not ready within {self._patience.ready:g} s"))
        child.ready = child.service.ready()
        if child.ready:
            self._console.say(f"{name}: ready ({time.monotonic() - child.started:.1f} s)", colour=32)

    def _spawn(self, argv: Sequence[str], env: Mapping[str, str], log: Log, orphan: Signals) -> subprocess.Popen[bytes]:
        writer = log.writer()
        try:
            return subprocess.Popen(
                argv,
                cwd=self._cwd,
                # Without PYTHONUNBUFFERED a child's last lines before a crash would stay in its buffer.
                env={**os.environ, "PYTHONUNBUFFERED": "1", **env},
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                # Its own session: the terminal's Ctrl-C reaches only us, who stop the children in order.
                start_new_session=True,
                preexec_fn=tie_to_us(orphan),
            )
        except OSError as error:
            raise StartFailed(f"{argv[0]} cannot be run: {error.strerror}") from None
        finally:
            os.close(writer)

    def _look_after(self, children: Iterable[_Child]) -> None:
        now = time.monotonic()
        for child in list(children):
            self._forward(child)
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._start_again(child)
            elif not child.alive:
                self._plan_restart(child)
            elif not child.ready:
                child.ready = child.service.ready()
                if child.ready:
                    self._console.say(f"{child.service.name}: ready again", colour=32)
            elif child.deaths and now > child.started + self._patience.forgiven:
                child.deaths = 0

    def _forward(self, child: _Child) -> None:
        for line in child.log.new_lines(last=not child.alive):
            self._console.child(child.service.name, line)

    def _plan_restart(self, child: _Child) -> None:
        _kill_group(child.process)  # what it forked may still hold its port
        wait = min(self._patience.restart * 2**child.deaths, self._patience.restart_most)
        child.deaths += 1
        child.ready = False
        child.restart_at = time.monotonic() + wait
        ending = _ending(child.process.returncode)
        self._console.complain(f"{child.service.name} died ({ending}); starting it again in {wait:g} s")

    def _start_again(self, child: _Child) -> None:
        service = child.service
        child.restart_at = None
        child.started = time.monotonic()
        child.process = self._spawn(service.argv, service.env, child.log, service.orphan_signal)

    def _last_words(self, child: _Child, why: str) -> str:
        name = child.service.name
        where = f"The last lines of {child.log.path}:"
        return "\n".join([f"{why}. {where}", *(f"  {name} | {line}" for line in child.log.tail(TAIL_LINES))])

    # -- stopping

    def _stop_together(self, children: list[_Child]) -> None:
        began = time.monotonic()
        at_step = dict.fromkeys((child.service.name for child in children), -1)
        deadline = dict.fromkeys(at_step, began)
        left = list(children)
        while left:
            now = time.monotonic()
            for child in self._children.values():
                self._forward(child)
            for child in list(left):
                name = child.service.name
                if not child.alive:
                    left.remove(child)
                    self._see_off(child, began)
                elif self._hurry and deadline[name] > now + HURRIED_GRACE:
                    deadline[name] = now + HURRIED_GRACE
                elif now >= deadline[name]:
                    at_step[name] += 1
                    deadline[name] = now + self._step(child, at_step[name])
            if left:
                self._sleep()

    def _step(self, child: _Child, number: int) -> float:
        """Do the stop step of that number, or kill when there are no more; returns how long to wait, in seconds."""
        name, steps = child.service.name, child.service.stop
        if number >= len(steps):
            self._console.complain(f"{name} did not stop in time; killing it")
            _kill_group(child.process)
            return 1
        step = steps[number]
        if number:
            self._console.complain(f"{name} is still running; sending it {step.signal.name}")
        child.process.send_signal(step.signal)
        return min(step.grace, HURRIED_GRACE) if self._hurry else step.grace

    def _see_off(self, child: _Child, began: float) -> None:
        _kill_group(child.process)
        self._forward(child)
        child.log.close()
        del self._children[child.service.name]
        if child.restart_at is None:
            self._console.say(f"{child.service.name}: stopped ({time.monotonic() - began:.1f} s)")

    # -- signals

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        # Only noted here and said in `_sleep`: a handler may run in the middle of another print.
        now = time.monotonic()
        if self._requested_at is None:
            self._requested_at = now
        elif now > self._requested_at + ECHO_SECONDS:
            self._hurry = True

    def _say_what_was_asked(self) -> None:
        if self._requested_at is not None and not self._said_stop:
            self._said_stop = True
            self._console.say("\nStopping, in order; jobs that run get time to finish. Ctrl-C again hurries.")
        if self._hurry and not self._said_hurry:
            self._said_hurry = True
            self._console.complain(f"Hurrying: at most {HURRIED_GRACE:g} s a step; what is cut short runs again later.")

    def _raise_if_asked_to_stop(self) -> None:
        if self._requested_at is not None:
            raise StopRequested

    def _sleep(self) -> None:
        """Wait for one tick, or less when a signal comes or a child dies."""
        readable, _, _ = select.select([self._wake], [], [], TICK_SECONDS)
        if readable:
            with contextlib.suppress(BlockingIOError):
                self._wake.recv(4096)
        self._say_what_was_asked()


def _only_wake(_number: int, _frame: FrameType | None) -> None:
    """Handle SIGCHLD: a handler has to exist for the wake-up socket to be written."""


def _ending(returncode: int) -> str:
    if returncode < 0:
        try:
            return f"signal {Signals(-returncode).name}"
        except ValueError:
            return f"signal {-returncode}"
    return f"exit {returncode}"


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill the child and whatever it forked; each child leads its own group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def tie_to_us(orphan: Signals) -> Callable[[], None] | None:
    """What a child does before it becomes its program: ask the kernel for `orphan` when the supervisor dies.

    Otherwise a supervisor that was killed with SIGKILL would leave servers behind on their ports, with nobody to stop
    or restart them. Only Linux can; elsewhere nothing is done.
    """
    if _LIBC is None:
        return None
    parent = os.getpid()

    def tie() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, orphan)
        if os.getppid() != parent:  # it died between the fork and the line above
            os.kill(os.getpid(), signal.SIGKILL)

    return tie


_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
