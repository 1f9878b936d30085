"""A RabbitMQ of our own: the system's programs, with a folder and ports that nobody else has."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from kombu import Connection

from ops.embedded import free_port

START_SECONDS = 60.0

VIRTUAL_HOST = "coinop"

PLACES = "/usr/lib/rabbitmq/bin:/usr/lib/rabbitmq/sbin:/usr/local/sbin:/opt/rabbitmq/sbin"
"""Where it may be beside PATH. First, as what Debian has on PATH runs as a user of its own, and nowhere else."""


def _program(name: str) -> str:
    return shutil.which(name, path=PLACES) or shutil.which(name) or ""


def missing() -> str:
    """What this machine lacks to run one, or nothing."""
    return ", ".join(name for name in ("rabbitmq-server", "rabbitmqctl", "epmd") if not _program(name))


@dataclass
class RabbitMQ:
    """One node; `start`, `stop` and `kill` may be called again and again, and what is in its queues stays."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _names: subprocess.Popen[bytes] | None = None
    _names_port: int = field(default_factory=free_port)
    _distribution_port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{VIRTUAL_HOST}"

    def start(self) -> None:
        (self.folder / "plugins").write_text("[].")
        if self._names is None:
            # RabbitMQ would start one by itself, and leave it behind.
            self._names = subprocess.Popen(
                [_program("epmd"), "-address", "127.0.0.1", "-port", str(self._names_port)], env=self._environment()
            )
        with (self.folder / "output.log").open("ab") as output:
            self.process = subprocess.Popen(
                [_program("rabbitmq-server")], env=self._environment(), cwd=self.folder,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            log = (self.folder / "output.log").read_text()[-4_000:]
            assert self.process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.1)

    def add_virtual_host(self) -> None:
        """Where the tests live: whatever says nothing else is a quorum queue here."""
        self.control("add_vhost", VIRTUAL_HOST, "--default-queue-type", "quorum")
        self.control("set_permissions", "--vhost", VIRTUAL_HOST, "guest", ".*", ".*", ".*")

    def stop(self) -> None:
        """In order: what clients have in hand is back in its queue."""
        assert self.process is not None
        self.process.terminate()
        self.process.wait(START_SECONDS)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(START_SECONDS)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It has its connections, and says nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def control(self, *words: str) -> str:
        """What rabbitmqctl says to this."""
        told = subprocess.run(
            [_program("rabbitmqctl"), "--node", self._node, "--quiet", *words], env=self._environment(),
            capture_output=True, text=True, timeout=START_SECONDS, check=False,
        )  # fmt: skip
        assert told.returncode == 0, told.stdout + told.stderr
        return told.stdout

    def close(self) -> None:
        for process in (self.process, self._names):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait(START_SECONDS)

    @property
    def _node(self) -> str:
        return f"coinop{self.port}@localhost"

    def _environment(self) -> dict[str, str]:
        ours = {
            "HOME": self.folder,
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self.port,
            "RABBITMQ_DIST_PORT": self._distribution_port,
            "RABBITMQ_MNESIA_BASE": self.folder / "data",
            "RABBITMQ_LOG_BASE": self.folder / "log",
            "RABBITMQ_PID_FILE": self.folder / "pid",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "plugins",
            "ERL_EPMD_PORT": self._names_port,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # The process that we start is the server, and no shell around it.
            "RUNNING_UNDER_SYSTEMD": "true",
            # Two cores are shared by everybody: no thread turns in circles while there is nothing to do.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
        return {**others, **{name: str(value) for name, value in ours.items()}}

    def _answers(self) -> bool:
        try:
            with Connection(self.url.removesuffix(VIRTUAL_HOST) + "/", connect_timeout=2) as connection:  # type: ignore[no-untyped-call]
                connection.connect()
        except Exception:
            return False
        return True


@contextmanager
def rabbitmq() -> Iterator[RabbitMQ]:
    """One that runs; gone with the block."""
    with tempfile.TemporaryDirectory(prefix="coinop-rabbitmq-") as folder:
        server = RabbitMQ(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.close()
