"""A product and its customers, as the stories of this folder see them: over HTTP, against a whole running Coinop."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
import psycopg
from flask import Flask
from sqlalchemy import create_engine, text

from tests.databases import in_use
from tests.system.house import Client, House

PASSWORD = "correct horse battery"
PICTURE = "https://example.com/a.png"
SOUND = "https://example.com/a.wav"

Line = tuple[str, int, int, str]
"""A transaction as a story tells it: its type, its amount with its sign, the balance after it, its description."""


@dataclass
class Product:
    """One running product; `house` is its Coinop, `front_door` one of this process for commands."""

    house: House
    front_door: Flask = field(repr=False)

    def sign_up(self) -> Customer:
        http = self.house.sign_up().http
        email = http.get("/v1/me").raise_for_status().json()["email"]
        return Customer(http, email, self)

    def shown(self, noun: str) -> list[dict[str, Any]]:
        """What anybody sees of what is sold: `actions`, `packs` or `plans`."""
        answer = httpx.get(f"{self.house.url}/v1/{noun}", timeout=15).raise_for_status()
        found: list[dict[str, Any]] = answer.json()[noun]
        return found

    def flask(self, *arguments: str) -> str:
        """Run a command and return what it says.

        Here and not in a process of its own, of which the second it takes to start would be most of these stories.
        """
        with in_use(self.house.database_url):
            ended = self.front_door.test_cli_runner().invoke(args=list(arguments))
        assert ended.exit_code == 0, ended.output
        return ended.output

    def set_clock(self, to: datetime) -> None:
        """Let it be `to` now, for the database of this product, and go on from there."""
        with psycopg.connect(self.house.database_url, autocommit=True) as connection:
            connection.execute("UPDATE clock.shift SET by = %s - pg_catalog.now()", [to])

    def granted(self, customer: Customer, source: str) -> list[int]:
        """What was granted to a customer from one source, in order.

        Asked of the database, because asking over HTTP would grant what is due.
        """
        lots = """
            SELECT issued FROM lots JOIN wallets ON wallets.id = lots.wallet_id JOIN users ON users.id = wallets.user_id
            WHERE users.email = %s AND lots.source = %s ORDER BY lots.id
        """
        with psycopg.connect(self.house.database_url) as connection:
            return [issued for (issued,) in connection.execute(lots, [customer.email, source]).fetchall()]

    def queue_of(self, job: dict[str, Any]) -> str:
        """The queue that a job went to, which only the database tells."""
        engine = create_engine(self.house.database_url)
        job_id = job["id"] if engine.dialect.name == "postgresql" else UUID(job["id"]).hex
        with engine.connect() as connection:
            queue: str = connection.execute(text("SELECT queue FROM jobs WHERE id = :id"), {"id": job_id}).scalar_one()
        engine.dispose()
        return queue


@dataclass
class Customer(Client):
    """A signed-in user of a product."""

    email: str
    product: Product = field(repr=False)

    def see(self, path: str, **parameters: Any) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(path, params=parameters).raise_for_status().json()
        return found

    def balances(self) -> dict[str, int]:
        """What can be used of each wallet."""
        return {kind: balance["available"] for kind, balance in self.see("/v1/me")["balances"].items()}

    def estimate(self, action: str, **given: Any) -> dict[str, Any]:
        answer = self.http.post("/v1/jobs/estimate", json={"action": action, "input": given})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def price(self, action: str, **given: Any) -> int:
        price: int = self.estimate(action, **given)["price"]
        return price

    def accepted(self, action: str, **given: Any) -> dict[str, Any]:
        """Submit a job and return it as it was accepted."""
        return self.order({"action": action, "input": given})

    def run(self, action: str, **given: Any) -> dict[str, Any]:
        """Submit a job, wait for its end, and see that it was done and charged what was held."""
        job = self.ended(self.accepted(action, **given))
        cost = job["cost"]
        assert (job["status"], cost["charged"], cost["refunded"]) == ("completed", cost["held"], 0), job
        return job

    def charged(self, action: str, **given: Any) -> int:
        """What a job that is done has cost."""
        cost: int = self.run(action, **given)["cost"]["charged"]
        return cost

    def spend(self, action: str, *, key: str | None = None, **given: Any) -> httpx.Response:
        headers = {"Idempotency-Key": key} if key else {}
        return self.http.post("/v1/spends", json={"action": action, "input": given}, headers=headers)

    def spent(self, action: str, **given: Any) -> int:
        """What a spend has cost."""
        answer = self.spend(action, **given)
        assert answer.status_code == 201, answer.text
        cost: int = answer.json()["cost"]["charged"]
        return cost

    def problem(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What a request is refused with; it changes no balance."""
        before = self.balances()
        answer = self.http.post(path, json=body)
        assert answer.headers["Content-Type"] == "application/problem+json", answer.text
        problem: dict[str, Any] = answer.json()
        assert (problem["status"], self.balances()) == (answer.status_code, before)
        return problem

    def short(self, action: str, **given: Any) -> tuple[int, int, int]:
        """Required, available and shortfall of a job that the credits do not suffice for."""
        problem = self.problem("/v1/jobs", {"action": action, "input": given})
        assert (problem["status"], problem["code"]) == (402, "insufficient_credits"), problem
        return problem["required"], problem["available"], problem["shortfall"]

    def pages(self, noun: str, *, limit: int, **parameters: Any) -> list[list[dict[str, Any]]]:
        """Every page of one of the lists, `/v1/<noun>`."""
        return self.pages_of(f"/v1/{noun}", noun.replace("-", "_"), limit=limit, **parameters)

    def pages_of(self, path: str, noun: str, *, limit: int, **parameters: Any) -> list[list[dict[str, Any]]]:
        """Every page of a list, which is called `noun` in its answers."""
        pages: list[list[dict[str, Any]]] = []
        after: dict[str, Any] = {}
        while True:
            page = self.see(path, limit=limit, **after, **parameters)
            pages.append(page[noun])
            if page["next"] is None:
                return pages
            after = {"after": page["next"]}

    def statement(self, **parameters: Any) -> list[Line]:
        """Every transaction, the oldest first."""
        newest_first = [each for page in self.pages("transactions", limit=50, **parameters) for each in page]
        return [
            (each["type"], each["amount"], each["balance_after"], each["description"]) for each in newest_first[::-1]
        ]

    def buy(self, pack: str, *, ref: str) -> None:
        """Have a pack's credits, paid for elsewhere under the number `ref`."""
        self.product.flask("packs", "grant", self.email, pack, "--ref", ref)

    def subscribe(self, plan: str, *options: str) -> None:
        """Have a plan, paid for elsewhere."""
        self.product.flask("plans", "assign", self.email, plan, *options)
