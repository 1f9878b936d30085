"""Every alert is quiet while all is well, and comes when what it is for has really happened."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
import yaml
from sqlalchemy import select, update

import counters
import tasks.generation
import tasks.maintenance
import web.scraping
from config import ROOT
from models import database as db
from models import gauges, jobs, providers, signs
from models.database import new_id, now, sessions
from models.emails import Email
from models.jobs import Job
from models.ledger import Wallet
from models.outbox import Outbox
from models.payments import inbox
from models.payments.inbox import GatewayEvent
from models.payments.tables import Payment, PaymentState
from models.providers import Patience
from models.signs import SignRow
from tests.http.conftest import Caller
from tests.watching.promql import Sample, fires, metrics_in, samples

MONITORING = ROOT / "ops" / "monitoring"
RULES: dict[str, dict[str, Any]] = {
    rule["alert"]: rule
    for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}
PARTS = (signs.BEAT, signs.AUDIT, f"{signs.WORKER}generation")


class Trouble(NamedTuple):
    """Where a fault is made."""

    caller: Caller
    monkeypatch: pytest.MonkeyPatch


@pytest.fixture
def database(sqlite: str) -> str:
    return sqlite


def _older(column: Any, seconds: float, *where: Any) -> None:
    with sessions() as session:
        changed = session.execute(update(column.class_).where(*where).values({column.key: now(-seconds)}))
        assert changed.rowcount  # type: ignore[attr-defined]  # of an UPDATE there is one


def _job(trouble: Trouble, prompt: str = "hello") -> UUID:
    return UUID((trouble.caller.submit(prompt).json or {})["id"])


def _away(trouble: Trouble) -> None:
    away = db.make_engine("postgresql://nobody@127.0.0.1:1/nowhere")
    trouble.monkeypatch.setattr(db, "_engine_without_transactions", lambda: away)


def _silent(trouble: Trouble) -> None:
    job_id = _job(trouble)
    with sessions() as session:
        assert jobs.claim(session, job_id, lease_seconds=30)
    _older(Job.lease_until, 1)


def _rescued(trouble: Trouble) -> None:
    _silent(trouble)
    tasks.maintenance.rescue()


def _queue(trouble: Trouble) -> None:
    _job(trouble)
    _older(Job.run_after, 100)


def _event(_: Trouble) -> None:
    with sessions() as session:
        assert inbox.receive(session, event_id="evt_1", event_type="invoice.paid", object_id="in_1")
    _older(GatewayEvent.received_at, 400)


def _declined(_: Trouble) -> None:
    with sessions() as session:
        user_id = session.scalars(select(Wallet.user_id)).first()
        for number in range(5):
            session.add(
                Payment(
                    id=new_id(), user_id=user_id, gateway_id=f"pi_{number}", title="Pack", amount=500, currency="EUR",
                    state=PaymentState.failed, decline="card_declined",
                )
            )  # fmt: skip


def _unbalanced(trouble: Trouble) -> None:
    def add(credits_: int) -> None:
        with sessions() as session:
            session.execute(update(Wallet).values(available=Wallet.available + credits_))

    add(1)
    tasks.maintenance.audit()
    add(-1)


def _failing(trouble: Trouble) -> None:
    tasks.generation.run(str(_job(trouble, "x [mock:unavailable]")))


def _circuit(_: Trouble) -> None:
    with sessions() as session:
        patience = Patience(failures=1, pause=60, longest=60, probe=60, wait=60)
        assert providers.failed(session, "openai", token=new_id(), code="provider_error", patience=patience)


def _errors(trouble: Trouble) -> None:
    with trouble.monkeypatch.context() as patched:
        patched.setattr("web.ops.readings", lambda: 1 / 0)
        assert trouble.caller.client.get("/readyz").status_code == 500


def _slow(trouble: Trouble) -> None:
    with trouble.monkeypatch.context() as patched:
        patched.setattr(web.scraping, "perf_counter", itertools.count(0, 2).__next__)
        trouble.caller.get("/healthz")


def _full(trouble: Trouble) -> None:
    class Disk(NamedTuple):
        total: int
        free: int

    trouble.monkeypatch.setattr("web.scraping.shutil.disk_usage", lambda _: Disk(100, 5))


FAULTS: dict[str, Callable[[Trouble], None]] = {
    "CoinopDatabaseDown": _away,
    "CoinopNoBeat": lambda _: _older(SignRow.at, 120, SignRow.name == signs.BEAT),
    "CoinopNoWorker": lambda _: _older(SignRow.at, 120, SignRow.name.startswith(signs.WORKER)),
    "CoinopQueueOld": _queue,
    "CoinopJobsSilent": _silent,
    "CoinopOutboxBacklog": lambda _: _older(Outbox.due_at, 120),
    "CoinopWebhookLag": _event,
    "CoinopPaymentsFailing": _declined,
    "CoinopAuditFinding": _unbalanced,
    "CoinopAuditOld": lambda _: _older(SignRow.at, 4 * 3600, SignRow.name == signs.AUDIT),
    "CoinopProviderCircuitOpen": _circuit,
    "CoinopProviderErrors": _failing,
    "CoinopWorkersDie": _rescued,
    "CoinopEmailBacklog": lambda _: _older(Email.due_at, 1000),
    "CoinopWebErrors": _errors,
    "CoinopWebSlow": _slow,
    "CoinopDiskFull": _full,
}


def _scrape(caller: Caller) -> list[Sample]:
    return samples(caller.client.get("/metrics").text)


@pytest.mark.parametrize("alert", FAULTS)
def test_an_alert_comes_with_its_fault_and_not_before(
    alert: str, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    with sessions() as session:
        signs.leave(session, dict.fromkeys(PARTS, 0))
    tasks.generation.run(str(UUID((caller.submit().json or {})["id"])))
    before = _scrape(caller)
    for _ in range(20):
        caller.get("/healthz")
    well = _scrape(caller)
    rule = RULES[alert]["expr"]
    assert not fires(rule, before, well)
    FAULTS[alert](Trouble(caller, monkeypatch))
    assert fires(rule, well, _scrape(caller))


def test_a_web_that_does_not_answer_is_told_by_the_scrape_itself() -> None:
    """`up` is Prometheus's own, for the name that the web has in our configuration."""
    rule = RULES["CoinopWebDown"]["expr"]
    jobs_ = [each["job_name"] for each in yaml.safe_load((MONITORING / "prometheus.yml").read_text())["scrape_configs"]]
    assert "coinop" in jobs_
    for answers, on in ((1.0, False), (0.0, True)):
        scrape = [Sample("up", {"job": "coinop"}, answers)]
        assert fires(rule, scrape, scrape) is on
    assert RULES.keys() == {*FAULTS, "CoinopWebDown"}


def _known(caller: Caller) -> set[str]:
    """Every name that a scrape may have, also of counters that nothing has counted yet."""
    names = {"up", "coinop_database_up", "coinop_disk_free_ratio", *(f"coinop_{name}" for name in gauges.HELP)}
    for family in counters.HERE.collect():
        ways = ("_bucket", "_count", "_sum") if family.type == "histogram" else ("_total",)
        names |= {family.name + way for way in ways}
    assert {each.name.removesuffix("_created") for each in _scrape(caller)} <= names | {
        name.removesuffix(way) for name in names for way in ("_total", "_count")
    }
    return names


def test_rules_and_dashboard_name_only_what_there_is(caller: Caller) -> None:
    board = json.loads((MONITORING / "dashboard.json").read_text())
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    assert len(asked) >= 10
    named = {
        name for expression in (*asked, *(rule["expr"] for rule in RULES.values())) for name in metrics_in(expression)
    }
    assert named - _known(caller) == set()


def test_every_alert_says_how_bad_it_is_and_what_to_do() -> None:
    for rule in RULES.values():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")


PROMTOOL = shutil.which("promtool")
TOKEN_FILE = "/etc/prometheus/coinop-metrics-token"


@pytest.mark.skipif(PROMTOOL is None, reason="Prometheus's own promtool is not on the PATH")
def test_prometheus_itself_can_read_rules_and_configuration(tmp_path: Path) -> None:
    """It wants the file with the token to be there."""
    assert PROMTOOL is not None
    token = tmp_path / "token"
    token.touch()
    text = (MONITORING / "prometheus.yml").read_text()
    assert text.count(TOKEN_FILE) == 2
    (tmp_path / "prometheus.yml").write_text(text.replace(TOKEN_FILE, str(token)))
    shutil.copy(MONITORING / "alerts.yml", tmp_path)
    checked = subprocess.run(
        [PROMTOOL, "check", "config", tmp_path / "prometheus.yml"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert f"{len(RULES)} rules found" in checked.stdout
