"""`make up`: the whole of Coinop on one machine, from a broker to Flower.

This page says which processes there are, and how each is started, known to be ready and stopped; `ops.processes` does
that.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from dotenv import dotenv_values

from config import ROOT, BadSettings, Settings, settings
from ops.claims import Taken, claim_folder, claim_ports
from ops.console import Console
from ops.embedded import broker_argv
from ops.processes import StartFailed, StopRequested, Supervisor
from ops.secrets_file import ensure_secrets
from ops.service import (
    Service,
    StopStep,
    answers_celery,
    answers_http,
    answers_ping,
    in_url,
    local,
    writes_file,
)

FLOWER_USER = "coinop"

STOP_ORDER = (("web",), ("beat",), ("flower",), ("generation", "support", "payments", "mail"), ("broker",))
"""First nothing new comes in, then what runs finishes, and the broker, which all of them use, goes last."""

SUPPORT_CONCURRENCY = 4
"""Maintenance is short transactions; more threads would only queue for the database."""

PAYMENTS_CONCURRENCY = 4
"""Payments wait for the gateway; a process of its own, so that one that hangs holds up no rescue of jobs."""

MAIL_CONCURRENCY = 4
"""E-mail waits for a mail server, and may do so for long; a process of its own, so that nothing else waits with it."""


class CannotStart(Exception):
    """Something is missing or wrong; the message says what to do."""


def commands(chosen: Settings) -> dict[str, Service]:
    """Every service by its name. The broker is there only if no other one was named, and is the first to start."""
    services = [_web(chosen), *_workers(chosen), _beat(chosen), _flower(chosen)]
    if runs_own_broker(chosen):
        services.insert(0, _broker(chosen))
    return {service.name: service for service in services}


def migrate_command() -> tuple[str, ...]:
    """The one-shot command that brings the tables and the catalog up to date."""
    return (sys.executable, "-m", "flask", "--app", "wsgi", "migrate")


def runs_own_broker(chosen: Settings) -> bool:
    """Whether the broker is ours to run: so unless BROKER_URL names one."""
    return not chosen.brings_broker


def _broker(chosen: Settings) -> Service:
    folder = chosen.coinop_home / "broker"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        argv = tuple(broker_argv(chosen.broker_port, folder))
    except FileNotFoundError:
        raise CannotStart(
            "There is no broker for this kind of machine in the environment: install valkey-server or redis-server, "
            "or set BROKER_URL to one that runs."
        ) from None
    return Service(
        name="broker",
        argv=argv,
        ready=answers_ping("127.0.0.1", chosen.broker_port),
        stop=(StopStep(signal.SIGTERM, 20),),
    )


def _web(chosen: Settings) -> Service:
    return Service(
        name="web",
        argv=(
            *(sys.executable, "-m", "gunicorn", "wsgi:app"),
            *("--worker-class", "gthread"),
            *("--workers", str(chosen.web_workers), "--threads", str(chosen.web_threads)),
            *("--bind", f"{in_url(chosen.host)}:{chosen.port}"),
            *("--graceful-timeout", "30", "--timeout", "60"),
            *("--keep-alive", "30"),  # a client that polls every few seconds keeps its connection
            "--no-control-socket",  # it would be one fixed path for every Coinop of this user
        ),
        ready=answers_http(chosen.host, chosen.port, "/readyz"),
        stop=(StopStep(signal.SIGTERM, 35),),  # longer than gunicorn's own graceful timeout
    )


def _workers(chosen: Settings) -> tuple[Service, ...]:
    return (
        _worker(chosen, "generation", "generation.high,generation", chosen.generation_concurrency),
        _worker(chosen, "support", "maintenance", SUPPORT_CONCURRENCY),
        _worker(chosen, "payments", "payments", PAYMENTS_CONCURRENCY),
        _worker(chosen, "mail", "email", MAIL_CONCURRENCY),
    )


def _worker(chosen: Settings, name: str, queues: str, concurrency: int) -> Service:
    return Service(
        name=name,
        argv=(
            *(sys.executable, "-m", "celery", "--quiet", "-A", "worker.app", "worker"),
            *("--queues", queues),
            *("--pool", "threads", "--concurrency", str(concurrency)),
            *("--hostname", f"{name}@%h"),
            *("--task-events", "--loglevel", "INFO"),
            # Workers have nothing to tell each other: the database decides who runs what.
            *("--without-gossip", "--without-mingle"),
        ),
        ready=answers_celery(chosen.broker_url, f"{name}@{socket.gethostname()}"),
        # SIGTERM lets all that runs finish; SIGQUIT gives it Celery's soft shutdown time (celeryconfig.py), then leaves
        # it. What is cut short loses its lease and runs again.
        stop=(StopStep(signal.SIGTERM, 30), StopStep(signal.SIGQUIT, 25)),
        # The broker goes down with the supervisor, and a worker that may not reach it would wait for it forever.
        orphan_signal=signal.SIGKILL,
    )


def _beat(chosen: Settings) -> Service:
    schedule = chosen.coinop_home / "beat-schedule"
    return Service(
        name="beat",
        argv=(
            *(sys.executable, "-m", "celery", "--quiet", "-A", "worker.app", "beat"),
            *("--schedule", str(schedule)),
            "--pidfile=",  # a file left by a crash would keep beat from starting; the state folder's lock does the job
            *("--loglevel", "INFO"),
        ),
        ready=writes_file(schedule),
    )


def _flower(chosen: Settings) -> Service:
    password = chosen.flower_password.get_secret_value() if chosen.flower_password else ""
    if not password or "," in password:
        raise CannotStart("FLOWER_PASSWORD: expected a password without commas, at which Flower would cut it in two")
    return Service(
        name="flower",
        argv=(
            *(sys.executable, "-m", "celery", "--quiet", "-A", "worker.app", "flower"),
            *(f"--address={chosen.host}", f"--port={chosen.flower_port}", "--persistent=False"),
        ),
        env={"FLOWER_BASIC_AUTH": f"{FLOWER_USER}:{password}"},  # not an argument, which `ps` would show to anyone
        ready=answers_http(chosen.host, chosen.flower_port, "/healthcheck"),
        stop=(StopStep(signal.SIGTERM, 5),),
    )


def _prepare() -> Settings:
    """Generate what secrets are missing, then read the settings."""
    # The one look at the environment outside `config`: to learn which secrets are given, before settings can be read.
    home = ROOT / (os.environ.get("COINOP_HOME") or ".coinop")
    ensure_secrets(home, {**dotenv_values(ROOT / ".env"), **os.environ})
    chosen = settings()
    chosen.coinop_home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return chosen


def _ports(chosen: Settings) -> dict[str, tuple[str, int]]:
    ports = {"PORT": (chosen.host, chosen.port), "FLOWER_PORT": (chosen.host, chosen.flower_port)}
    if runs_own_broker(chosen):
        ports["BROKER_PORT"] = ("127.0.0.1", chosen.broker_port)
    return ports


def _summary(chosen: Settings, logs: Path, *, show_password: bool) -> str:
    host = in_url(local(chosen.host))
    api = f"http://{host}:{chosen.port}"
    shown = "in FLOWER_PASSWORD"
    if show_password and chosen.flower_password:
        shown = chosen.flower_password.get_secret_value()
    rows = {
        "API": api,
        "Docs": f"{api}/docs",
        "Flower": f"http://{host}:{chosen.flower_port}  (user {FLOWER_USER}, password {shown})",
        "Mail": _where_mail_goes(chosen.smtp_url),
        "State": str(chosen.coinop_home),
        "Logs": str(logs),
        "Try it": "make demo  (in another terminal)",
    }
    lines = [f"  {label:<8}{value}" for label, value in rows.items()]
    return "\n".join(["", "Coinop is up.", "", *lines, "", "Ctrl-C stops everything; nothing is lost.", ""])


def _where_mail_goes(smtp_url: str) -> str:
    """As people say it, without the password."""
    url = urlsplit(smtp_url)
    if url.scheme == "file":
        return f"{unquote(url.path)}  (a file for each e-mail)"
    if url.scheme == "console":
        return "nowhere: SMTP_URL is console:, so the log says that there was one"
    return f"{url.scheme}://{url.hostname}{f':{url.port}' if url.port else ''}"


def main() -> int:
    """Run it all until asked to stop. Returns the exit code."""
    try:
        chosen = _prepare()
        services = commands(chosen)
        console = Console([*services, "migrate"])
        logs = chosen.coinop_home / "logs"
        with claim_folder(chosen.coinop_home):
            claim_ports(_ports(chosen))
            with Supervisor(console, logs=logs, cwd=ROOT, stop_order=STOP_ORDER) as house:
                return _run(chosen, services, console, house, logs)
    except BadSettings as error:
        print(error, file=sys.stderr)
    except (CannotStart, Taken) as error:
        print(f"Coinop cannot start: {error}", file=sys.stderr)
    return 1


def _run(chosen: Settings, services: dict[str, Service], console: Console, house: Supervisor, logs: Path) -> int:
    failed = None
    try:
        if "broker" in services:
            house.start(services["broker"])
        house.run_once("migrate", migrate_command())
        house.start(*(service for service in services.values() if service.name != "broker"))
        # In production what is printed may end up in a log that others read.
        console.say(_summary(chosen, logs, show_password=console.is_terminal or chosen.in_development))
        house.watch()
    except StopRequested:
        pass
    except StartFailed as failure:
        failed = str(failure)
        console.complain(f"{failed.partition(chr(10))[0]} Stopping what has started.")
    house.stop()
    if failed:
        console.complain(f"\nCoinop did not start. {failed}")
        return 1
    console.say("Coinop is stopped; nothing is lost.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
