"""A whole Coinop in its own processes, as `make up` runs it, with a state folder and ports of its own."""

from __future__ import annotations

import email
import email.policy
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import psutil
from sqlalchemy import create_engine, text

from config import ROOT
from models.catalog import load, read_preset
from models.catalog.versions import FRESH_SECONDS
from models.database import sessions
from ops.embedded import free_port
from tests.databases import in_use

FINAL = ("completed", "failed", "canceled", "expired")
PATIENCE_SECONDS = 120.0
PATIENCE_WITH_STARTING_SECONDS = 240.0
"""Nine processes start, beside other tests; `make up` itself says before what is wrong."""

QUICK = {
    "MOCK_LATENCY_SECONDS": "0.05",
    "HEARTBEAT_SECONDS": "0.5",
    "LEASE_SECONDS": "2",
    "RESCUE_SECONDS": "1",
    "PROVIDER_TIMEOUT_SECONDS": "2.5",
    "RUN_LIMIT_SECONDS": "4",
    "RETRY_BASE_SECONDS": "0.2",
    "MAX_ATTEMPTS": "3",
    "GENERATION_CONCURRENCY": "8",
    "WEB_WORKERS": "2",
    "WEB_THREADS": "32",
    "WAIT_SECONDS_MAX": "25",
    "ALLOWANCE_SECONDS": "1",
    "AUTH_RATE_LIMIT": "100000 per minute",
    "SUBMIT_RATE_LIMIT": "100000 per minute",
}
"""Settings under which what takes minutes in earnest takes seconds."""


T = TypeVar("T")


def cost(job: dict[str, Any]) -> tuple[int, int, int]:
    """What was held, charged and refunded."""
    return job["cost"]["held"], job["cost"]["charged"], job["cost"]["refunded"]


def _file_of(preset: str) -> Path:
    return ROOT / "presets" / f"{preset}.toml"


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Among all processes of tests: to start takes all the machine has, and those that do it together take longer."""
    with Path(tempfile.gettempdir(), f"coinop-tests-starting-{os.getuid()}").open("w") as line:
        fcntl.flock(line, fcntl.LOCK_EX)
        yield


def until(question: Callable[[], T | None], *, patience: float = PATIENCE_SECONDS) -> T:
    """Ask until there is an answer that is not None or False, at first often, for at most `patience` seconds."""
    began = time.monotonic()
    while True:
        answer = question()
        if answer is not None and answer is not False:
            return answer
        waited = time.monotonic() - began
        assert waited < patience, "it did not happen in time"
        time.sleep(min(0.03 + waited / 10, 0.3))


@dataclass
class House:
    """One Coinop; `start` and `stop` may be called again and again."""

    home: Path
    database_url: str
    port: int = field(default_factory=free_port)
    flower_port: int = field(default_factory=free_port)
    broker_port: int = field(default_factory=free_port)
    preset: str = "default"
    """The name of what is sold."""
    also: dict[str, str] = field(default_factory=dict)
    """Settings beside those that every house has."""
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self) -> dict[str, str]:
        ours = ("SECRET_KEY", "JWT_SECRET_KEY", "BROKER_URL", "REDIS_URL", "DATABASE_URL", "LOG_LEVEL")
        return {
            **{name: value for name, value in os.environ.items() if name not in ours},
            **QUICK,
            "COINOP_HOME": str(self.home),
            "DATABASE_URL": self.database_url,
            "PORT": str(self.port),
            "FLOWER_PORT": str(self.flower_port),
            "BROKER_PORT": str(self.broker_port),
            "PRESET": str(_file_of(self.preset)),
            **self.also,
        }

    def start(self) -> None:
        self.home.mkdir(exist_ok=True)
        output = (self.home / "up.log").open("ab")
        with _one_at_a_time():
            argv = [sys.executable, "-m", "tests.system.up"]
            self.process = subprocess.Popen(argv, cwd=ROOT, env=self.environment(), stdout=output, stderr=output)
            started = (self.home / "up.log").stat().st_size
            until(
                lambda: b"Coinop is up." in (self.home / "up.log").read_bytes()[started:] or self._died(),
                patience=PATIENCE_WITH_STARTING_SECONDS,
            )

    def stop(self) -> str:
        """Ask for an orderly stop, wait for it, and return what was printed meanwhile."""
        assert self.process is not None
        before = (self.home / "up.log").stat().st_size
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_SECONDS) == 0
        self.process = None
        return (self.home / "up.log").read_bytes()[before:].decode()

    def sell(self, preset: str) -> None:
        """Sell something else from now on; jobs and subscribers keep what they had."""
        if preset == self.preset:
            return
        read = read_preset(_file_of(preset))
        with in_use(self.database_url), sessions() as session:
            load(session, read)
        self.preset = preset
        time.sleep(FRESH_SECONDS + 0.1)  # by then each of its processes looks again
        shown = httpx.get(f"{self.url}/v1/actions", timeout=15).raise_for_status().json()["actions"]
        assert {each["name"] for each in shown} == set(read.actions)

    def kill(self, name: str) -> None:
        """SIGKILL the service whose command line has this word."""
        self.find(name).kill()

    def find(self, name: str) -> psutil.Process:
        assert self.process is not None
        for child in psutil.Process(self.process.pid).children():
            if any(name in word for word in child.cmdline()):
                return child
        raise AssertionError(f"no process is called {name}")

    def flask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flask", "--app", "wsgi", *arguments], cwd=ROOT, env=self.environment(),
            capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip

    def secret(self, name: str) -> str:
        for line in (self.home / "secrets.env").read_text().splitlines():
            if line.startswith(f"{name}="):
                return line.partition("=")[2].strip("'\"")
        raise AssertionError(f"{name} was not generated")

    def mails(self, address: str) -> dict[str, Any]:
        """The mails that were sent to an address, by their templates."""
        found = {}
        for file in sorted((self.home / "mail").glob("*.eml")):
            mail = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            if address in mail["To"]:
                found[file.name.split("-")[3]] = mail
        return found

    def transfers(self, job: dict[str, Any]) -> list[tuple[str, int, int]]:
        """What moved for a job: reason, amount, balance afterwards."""
        engine = create_engine(self.database_url)
        job_id = job["id"] if engine.dialect.name == "postgresql" else job["id"].replace("-", "")
        query = text("SELECT reason, amount, balance_after FROM transfers WHERE job_id = :id ORDER BY id")
        with engine.connect() as connection:
            rows = connection.execute(query, {"id": job_id}).all()
        engine.dispose()
        return [tuple(row) for row in rows]

    def sign_up(self) -> Client:
        client = httpx.Client(base_url=self.url, timeout=15)
        body = {"email": f"{uuid4().hex}@example.com", "password": "correct horse battery"}
        tokens = client.post("/v1/auth/signup", json=body).raise_for_status().json()
        client.headers["Authorization"] = f"Bearer {tokens['access_token']}"
        return Client(client)

    def _died(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.home / "up.log").read_text()[-4_000:]
        return False


@dataclass
class Client:
    """A signed-in user of a running Coinop."""

    http: httpx.Client

    def submit(self, text: str = "hello", *, action: str = "chat", **more: Any) -> dict[str, Any]:
        name = "text" if action == "speech" else "prompt"
        return self.order({"action": action, "input": {name: text}, **more})

    def order(self, body: dict[str, Any]) -> dict[str, Any]:
        answer = self.http.post("/v1/jobs", json=body)
        assert answer.status_code == 202, answer.text
        job: dict[str, Any] = answer.json()
        return job

    def job(self, job: dict[str, Any]) -> dict[str, Any]:
        now: dict[str, Any] = self.http.get(job["urls"]["get"]).raise_for_status().json()
        return now

    def ended(self, job: dict[str, Any]) -> dict[str, Any]:
        """Wait until the job has ended and return it."""
        return until(lambda: now if (now := self.job(job))["status"] in FINAL else None)

    def became(self, job: dict[str, Any], status: str) -> dict[str, Any]:
        return until(lambda: now if (now := self.job(job))["status"] == status else None)

    def balance(self) -> dict[str, int]:
        balances: dict[str, dict[str, int]] = self.http.get("/v1/me").raise_for_status().json()["balances"]
        return balances["credits"]
