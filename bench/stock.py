"""What the databases start with: the same number of users, credits and jobs on both sides."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg
from flask import Flask

from bench.bare import TABLES
from bench.house import BENCH_PRESET, House, using
from models import database, jobs, ledger, users
from models.catalog import load, read_preset
from models.database import SessionFactory, sessions
from models.ledger import Source
from models.outbox import GRACE_SECONDS
from models.plans import NOTHING
from models.quotes import quote
from web import tokens
from web.commands.database import upgrade

USERS = 200
CREDITS = 1_000_000_000
PROMPT = "She wrote: shall we say eight, at the place by the river? I could also do nine."
REQUEST = {"action": "chat", "input": {"prompt": PROMPT}}
PER_TRANSACTION = 200


@dataclass(frozen=True)
class Stock:
    """A product database to copy, by its name, with its users and their jobs, if it has any."""

    template: str
    users: list[UUID]
    jobs: list[tuple[UUID, UUID]]
    """The job and its user."""


def migrated(house: House) -> str:
    """A product database with the catalog of the benchmarks and nobody in it; gives its URL."""
    url = house.new_database()
    engine = database.make_engine(url)
    upgrade(engine)
    with SessionFactory(bind=engine) as session, session.begin():
        load(session, read_preset(BENCH_PRESET))
    engine.dispose()
    return url


def product(house: House, *, queued: int = 0) -> Stock:
    """Users with more credits than they can use, and `queued` jobs that wait with their wake-ups in the outbox."""
    url = migrated(house)
    with using(url):
        owners = [_user() for _ in range(USERS)]
        orders = submit(owners, queued)
    return Stock(_name(url), owners, orders)


def submit(owners: list[UUID], number: int) -> list[tuple[UUID, UUID]]:
    """Submit chat jobs by the product's own verb, many to a transaction; gives each job and its user."""
    catalog = read_preset(BENCH_PRESET)
    asked = quote(catalog, NOTHING, action="chat", raw_input={"prompt": PROMPT})
    orders = [
        jobs.order(catalog, asked, user_id=owners[n % len(owners)], max_attempts=4, idempotency_key=uuid4().hex)
        for n in range(number)
    ]
    for start in range(0, number, PER_TRANSACTION):
        with sessions() as session:
            for order in orders[start : start + PER_TRANSACTION]:
                jobs.submit(session, order)
    return [(order.id, order.user_id) for order in orders]


def bare(house: House, *, queued: int = 0) -> tuple[str, list[UUID]]:
    """The baseline's database: its name for copying, and the ids of its jobs."""
    url = house.new_database()
    ids = [uuid4() for _ in range(queued)]
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(TABLES)
        cursor.execute("INSERT INTO balances SELECT n, %s FROM generate_series(0, %s) n", (CREDITS, USERS - 1))
        cursor.executemany(
            "INSERT INTO jobs (id, user_id, action, status, price, input) VALUES (%s, %s, 'chat', 'queued', 5, '{}')",
            [(job_id, n % USERS) for n, job_id in enumerate(ids)],
        )
    return _name(url), ids


def let_it_fall_due() -> None:
    """Wait until what was staged is the sweep's to publish."""
    time.sleep(GRACE_SECONDS + 1)


def access_tokens(owners: list[UUID]) -> dict[UUID, str]:
    """An access token for each user, signed as the front door signs them."""
    app = Flask("bench")
    tokens.register(app)
    with app.app_context():
        return {user_id: tokens.pair(user_id, uuid4(), uuid4())["access_token"] for user_id in owners}


def _user() -> UUID:
    with sessions() as session:
        user_id = users.register(session, email=f"{uuid4().hex}@example.com", password_hash="none").id
        wallet_id = ledger.open_wallet(session, user_id=user_id, kind="credits")
        ledger.grant(session, wallet_id=wallet_id, amount=CREDITS, source=Source.purchase, ref=f"bench:{user_id}")
    return user_id


def _name(url: str) -> str:
    return psycopg.conninfo.conninfo_to_dict(url)["dbname"]  # type: ignore[return-value]
