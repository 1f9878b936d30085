"""One run: start everything, let customers and faults loose, wait for the end, judge."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from sqlalchemy import func, select

from chaos import verdict
from chaos.checkup import check_up
from chaos.house import House, StartFailed
from chaos.load import TIMEOUT_SECONDS, Customer, Records
from chaos.plan import GENERATION, USERS, Order, plan_faults, plan_orders
from chaos.report import Report
from chaos.storm import Storm
from config import ROOT, Settings, settings
from models import ledger
from models.database import readings, sessions
from models.jobs import LIVE, Job
from models.ledger import Source
from models.outbox import Outbox
from ops.embedded import broker_argv
from ops.service import Service, answers_celery, answers_ping
from ops.up import commands, migrate_command

SETTLE_SECONDS = 120.0
"""By when every accepted job must have ended, after the last fault."""

CREDITS = 1_000_000
CONNECTIONS = 2
"""Per customer, so that one customer's requests meet each other."""


def run(folder: Path, *, seed: int, jobs: int, seconds: float, only: str) -> Report:
    """Make one run in `folder`, by the settings of this process. Raises `StartFailed` if there is nothing to judge."""
    chosen = settings()
    orders = plan_orders(seed, jobs=jobs, seconds=seconds)
    faults = plan_faults(seed, seconds=seconds, postgresql=chosen.on_postgresql, only=only)
    began = time.monotonic()
    with House(folder / "logs", ROOT, natural=_by_a_job) as house:
        _start(house, chosen, folder)
        print(f"Everything is up after {time.monotonic() - began:.1f} s. The storm: {seconds:g} s.", flush=True)
        tokens = [_sign_up(chosen.port, number) for number in range(USERS)]
        granted = _grant()
        storm = Storm(house, faults, seed=seed)
        customers, stop = _send_customers(chosen.port, tokens, orders, storm.start)
        try:
            while not storm.over:
                storm.step()
            print(f"The storm is over after {time.monotonic() - storm.start:.0f} s.", flush=True)
            settled = _settle(storm, customers)
        finally:
            stop.set()
        records = Records()
        for customer in customers:
            customer.join(2 * TIMEOUT_SECONDS)
            records.add(customer.records)
        report = Report(seed, chosen.on_postgresql, orders, records, house, storm, settled)
        with sessions() as session:
            report.judge(session, granted=granted, outputs=folder / "outputs")
        report.breaches += verdict.few(_calm(chosen, tokens, f"calm-{seed}"))
        report.breaches += house.surprises
        report.seconds = time.monotonic() - began
        report.read_logs(folder / "logs")  # before the end, which makes noise of its own
    return report


def _by_a_job(name: str, code: int) -> bool:
    """Whether a death is that of a worker whose job killed it."""
    return name in GENERATION and code == -signal.SIGKILL


def _send_customers(
    port: int, tokens: list[str], orders: list[Order], start: float
) -> tuple[list[Customer], threading.Event]:
    stop = threading.Event()
    customers = []
    for user, token in enumerate(tokens):
        mine = [order for order in orders if order.user == user]
        for lane in range(CONNECTIONS):
            if mine[lane::CONNECTIONS]:
                customers.append(Customer(port, token, mine[lane::CONNECTIONS], start, stop))
    for customer in customers:
        customer.start()
    return customers, stop


def _calm(chosen: Settings, tokens: list[str], key: str) -> Iterator[str]:
    """What does not work although everything is over."""
    yield from check_up(chosen.port, tokens, chosen.broker_url, socket.gethostname(), key=key)
    with sessions() as session:
        yield from verdict.books(session)


def _start(house: House, chosen: Settings, folder: Path) -> None:
    port = urlsplit(chosen.broker_url).port
    assert port is not None
    (folder / "broker").mkdir()
    house.start(
        Service(name="broker", argv=tuple(broker_argv(port, folder / "broker")), ready=answers_ping("127.0.0.1", port))
    )
    migrated = subprocess.run(migrate_command(), cwd=ROOT, check=False, capture_output=True, text=True)
    if migrated.returncode:
        raise StartFailed(f"the migration failed:\n{migrated.stdout}{migrated.stderr}")
    of_up = commands(chosen)
    services = [of_up["web"], of_up["support"], of_up["beat"]]
    services += [_generation_worker(of_up["generation"], number, chosen.broker_url) for number in (1, 2)]
    # The name under which PostgreSQL knows the connections of each.
    house.start(*(replace(each, env={**each.env, "PGAPPNAME": f"coinop:{each.name}"}) for each in services))


def _generation_worker(one: Service, number: int, broker_url: str) -> Service:
    name = f"generation-{number}"
    argv = tuple(f"{name}@%h" if word == "generation@%h" else word for word in one.argv)
    assert argv != one.argv
    return replace(
        one,
        name=name,
        argv=argv,
        # So that its log says how each attempt ended.
        env={**one.env, "LOG_LEVEL": "INFO"},
        ready=answers_celery(broker_url, f"{name}@{socket.gethostname()}"),
    )


def _sign_up(port: int, number: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    body = {"email": f"customer{number}@example.com", "password": "only for chaos"}
    connection.request("POST", "/v1/auth/signup", json.dumps(body), {"Content-Type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return str(answer["access_token"])


def _grant() -> int:
    """Give every customer credits enough; returns how many there are now."""
    with sessions() as session:
        for wallet_id in session.scalars(select(ledger.Wallet.id)):
            ledger.grant(session, wallet_id=wallet_id, amount=CREDITS, source=Source.admin, ref=f"chaos:{wallet_id}")
        return int(session.execute(select(func.sum(ledger.Wallet.available))).scalar_one())


def _settle(storm: Storm, customers: list[Customer]) -> float | None:
    """Wait until all customers have seen all their jobs end and nothing is left to send.

    Returns how many seconds after the last fault the last job ended, None if not all did in time.
    """
    while time.monotonic() < storm.last_fault + SETTLE_SECONDS:
        storm.step()
        if any(customer.is_alive() for customer in customers):
            continue
        with readings() as session:
            live = session.scalar(select(func.count()).select_from(Job).where(Job.status.in_(LIVE)))
            waiting = session.scalar(select(func.count()).select_from(Outbox))
            last = session.execute(select(func.max(Job.finished_at))).scalar_one()
        if not live and not waiting and last is not None:
            ended = time.monotonic() - (time.time() - last.timestamp())
            return max(0.0, ended - storm.last_fault)
    return None
