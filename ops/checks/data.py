"""The database: whether it answers, has the right form and clock, and what lies unfinished in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import func, select, text
from sqlalchemy.engine import make_url

from config import Settings
from models import catalog, gauges, readiness, signs
from models.database import moment, readings
from models.errors import NotFound
from models.payments.inbox import EventState, GatewayEvent
from ops.findings import Finding, fail, ok, warn

OLDEST_POSTGRESQL = 14

MOST_SKEW_SECONDS = 2.0

OLDEST_AUDIT_SECONDS = 3 * 3600.0

MIGRATE = "Run: flask --app wsgi migrate"


def database(chosen: Settings) -> Iterator[Finding]:
    url = make_url(chosen.database_url)
    if url.get_backend_name() == "sqlite":
        # To connect would make the file.
        if not Path(url.database or "").is_file():
            yield fail(f"there is no database at {url.database}", MIGRATE)
            return
        with readings() as session:
            version = session.execute(text("SELECT sqlite_version()")).scalar_one()
            session.execute(text("SELECT count(*) FROM sqlite_master")).one()
        yield ok(f"SQLite {version} at {url.database} answers")
        return
    with readings() as session:
        version = session.execute(text("SHOW server_version")).scalar_one()
        number = int(session.execute(text("SHOW server_version_num")).scalar_one())
        patience = session.execute(text("SHOW lock_timeout")).scalar_one()
        read_only = session.execute(text("SHOW transaction_read_only")).scalar_one() == "on"
    what = f"PostgreSQL {version.split()[0]} on {url.host or 'a socket'} answers"
    if read_only:
        yield fail(f"{what}, but only reads", "Is DATABASE_URL that of a replica? See docs/runbook.md#database")
    elif number < OLDEST_POSTGRESQL * 10_000:
        yield warn(what, f"Take {OLDEST_POSTGRESQL} or newer: older ones are not tried")
    elif patience == "0":
        remedy = "Let the pooler set it: connect_query in deploy/pgbouncer/pgbouncer.ini"
        yield warn(f"{what}, but a statement there waits for a lock for ever", remedy)
    else:
        yield ok(what)


def migrations(_: Settings) -> Iterator[Finding]:
    with readings() as session:
        form = readiness.form(session)
    if form.behind:
        yield fail(f"the database is at migration {form.at or 'none'}, this code needs {form.head}", MIGRATE)
    elif form.ahead:
        what = f"the database is at migration {form.at}, which this code does not know; it knows {form.head}"
        yield warn(what, "Newer code migrated it: finish the update of this machine")
    else:
        yield ok(f"the database is at migration {form.at}, the last")


def sold(_: Settings) -> Iterator[Finding]:
    try:
        with readings() as session:
            current = catalog.current(session)
    except NotFound:
        yield fail("no catalog is loaded", "Run: flask --app wsgi catalog load presets/default.toml")
        return
    yield ok(f"a catalog is loaded, with {len(current.actions)} actions")


def clock(_: Settings) -> Iterator[Finding]:
    with readings() as session:
        began = time.time()
        theirs = moment(session)
        ours = (began + time.time()) / 2
    skew = theirs.timestamp() - ours
    what = f"the database's clock is {abs(skew):.1f} s {'before' if skew > 0 else 'behind'} ours"
    if abs(skew) > MOST_SKEW_SECONDS:
        yield warn(what, "Let both machines keep time by NTP: tokens are judged by ours, all else by the database's")
    else:
        yield ok(f"the database's clock is ours ({datetime.fromtimestamp(ours, UTC):%H:%M:%S} UTC)")


LATE = {
    "queue_oldest_seconds": (60.0, "a job has waited {} s for a worker in {}", "queues"),
    "outbox_oldest_seconds": (60.0, "a message has not been published for {} s", "outbox"),
    "webhook_lag_seconds": (300.0, "an event of the gateway has not been handled for {} s", "events"),
    "emails_oldest_seconds": (900.0, "an e-mail has not been sent for {} s", "e-mails"),
}
"""What may wait for how long, how that is said, and where in the runbook to look."""


def unfinished(_: Settings) -> Iterator[Finding]:
    with readings() as session:
        found = gauges.read(session)
        given_up = select(func.count()).where(GatewayEvent.state == EventState.failed)
        events = session.execute(given_up).scalar_one()
    before = []
    for each in found:
        limit, words, section = LATE.get(each.name, (None, "", ""))
        if limit is not None and each.value > limit:
            before.append(fail(words.format(round(each.value), *each.labels), f"See docs/runbook.md#{section}"))
        elif each.name == "jobs_silent" and each.value:
            what = f"{each.value:.0f} jobs run without a sign of their worker"
            before.append(warn(what, "Look again in a minute: docs/runbook.md#silent-jobs"))
        elif each.name == "provider_circuit_open" and each.value:
            what = f"{each.labels[0]} failed again and again and is left alone"
            before.append(warn(what, "It is tried again by itself: docs/runbook.md#providers"))
    if events:
        before.append(warn(f"{events} events of the gateway were given up", "See docs/runbook.md#events"))
    yield from before or [ok("nothing waits for too long")]


def books(_: Settings) -> Iterator[Finding]:
    """What the last audit came to; a new one reads every transfer there is, and takes its time."""
    with readings() as session:
        last = next((each for each in signs.read(session) if each.name == signs.AUDIT), None)
    if last is None:
        yield warn("the books were never audited", "Beat does so every hour; now: flask --app wsgi audit")
    elif last.value:
        yield fail(f"the last audit found {last.value} things that do not fit", "See docs/runbook.md#the-books")
    elif last.age > OLDEST_AUDIT_SECONDS:
        what = f"the books were not audited for {last.age / 3600:.0f} hours"
        yield warn(what, "Is beat alive? Now: flask --app wsgi audit")
    else:
        yield ok(f"the last audit, {last.age / 60:.0f} minutes ago, found nothing")
