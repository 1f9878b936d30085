"""The supervisor of `make up`, with tiny children: each test runs it as a program of its own and reads what it says."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0

CHILD = """
import signal, sys, time
from pathlib import Path

name, folder, stubborn = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]

def note(event):
    with (folder / "events").open("a") as events:
        events.write(f"{event} {name}\\n")

def leave(*_):
    note("stop")
    sys.exit()

signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else leave)
print("hello from", name)
note("start")
(folder / f"{name}.pid").write_text(str(__import__("os").getpid()))
(folder / f"{name}.ready").touch()
while True:
    time.sleep(0.02)
"""

SUPERVISOR = """
import signal, sys
from pathlib import Path
from ops.console import Console
from ops.processes import Patience, StartFailed, StopRequested, Supervisor
from ops.service import Service, StopStep

folder, child, *names = sys.argv[1:]
folder = Path(folder)

def service(name):
    argv = (sys.executable, child, name, str(folder))
    if name == "broken":
        argv = (sys.executable, "-c", "print('no such table'); raise SystemExit(3)")
    if name == "stubborn":
        argv += ("stubborn",)
    return Service(
        name=name,
        argv=argv,
        ready=(folder / f"{name}.ready").exists,
        stop=(StopStep(signal.SIGTERM, 0.3), StopStep(signal.SIGCONT, 0.3)),
    )

stop_order = [["web"], ["one", "two"], ["broker"]]
patience = Patience(ready=10, restart=0.05)
with Supervisor(Console(names), logs=folder / "logs", cwd=folder, stop_order=stop_order, patience=patience) as house:
    try:
        first, *others = map(service, names)
        house.start(first)
        house.start(*others)
        print("ALL UP", flush=True)
        house.watch()
    except StopRequested:
        pass
    except StartFailed as failure:
        print(failure)
        sys.exit(1)
print("ALL DOWN", flush=True)
"""


def until(condition: Callable[[], object], what: str) -> None:
    """Poll until `condition` holds; fail, naming `what`, if it does not in time."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s for: {what}"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    """Whether the process has ended; a zombie that nobody collects here has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class House:
    """A running supervisor and the folder its children write to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        (folder / "child.py").write_text(textwrap.dedent(CHILD))
        (folder / "supervisor.py").write_text(textwrap.dedent(SUPERVISOR))

    def run(self, *names: str) -> subprocess.Popen[bytes]:
        with (self.folder / "output").open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, self.folder / "supervisor.py", self.folder, self.folder / "child.py", *names],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._processes.append(process)
        return process

    def up(self, *names: str) -> subprocess.Popen[bytes]:
        process = self.run(*names)
        until(lambda: "ALL UP" in self.output, f"{names} to be up")
        return process

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    @property
    def events(self) -> list[str]:
        return (self.folder / "events").read_text().splitlines()

    def pid(self, name: str) -> int:
        return int((self.folder / f"{name}.pid").read_text() or 0)

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        for file in self.folder.glob("*.pid"):
            if not gone(pid := int(file.read_text())):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    house.close()


def test_starts_side_by_side_what_was_given_together_and_stops_in_the_given_order(house: House) -> None:
    supervisor = house.up("broker", "web", "one", "two")
    assert house.events[0] == "start broker", "it was ready before the others began"
    assert set(house.events[1:]) == {"start web", "start one", "start two"}
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(PATIENCE) == 0
    stops = house.events[4:]
    assert stops[0] == "stop web"
    assert set(stops[1:3]) == {"stop one", "stop two"}
    assert stops[3:] == ["stop broker"]
    assert "ALL DOWN" in house.output


def test_sigterm_stops_as_ctrl_c_does(house: House) -> None:
    supervisor = house.up("broker")
    supervisor.terminate()
    assert supervisor.wait(PATIENCE) == 0
    assert house.events == ["start broker", "stop broker"]


def test_output_has_the_name_in_front_and_is_in_the_log(house: House) -> None:
    supervisor = house.up("broker", "web")
    until(lambda: "hello from web" in house.output, "the child's line")
    assert "broker | hello from broker" in house.output
    assert "web    | hello from web" in house.output
    assert (house.folder / "logs" / "web.log").read_text() == "hello from web\n"
    assert "\x1b" not in house.output, "colours belong on terminals only"
    supervisor.terminate()


def test_a_child_that_dies_is_started_again_and_said_so(house: House) -> None:
    house.up("broker", "web")
    died = house.pid("web")
    os.kill(died, signal.SIGKILL)
    until(lambda: house.events.count("start web") == 2, "web to start again")
    until(lambda: "web: ready again" in house.output, "web to be ready again")
    assert "web died (signal SIGKILL); starting it again in 0.05 s" in house.output
    assert house.events.count("start broker") == 1, "the others are left alone"
    assert house.pid("web") != died


def test_a_child_that_ignores_its_signals_is_killed_when_its_grace_is_over(house: House) -> None:
    supervisor = house.up("broker", "stubborn")
    supervisor.terminate()
    assert supervisor.wait(PATIENCE) == 0
    assert gone(house.pid("stubborn"))
    assert "stubborn is still running; sending it SIGCONT" in house.output
    assert "stubborn did not stop in time; killing it" in house.output
    assert house.events[-1] == "stop broker", "the broker still goes last and in order"


def test_a_service_that_cannot_start_is_told_with_its_last_words_and_the_rest_is_stopped(house: House) -> None:
    supervisor = house.run("broker", "broken", "web")
    assert supervisor.wait(PATIENCE) == 1
    assert "broken ended before it was ready (exit 3)" in house.output
    assert "no such table" in house.output
    assert house.events == ["start broker", "stop broker"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties children to their parent")
def test_children_do_not_outlive_a_supervisor_that_is_killed(house: House) -> None:
    supervisor = house.up("broker", "web")
    supervisor.kill()
    supervisor.wait(PATIENCE)
    until(lambda: gone(house.pid("broker")) and gone(house.pid("web")), "the children to end")


def test_it_stops_in_order_when_nobody_reads_its_output_any_more(house: House) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, house.folder / "supervisor.py", house.folder, house.folder / "child.py", "broker", "web"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert supervisor.stdout
    until(lambda: (house.folder / "web.ready").exists(), "web to be up")
    supervisor.stdout.close()
    supervisor.terminate()
    assert supervisor.wait(PATIENCE) == 0
    assert house.events[-2:] == ["stop web", "stop broker"]
