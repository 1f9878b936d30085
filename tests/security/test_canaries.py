"""Canaries: a whole running Coinop, in production and talkative, lives through good and bad days; then everything that
anybody could read without being meant to is searched for what nobody may read there.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import flower.urls
import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from ops import embedded
from tests.mail.conftest import MailServer
from tests.system.house import Client, House, until
from tests.uploads.drawings import picture
from tests.watching.receivers import Receiver, Span, receiving

PASSWORD = "canary-password-" + secrets.token_hex(6)
SMTP_PASSWORD, DATABASE_PASSWORD, BROKER_PASSWORD = (f"canary@{name}/{secrets.token_hex(6)}" for name in "sdb")
COLLECTOR_KEY, SENTRY_KEY = (f"canary{name}{secrets.token_hex(6)}" for name in "cr")
NAME = "canary-" + secrets.token_hex(6)
EMAIL = f"{NAME}@example.com"
PROMPT = f"She wrote {secrets.token_hex(8)}, and I do not know what to say."


@dataclass
class Guarded(House):
    """A Coinop with a password on everything it talks to."""

    urls: dict[str, str] = field(default_factory=dict)

    def environment(self) -> dict[str, str]:
        return {
            **super().environment(),
            **self.urls,
            "COINOP_ENV": "production",
            "PAYMENTS_MODE": "mock",
            "LOG_LEVEL": "DEBUG",
            "LOGIN_RATE_LIMIT": "3 per hour",
        }


@dataclass
class Broker:
    """A broker with a password, that can be lost and come back."""

    folder: Path
    port: int = field(default_factory=embedded.free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        argv = [*embedded.broker_argv(self.port, self.folder), "--requirepass", BROKER_PASSWORD]
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL)

    def lose(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


@dataclass
class Street:
    """The house, what it talks to, and what was said at its doors."""

    house: Guarded
    broker: Broker
    mail: MailServer
    traces: Receiver
    reports: Receiver
    told: list[str] = field(default_factory=list)
    """Every error that was answered, whole."""

    def client(self, **headers: str) -> httpx.Client:
        return httpx.Client(
            base_url=self.house.url, timeout=20, headers=headers, event_hooks={"response": [self._note]}
        )

    def _note(self, answer: httpx.Response) -> None:
        answer.read()
        if answer.status_code >= 400:
            self.told.append(f"{answer.request.method} {answer.status_code} {answer.headers} {answer.text}")


@pytest.fixture
def traces() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def reports() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def street(postgresql_server: str, tmp_path: Path, traces: Receiver, reports: Receiver) -> Iterator[Street]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker, mail = Broker(folder), MailServer(accounts={NAME: SMTP_PASSWORD})
    broker.start()
    mail.start()
    database = embedded.create_database(postgresql_server, f"guarded_{secrets.token_hex(6)}")
    with_password = make_url(database).set(password=DATABASE_PASSWORD).render_as_string(hide_password=False)
    house = Guarded(
        tmp_path / "home", with_password,
        urls={
            "BROKER_URL": f"redis://:{quote(BROKER_PASSWORD, safe='')}@127.0.0.1:{broker.port}/0",
            "SMTP_URL": f"smtp://{NAME}:{quote(SMTP_PASSWORD, safe='')}@127.0.0.1:{mail.port}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": traces.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{COLLECTOR_KEY}",
            "SENTRY_DSN": f"{reports.url.replace('://', f'://{SENTRY_KEY}@')}/7",
        },
    )  # fmt: skip
    try:
        house.start()
        yield Street(house, broker, mail, traces, reports)
    finally:
        if house.process is not None:
            house.stop()
        broker.lose()
        mail.stop()


def test_nothing_that_is_secret_is_read_anywhere_else(street: Street) -> None:
    house = street.house
    canaries = {
        "password": PASSWORD, "SMTP password": SMTP_PASSWORD, "database password": DATABASE_PASSWORD,
        "broker password": BROKER_PASSWORD, "prompt": PROMPT, "e-mail address": NAME,
        "collector key": COLLECTOR_KEY, "Sentry key": SENTRY_KEY,
        **{name: house.secret(name) for name in ("SECRET_KEY", "JWT_SECRET_KEY", "ADMIN_API_KEY", "FLOWER_PASSWORD")},
    }  # fmt: skip
    canaries |= _a_good_day(street)
    _bad_words_at_the_door(street, canaries)
    _a_bad_day(street)
    seen = _look_through_flower(house)
    house.stop()
    for name in (house.home / "logs").iterdir():
        seen[f"logs/{name.name}"] = name.read_text()
    seen["what `make up` printed"] = (house.home / "up.log").read_text()
    seen["what errors said"] = "\n".join(street.told)
    seen["what was traced"] = street.traces.text()
    seen["what was reported"] = street.reports.text().replace(f'"public_key":"{SENTRY_KEY}"', "")
    _one_trace_for_a_job(street.traces.spans)
    assert street.reports.events, "of a day on which the database was lost"
    assert {"logs/web.log", "logs/generation.log", "logs/mail.log", "logs/beat.log", "logs/flower.log"} <= set(seen)
    assert len(street.told) > 20
    found = [
        f"{name} in {place}: {_around(text, form)}"
        for place, text in seen.items()
        for name, canary in canaries.items()
        for form in {canary, quote(canary, safe=""), canary.replace("/", "\\/")}
        if form in text
    ]
    assert not found, "\n".join(found)


def _a_good_day(street: Street) -> dict[str, str]:
    """Sign up, verify, make a key, have a job done; gives the secrets that came of it."""
    guest = street.client()
    tokens = _made(guest.post("/v1/auth/signup", json={"email": EMAIL, "password": PASSWORD}))
    user = street.client(Authorization=f"Bearer {tokens['access_token']}")
    letter = until(lambda: street.mail.messages[0] if street.mail.messages else None)
    link = re.search(r"token=([\w-]+)", letter.as_string().replace("=\n", "").replace("=3D", "="))
    assert link is not None
    guest.post("/v1/auth/verify-email", json={"token": link[1]}).raise_for_status()
    key = (
        user.post("/v1/api-keys", json={"name": NAME, "scopes": ["jobs:read", "jobs:write"]}).raise_for_status().json()
    )
    server = street.client(Authorization=f"Bearer {key['key']}")
    done = Client(server).ended(Client(server).submit(PROMPT))
    assert done["status"] == "completed"
    upload = (
        user.post("/v1/uploads", content=picture(), headers={"Content-Type": "image/png"}).raise_for_status().json()
    )
    for file in (street.house.home / "outputs" / "uploads").rglob(upload["id"]):
        file.unlink()
    body = {"action": "vision", "input": {"prompt": PROMPT, "upload": upload["id"]}}
    failed = Client(user).ended(Client(user).order(body))
    assert failed["error"]["code"] == "image_unavailable"
    forged = street.client(**{"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "Script-Name": "/x"})
    answer = forged.post("/v1/auth/login", json={"email": EMAIL, "password": PASSWORD}).raise_for_status()
    assert "strict-transport-security" not in answer.headers, "nobody of ours said that this came over https"
    assert "6.6.6.6" not in user.get("/v1/me/sessions").raise_for_status().text
    admin = street.client(Authorization=f"Bearer {street.house.secret('ADMIN_API_KEY')}")
    admin.get("/v1/admin/users", params={"search": EMAIL}).raise_for_status()
    return {
        "access token": tokens["access_token"],
        "refresh token": tokens["refresh_token"],
        "one-time token": link[1],
        "API key": key["key"],
    }


def _one_trace_for_a_job(spans: list[Span]) -> None:
    """Of what each service has sent, at the latest when it ended."""
    by_id = {each.id: each for each in spans}
    run = next(each for each in spans if each.name == "generation.run")
    line = [run]
    while line[-1].parent:
        line.append(by_id[line[-1].parent])
    assert [(each.service, each.name) for each in line] == [
        ("coinop-generation", "generation.run"), ("coinop-web", "publish generation.run"),
        ("coinop-web", "POST /v1/jobs"),
    ]  # fmt: skip
    assert {each.trace_id for each in line} == {run.trace_id}


def _made(answer: httpx.Response) -> dict[str, Any]:
    made: dict[str, Any] = answer.raise_for_status().json()
    return made


def _bad_words_at_the_door(street: Street, canaries: dict[str, str]) -> None:
    """Every secret where it does not belong: in a wrong body, a wrong place, an address, a header."""
    for canary in canaries.values():
        client = street.client(Authorization=f"Bearer {canary}", **{"X-Canary": canary})
        client.get("/v1/me", params={"token": canary})
        client.get("/v1/jobs", params={"after": canary, "colour": canary})
        client.get(f"/v1/jobs/{quote(canary, safe='')}")
        client.post("/v1/auth/login", json={"email": canary, "password": canary, "colour": canary})
        client.post("/v1/auth/login", content=f'{{"email": "{canary}", "password": "', headers=_JSON)
        client.post("/v1/auth/verify-email", json={"token": canary})
        client.post("/v1/auth/refresh", json={"refresh_token": canary})
        client.get("/verify-email", params={"token": canary})
    # gunicorn writes down what it does not understand, such as these for methods. What looks like nothing but a word
    # nobody can know for a secret.
    for name, canary in {**canaries, "e-mail address": EMAIL}.items():
        if name not in ("password", "prompt"):
            with socket.create_connection(("127.0.0.1", street.house.port), timeout=10) as connection:
                connection.sendall(f"{canary} / HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                connection.recv(4096)
    guest = street.client()
    for _ in range(4):
        guest.post("/v1/auth/login", json={"email": EMAIL, "password": f"{PASSWORD}x"})
    user = street.client(Authorization=f"Bearer {canaries['access token']}")
    user.post("/v1/jobs", json={"action": "chat", "input": {"prompt": PROMPT, "password": PASSWORD}})
    user.post("/v1/jobs", json={"action": PROMPT[:40], "input": {}})
    user.post("/v1/me/password", json={"current_password": f"{PASSWORD}y", "new_password": PASSWORD})
    with contextlib.suppress(httpx.TransportError):  # who goes on talking may not hear that it is too much
        user.post("/v1/jobs", content=PROMPT * 10_000, headers=_JSON)


_JSON = {"Content-Type": "application/json"}


def _a_bad_day(street: Street) -> None:
    """A refused mail, a lost mail server, a lost broker, a lost database."""
    house, guest = street.house, street.client()
    street.mail.rcpt_replies = [f"550 5.1.1 <{EMAIL}>: nobody of this name, {SMTP_PASSWORD}"]
    guest.post("/v1/auth/forgot-password", json={"email": EMAIL}).raise_for_status()
    until(lambda: not street.mail.rcpt_replies)
    street.mail.accounts[NAME] = "another"
    guest.post("/v1/auth/forgot-password", json={"email": EMAIL}).raise_for_status()
    until(lambda: "mail" in (house.home / "logs" / "mail.log").read_text())
    street.mail.stop()
    guest.post("/v1/auth/forgot-password", json={"email": f"other-{EMAIL}"})
    street.broker.lose()
    with psycopg.connect(make_url(house.database_url).render_as_string(hide_password=False)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    guest.get("/readyz")
    street.broker.start()
    assert house.flask("audit").returncode == 0
    until(lambda: _works(house))


def _works(house: House) -> bool:
    """Whether a job is done. Each connection that was cut finds that out for itself."""
    try:
        user = house.sign_up()
        return bool(user.ended(user.submit(PROMPT))["status"] == "completed")
    except (httpx.HTTPError, AssertionError):
        return False


def _look_through_flower(house: House) -> dict[str, str]:
    """Every page of Flower, which nobody sees without its password."""
    base = f"http://127.0.0.1:{house.flower_port}"
    patterns = [getattr(each, "regex", None) or re.compile(each[0]) for each in flower.urls.handlers]
    paths = [re.sub(r"\(?\.[+*]\)?", "x", each.pattern.rstrip("$")).removesuffix("/?") for each in patterns]
    stranger = httpx.Client(base_url=base, timeout=20)
    for path in paths:
        for method in ("GET", "POST"):
            answer = stranger.request(method, path)
            shut = answer.status_code in (401, 403, 405) or path in OPEN_IN_FLOWER
            assert shut, f"{method} {path} is answered {answer.status_code}"
    inside = httpx.Client(base_url=base, timeout=20, auth=("coinop", house.secret("FLOWER_PASSWORD")))
    tasks: dict[str, Any] = inside.get("/api/tasks").raise_for_status().json()
    assert any(task["name"] == "generation.run" for task in tasks.values())

    def all_workers() -> dict[str, Any] | None:
        # It waits a second for those that answer, and they may be busy.
        found: dict[str, Any] = inside.get("/api/workers", params={"refresh": "1"}).raise_for_status().json()
        return found if len(found) == 4 else None

    workers = until(all_workers)
    asked = [
        "/", "/tasks", "/broker", "/metrics", "/api/tasks", "/api/workers", "/api/queues/length", "/api/task/types",
        *(f"/worker/{name}" for name in workers),
        *(f"{page}/{number}" for number in list(tasks)[:20] for page in ("/task", "/api/task/info")),
    ]  # fmt: skip
    seen = {f"Flower's {path}": inside.get(path).raise_for_status().text for path in asked}
    for task in tasks.values():
        given = [task["args"] or "[]", task["kwargs"] or "{}"]
        assert re.fullmatch(rf"[(\[]({ID}'?,? ?)*[)\]]", given[0].replace("'", "")), given
        assert given[1] == "{}"
    return seen


ID = "[0-9a-f-]{36}"

OPEN_IN_FLOWER = {
    "/healthcheck": "that it is alive",
    "/static/x": "its own scripts, styles and pictures",
    "/login": "is not there without an identity provider",
    "/logout": "forgets a cookie",
    "x": "is not there",
}
"""What Flower answers without its password, and what it tells."""


def _around(text: str, found: str) -> str:
    at = text.index(found)
    return repr(text[max(at - 150, 0) : at + len(found) + 50])
