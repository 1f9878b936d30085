"""The broker, and those who take what it carries."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import redis

from config import Settings
from models import signs
from models.database import readings
from ops.checks import rabbitmq
from ops.findings import Finding, fail, ok, warn

PATIENCE_SECONDS = 2.0

LATE_SECONDS = 4 * signs.EVERY_SECONDS


def broker(chosen: Settings) -> Iterator[Finding]:
    url = urlsplit(chosen.broker_url)
    where = f"the broker at {url.hostname or url.path}"
    if chosen.on_rabbitmq:
        yield from rabbitmq.broker(chosen, where)
        return
    patience = {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
    try:
        with redis.Redis.from_url(chosen.broker_url, **patience) as client:
            said = client.info()
    except redis.AuthenticationError:
        yield fail(f"{where} refuses the password", "See BROKER_URL")
        return
    except (redis.RedisError, OSError) as error:
        yield fail(f"{where} does not answer ({type(error).__name__})", "Start it, or see BROKER_URL")
        return
    name = "Valkey" if "valkey_version" in said else "Redis"
    yield ok(f"{where} answers: {name} {said.get('valkey_version') or said.get('redis_version', '')}")
    if said.get("loading"):
        yield warn(f"{where} is still reading its file", "Wait until it has")
    yield from _keeping(where, said)


def _keeping(where: str, said: dict[str, object]) -> Iterator[Finding]:
    """Whether it loses nothing that it has taken."""
    policy = said.get("maxmemory_policy")
    if not said.get("aof_enabled"):
        what = f"{where} keeps nothing when it is restarted: its append-only file is off"
        yield fail(what, "Set: appendonly yes")
    elif said.get("aof_last_write_status", "ok") != "ok":
        yield fail(f"{where} cannot write its append-only file", "Is its disk full? See its log")
    else:
        yield ok(f"{where} writes an append-only file")
    if policy != "noeviction":
        what = f"{where} throws messages away when its memory is full ({policy})"
        yield fail(what, "Set: maxmemory-policy noeviction")
    else:
        yield ok(f"{where} throws nothing away (noeviction)")


def workers(_: Settings) -> Iterator[Finding]:
    from worker.app import app

    try:
        told = app.control.inspect(timeout=PATIENCE_SECONDS).active_queues() or {}
    except Exception as error:  # each transport has its own errors for a broker that is away
        yield fail(f"workers cannot be asked ({type(error).__name__})", "See what is said of the broker")
        return
    takers: dict[str, list[str]] = {}
    for worker, queues in told.items():
        for queue in queues:
            takers.setdefault(queue["name"], []).append(worker)
    for queue in app.conf.task_queues:
        names = sorted(takers.get(queue.name, []))
        if names:
            yield ok(f"{queue.name} is taken by {', '.join(names)}")
        else:
            yield fail(f"no worker takes {queue.name}", "Start one: docs/runbook.md#workers")


def beat(_: Settings) -> Iterator[Finding]:
    """A sign is left by the worker that did what beat asked for: it shows beat, the broker and that worker."""
    with readings() as session:
        age = next((each.age for each in signs.read(session) if each.name == signs.BEAT), None)
    if age is None:
        yield fail("nothing that beat asks for was ever done", "Start beat: docs/runbook.md#beat")
    elif age > LATE_SECONDS:
        yield fail(f"nothing that beat asks for was done for {age:.0f} s", "See docs/runbook.md#beat")
    else:
        yield ok(f"beat had something done {age:.0f} s ago")
