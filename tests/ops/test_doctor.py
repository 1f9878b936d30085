"""`flask doctor`: each check on what is good and on what is really broken; and that no secret is told."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from pydantic import SecretStr
from sqlalchemy import insert, text, update

from config import BadSettings, Environment, PaymentsMode, Settings, settings
from models import database as db
from models import outbox, readiness, signs
from models.database import now, sessions
from models.payments.inbox import EventState, GatewayEvent
from ops import doctor, embedded
from ops.checks import data, house, outside, queues
from ops.findings import Finding, Verdict, fail, ok, warn
from tests.databases import in_use
from tests.mail.conftest import MailServer
from worker.storage import Folder

SECRET = "sesame-open-0123456789"
AWAY = "postgresql://nobody:sesame-open-0123456789@127.0.0.1:1/nowhere"


def verdicts(check: doctor.Check, **changed: Any) -> list[str]:
    return [str(each.verdict) for each in found(check, **changed)]


def found(check: doctor.Check, **changed: Any) -> list[Finding]:
    return list(check(settings().model_copy(update=changed)))


@pytest.fixture
def away(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database that does not answer, with a password in its address."""
    engine = db.make_engine(AWAY)
    monkeypatch.setattr(db, "_engine_without_transactions", lambda: engine)
    return AWAY


def test_a_good_database(database: str) -> None:
    with sessions() as session:
        signs.leave(session, {signs.AUDIT: 0, signs.BEAT: None})
    for check in (data.database, data.migrations, data.sold, data.clock, data.unfinished, data.books, queues.beat):
        assert verdicts(check) == ["ok"], check


def test_a_database_that_is_away_hides_only_what_is_in_it(away: str, broker: str) -> None:
    lines = doctor.examine(settings().model_copy(update={"database_url": away}))
    said = {each.check: each.finding for each in lines}
    assert said["database"].verdict is Verdict.fail
    assert {each.check for each in lines if "without the database" in each.finding.what} == {
        "migrations", "catalog", "clock", "unfinished", "books", "beat",
    }  # fmt: skip
    assert said["storage"].verdict is said["mail"].verdict is Verdict.ok
    assert said["workers"].verdict is Verdict.fail, "nobody works in this process"


def test_a_database_file_that_is_not_there_is_not_made(sqlite: str, tmp_path: Path) -> None:
    assert verdicts(data.database, database_url=f"sqlite:///{tmp_path}/none.sqlite3") == ["fail"]
    assert list(tmp_path.iterdir()) == []


def test_an_unmigrated_database(tmp_path: Path, app: Any) -> None:
    with in_use(f"sqlite:///{tmp_path}/empty.sqlite3"):
        assert verdicts(data.migrations) == ["fail"]
        answer = app.test_client().get("/readyz")
        assert (answer.status_code, answer.json["code"]) == (503, "not_ready")


@pytest.mark.parametrize(
    ("known", "head", "verdict", "status"),
    [({"0001", "head", "next"}, "next", "fail", 503), ({"0001"}, "0001", "warn", 200)],
    ids=["behind", "ahead"],
)
def test_a_database_of_other_code(
    database: str, client: FlaskClient, monkeypatch: pytest.MonkeyPatch,
    known: set[str], head: str, verdict: str, status: int,
) -> None:  # fmt: skip
    """Old code goes on working beside a database that new code has migrated already."""
    with db.readings() as session:
        at = readiness.form(session).head
    seen = {at if each == "head" else each for each in known}
    monkeypatch.setattr(readiness, "_migrations", lambda: (frozenset(seen), head))
    assert verdicts(data.migrations) == [verdict]
    assert client.get("/readyz").status_code == status


def test_a_database_that_takes_nothing_is_not_ready(database: str, client: FlaskClient) -> None:
    assert client.get("/readyz").status_code == 200
    with db.readings() as session:
        assert session.query(outbox.Outbox).count() == 0, "what was tried is taken back"
    with sessions() as session:
        session.execute(text("ALTER TABLE outbox RENAME TO outbox_away"))
    answer = client.get("/readyz")
    assert (answer.status_code, (answer.json or {})["code"]) == (503, "not_ready")
    assert "outbox" not in answer.get_data(as_text=True)


def test_a_clock_that_goes_wrong(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ops.checks.data.time.time", lambda: 1_700_000_000.0)
    assert verdicts(data.clock) == ["warn"]


def test_what_waits_for_too_long(database: str) -> None:
    late = {"id": db.new_id(), "task": "x", "task_id": "x", "queue": "maintenance", "args": []}
    event = {"id": "evt_1", "type": "x", "object_id": "x", "state": EventState.failed, "attempts": 40}
    with sessions() as session:
        session.execute(insert(outbox.Outbox).values(due_at=now(-600), **late))
        session.execute(insert(GatewayEvent).values(due_at=now(), ended_at=now(), **event))
    said = found(data.unfinished)
    assert [str(each.verdict) for each in said] == ["fail", "warn"]
    assert "not been published for 600 s" in said[0].what
    assert said[1].what == "1 events of the gateway were given up"


def test_books_and_beat(database: str) -> None:
    assert verdicts(data.books) == ["warn"]
    assert verdicts(queues.beat) == ["fail"], "beat never ran"
    with sessions() as session:
        signs.leave(session, {signs.AUDIT: 3, signs.BEAT: None})
        session.execute(update(signs.SignRow).where(signs.SignRow.name == signs.BEAT).values(at=now(-300)))
    assert verdicts(data.books) == ["fail"]
    assert "for 300 s" in found(queues.beat)[0].what
    assert verdicts(queues.beat) == ["fail"]


def test_brokers(broker: str) -> None:
    assert verdicts(queues.broker) == ["ok", "ok", "ok"]
    with embedded.broker() as url:
        good = url.replace("//", f"//:{SECRET}@")
        with redis.Redis.from_url(url) as client:
            client.config_set("requirepass", SECRET)
            assert verdicts(queues.broker, broker_url=url) == ["fail"], "without the password"
            assert verdicts(queues.broker, broker_url=good) == ["ok", "ok", "ok"]
            client.config_set("appendonly", "no")
            client.config_set("maxmemory-policy", "allkeys-lru")
        said = found(queues.broker, broker_url=good)
        assert [(str(each.verdict), each.remedy) for each in said[1:]] == [
            ("fail", "Set: appendonly yes"), ("fail", "Set: maxmemory-policy noeviction"),
        ]  # fmt: skip
        assert SECRET not in "".join(map(str, said))
    for nobody in (good, f"amqp://guest:{SECRET}@127.0.0.1:1//"):
        said = found(queues.broker, broker_url=nobody)
        assert [each.verdict for each in said] == [Verdict.fail]
        assert SECRET not in str(said)


def test_mail(mail_server: MailServer) -> None:
    at = f"127.0.0.1:{mail_server.port}"
    assert verdicts(outside.mail, smtp_url=f"smtp://{at}") == ["ok"]
    mail_server.stop()
    mail_server.accounts = {"ada": SECRET}
    mail_server.start()
    assert verdicts(outside.mail, smtp_url=f"smtp://ada:{SECRET}@{at}") == ["ok"]
    said = found(outside.mail, smtp_url=f"smtp://ada:{SECRET}x@{at}")
    assert said[0].verdict is Verdict.fail
    assert "login_failed" in said[0].what
    assert SECRET not in str(said)
    assert (mail_server.asked, mail_server.envelopes) == (0, []), "no mail was sent"
    assert verdicts(outside.mail, smtp_url=f"smtp://127.0.0.1:{embedded.free_port()}") == ["fail"]
    assert verdicts(outside.mail, smtp_url="console:") == ["ok"]
    assert verdicts(outside.mail, smtp_url="console:", coinop_env=Environment.production) == ["warn"]


def test_storage_and_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "files"
    monkeypatch.setattr(house, "storage", lambda: Folder(root))
    assert verdicts(house.files) == ["ok"]
    assert list(root.iterdir()) == [], "nothing stays behind"
    (tmp_path / "in-the-way").write_text("a file")
    monkeypatch.setattr(house, "storage", lambda: Folder(tmp_path / "in-the-way" / "files"))
    assert verdicts(house.files) == ["fail"]
    places = {"coinop_home": tmp_path / "not" / "yet", "storage_url": "s3://bucket"}
    for free, verdict in ((50, "ok"), (5, "warn"), (1, "fail")):
        monkeypatch.setattr(
            "ops.checks.house.shutil.disk_usage", lambda _, free=free: SimpleNamespace(total=100, free=free)
        )
        assert verdicts(house.disks, **places) == [verdict]
        assert verdicts(house.disks) == [verdict, verdict], "the state folder, and where files are stored"


class Api(BaseHTTPRequestHandler):
    """A provider that lists a model to whoever has the key."""

    def do_GET(self) -> None:
        good = self.headers.get("Authorization") == f"Bearer {SECRET}"
        self.send_response(200 if good else 401)
        self.end_headers()
        self.wfile.write(json.dumps({"data": [{"id": "words-1"}]}).encode())

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the library's name
        """Say nothing."""


@pytest.fixture
def api() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_providers(api: str) -> None:
    def asked(kinds: str, *, key: str = SECRET, url: str = api) -> list[Finding]:
        chosen = Settings.model_validate(
            {**settings().model_dump(), "ai_providers": kinds, "openai_api_key": SecretStr(key), "openai_base_url": url,
             "predictions_api_key": SecretStr(key), "predictions_url": url}
        )  # fmt: skip
        return list(outside.providers(chosen))

    assert [each.verdict for each in asked("chat=openai:words-1,video=predictions:acme/v")] == [Verdict.ok] * 3
    assert "does not list words-2" in next(str(each) for each in asked("chat=openai:words-2") if each.verdict != "ok")
    for kinds in ("chat=openai:words-1", "video=predictions:acme/v"):
        said = asked(kinds, key=f"{SECRET}-old")
        assert [each.verdict for each in said] == [Verdict.ok, Verdict.fail], "the mock needs no key"
        assert "refuses our key (401)" in str(said[1])
        assert SECRET not in str(said)
        said = asked(kinds, url=f"http://127.0.0.1:{embedded.free_port()}")
        assert "cannot be reached" in str(said[1])
    assert verdicts(outside.providers, coinop_env=Environment.production) == ["warn"]


def test_payments(sqlite: str) -> None:
    assert verdicts(outside.payments) == ["ok"]
    assert verdicts(outside.payments, coinop_env=Environment.production) == ["warn"]
    away = {"stripe_secret_key": SecretStr(f"sk_test_{SECRET}"), "stripe_api_base": "http://127.0.0.1:1"}
    said = found(outside.payments, payments_mode=PaymentsMode.stripe, **away)
    assert [each.verdict for each in said] == [Verdict.fail]
    assert said[0].remedy == "The rest was not looked at"
    assert SECRET not in str(said)


def test_what_production_lacks() -> None:
    assert verdicts(house.settings) == ["ok"]
    assert verdicts(house.settings, coinop_env=Environment.production) == ["ok", "warn", "warn"]


def test_a_check_that_hangs_or_breaks_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def hangs(_: Settings) -> Iterator[Finding]:
        never.wait(60)
        yield ok("too late")

    def breaks(_: Settings) -> Iterator[Finding]:
        yield ok("so far")
        raise ValueError(SECRET)

    monkeypatch.setattr(doctor, "PATIENCE_SECONDS", 0.5)
    lines = doctor._together(settings(), {"slow": hangs, "good": house.settings, "broken": breaks})
    never.set()
    assert [(each.check, str(each.finding.verdict)) for each in lines] == [
        ("slow", "fail"), ("good", "ok"), ("broken", "fail"),
    ]  # fmt: skip
    assert lines[0].finding.what == "no answer within 0.5 s"
    assert SECRET not in str(lines)


Say = Callable[..., tuple[int, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    def said(*findings: Finding, **how: Any) -> tuple[int, str]:
        code = doctor.report([doctor.Line("clock", each) for each in findings], **how)
        return code, capsys.readouterr().out

    return said


def test_lines_json_and_exit_codes(say: Say) -> None:
    assert say(ok("fine"), as_json=False) == (0, "clock      ok   fine\n")
    assert say(ok("fine"), warn("late", "Set it"), as_json=False)[0] == 0
    assert say(fail("gone", "Set it"), warn("late", "Set it"), as_json=False)[0] == 1
    code, told = say(ok("fine"), warn("late", "Set it"), as_json=True)
    assert (code, json.loads(told)) == (
        0,
        {
            "verdict": "warn",
            "checks": [
                {"check": "clock", "verdict": "ok", "found": "fine", "do": ""},
                {"check": "clock", "verdict": "warn", "found": "late", "do": "Set it"},
            ],
        },
    )


def test_what_a_library_lets_slip_is_struck_out(say: Say) -> None:
    chosen = settings().model_copy(
        update={"broker_url": "redis://:pass%2Fword@broker/0", "openai_api_key": SecretStr(SECRET)}
    )
    slips = fail(f"with pass%2Fword, pass/word, {SECRET} and {settings().secret_key.get_secret_value()}", "Set it")
    for as_json in (True, False):
        assert "with ***, ***, *** and ***" in say(slips, as_json=as_json, secrets=doctor.secrets_of(chosen))[1]


def test_settings_that_nothing_starts_with_are_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def bad() -> Settings:
        raise BadSettings(
            "Coinop cannot start, a setting is wrong:\n  PORT: expected a number\n  HOST: expected a word"
        )

    monkeypatch.setattr(doctor, "settings", bad)
    assert doctor.main(["--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert [each["found"] for each in told["checks"]] == ["PORT: expected a number", "HOST: expected a word"]


def test_the_whole_without_secrets(
    away: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = {
        "database_url": away,
        "broker_url": f"redis://:{SECRET}@127.0.0.1:1/0",
        "smtp_url": f"smtp://ada:{SECRET}@127.0.0.1:1",
    }
    monkeypatch.setattr(doctor, "settings", lambda: settings().model_copy(update=urls))
    assert doctor.main([]) == 1
    told = capsys.readouterr()
    assert len(told.out.splitlines()) >= len(doctor.FIRST) + len(doctor.REST)
    for secret in (SECRET, settings().secret_key.get_secret_value(), settings().jwt_secret_key.get_secret_value()):
        assert secret not in told.out + told.err
