"""`make chaos`: see docs/chaos.md."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from chaos.house import StartFailed
from chaos.plan import JOBS_PER_SECOND
from ops import embedded

ROOT = Path(__file__).resolve().parent.parent

TIMINGS = {
    "LEASE_SECONDS": "6",
    "HEARTBEAT_SECONDS": "2",
    "RESCUE_SECONDS": "2",
    "RETRY_BASE_SECONDS": "0.5",
    "PROVIDER_TIMEOUT_SECONDS": "20",
    "RUN_LIMIT_SECONDS": "40",
    "MOCK_LATENCY_SECONDS": "0.3",
    "MAX_ATTEMPTS": "6",
}
"""Shorter than in real life, so that a run sees many leases run out. The environment may say otherwise."""


STORM_CUSTOMERS = "200"
"""So many have over 1,000 events to tell of."""


def main() -> int:
    """Returns 0 when the run kept everything, 1 when not, 2 when it could not be made."""
    arguments = _arguments()
    if arguments.properties:
        return _properties()
    if arguments.storm:
        return _payments()
    seed = random.SystemRandom().randrange(1_000_000) if arguments.seed is None else arguments.seed
    seconds, jobs = arguments.seconds, arguments.jobs
    if seconds is None:
        seconds = (jobs or 2_000) / JOBS_PER_SECOND
    if jobs is None:
        jobs = max(1, round(seconds * JOBS_PER_SECOND))
    again = f"python -m chaos --seed {seed} --jobs {jobs} --seconds {seconds:g} --database {arguments.database}"
    again += f" --only '{arguments.only}'" if arguments.only else ""
    print(f"Seed {seed}. To repeat: {again}", flush=True)
    # Both end the run in the same, orderly way, also where a shell had SIGINT ignored for a command in the background.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="coinop-chaos-"))
    kept = True
    try:
        with ExitStack() as stack:
            url = f"sqlite:///{folder / 'coinop.sqlite3'}"
            if arguments.database == "postgresql":
                url = stack.enter_context(embedded.postgresql())
            _set_environment(folder, url)
            from chaos.run import run  # after the environment: the settings are read once

            report = run(folder, seed=seed, jobs=jobs, seconds=seconds, only=arguments.only)
        print(report.text(), flush=True)
        kept = arguments.keep or bool(report.breaches)
    except KeyboardInterrupt:
        print("Interrupted; everything is stopped.", flush=True)
        kept = False
        return 2
    except StartFailed as failure:
        print(f"There was no run: {failure}", flush=True)
        return 2
    finally:
        if kept:
            print(f"Logs: {folder / 'logs'}\nTo repeat: {again}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if report.breaches else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Kill, freeze and restart; then prove.")
    parser.add_argument("--seed", type=int, help="what decides jobs and faults; random if not given, always printed")
    parser.add_argument("--jobs", type=int, help="how many jobs are ordered (2000, or as many as fit in --seconds)")
    parser.add_argument("--seconds", type=float, help="how long orders and faults go on (as --jobs needs)")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--only", default="", help="only the faults with this in their name, such as 'freeze broker'")
    parser.add_argument("--keep", action="store_true", help="keep the logs of a good run too")
    parser.add_argument("--properties", action="store_true", help="run the long generated sequences of tests instead")
    parser.add_argument(
        "--storm", action="store_true", help="run the storm of payment events of tests at its whole size"
    )
    return parser.parse_args()


def _properties() -> int:
    return _tests("tests/ledger", "tests/jobs", COINOP_SEQUENCES="2000")


def _payments() -> int:
    # One process for all of it, and its figures shown: nothing else is to take the processors.
    return _tests("tests/payments/test_storm.py", "-n", "0", "-s", COINOP_STORM=STORM_CUSTOMERS)


def _tests(*arguments: str, **environment: str) -> int:
    """Run tests at another size than usual; the environment may say otherwise which."""
    command = (sys.executable, "-m", "pytest", *arguments, "--timeout", "3600")
    return subprocess.run(command, cwd=ROOT, env={**environment, **os.environ}, check=False).returncode


def _set_environment(folder: Path, database_url: str) -> None:
    """Give the settings of the run to this process and its children; nothing of the machine's own Coinop comes in."""
    for name, value in TIMINGS.items():
        os.environ.setdefault(name, value)
    broker_url = f"redis://127.0.0.1:{embedded.free_port()}/0"
    os.environ.update(
        COINOP_ENV="development",
        COINOP_HOME=str(folder / "home"),
        DATABASE_URL=database_url,
        STORAGE_URL=f"file://{folder / 'outputs'}",
        BROKER_URL=broker_url,
        REDIS_URL=broker_url,
        HOST="127.0.0.1",
        PORT=str(embedded.free_port()),
        PRESET=str(ROOT / "presets" / "default.toml"),
        SECRET_KEY="a secret that is only for chaos, and long",
        JWT_SECRET_KEY="another secret that is only for chaos",
        FLOWER_PASSWORD="nobody looks",
        AI_MODE="mock",
        PAYMENTS_MODE="mock",
        AUTH_RATE_LIMIT="100000 per minute",
        SUBMIT_RATE_LIMIT="100000 per minute",
        LOG_LEVEL=os.environ.get("LOG_LEVEL", "WARNING"),
        GENERATION_CONCURRENCY="50",
    )


def _interrupt(*_: Any) -> None:
    # Once: a second Ctrl-C must not cut the stopping short and leave servers behind.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
