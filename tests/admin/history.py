"""A made-up history of a house, written row by row at chosen times: one March, and what lies around it.

Keys are made as the product makes them, out of the time, so that a span finds them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from models.catalog import Plan, plan_version
from models.database import sessions
from models.jobs import Job
from models.ledger import Lot, Transfer, Wallet
from models.payments.tables import Dispute, Payment, Refund
from models.plans import Subscription
from models.spends import Spend
from models.users import User

MARCH, APRIL = datetime(2025, 3, 1, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC)
LAST_MOMENT = APRIL - timedelta(microseconds=1)
_numbers = count()


def march(day: int, hour: int = 12, minute: int = 0) -> datetime:
    return datetime(2025, 3, day, hour, minute, tzinfo=UTC)


def february(day: int) -> datetime:
    return datetime(2025, 2, day, 12, tzinfo=UTC)


def key(at: datetime) -> UUID:
    """A UUIDv7 of this moment."""
    milliseconds = (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | next(_numbers))


class History:
    def __init__(self) -> None:
        self.people: dict[str, UUID] = {}
        self.lots: dict[str, int] = {}
        self.wallets: dict[tuple[str, str], int] = {}
        with sessions() as session:
            self.plan = plan_version(session, "basic", Plan.model_validate({"title": "Basic", "rank": 1}))

    def add(self, table: Any, **values: Any) -> Any:
        with sessions() as session:
            return session.execute(insert(table).values(**values).returning(table.__table__.c[0])).scalar_one()

    def user(self, name: str, at: datetime, closed_at: datetime | None = None) -> None:
        who = {} if closed_at else {"email": f"{name}@example.com", "password_hash": "x"}
        self.people[name] = self.add(User, id=key(at), created_at=at, closing_at=closed_at, closed_at=closed_at, **who)

    def job(
        self, name: str, at: datetime, action: str, status: str, *, held: int, charged: int = 0, **how: Any
    ) -> UUID:
        ended = None if status == "queued" else how.pop("ended", at)
        made: UUID = self.add(
            Job, id=key(at), user_id=self.people[name], action=action, kind="chat", queue="generation", status=status,
            input={}, request_digest="", wallet="credits", breakdown=[], estimate=held, held=held, charged=charged,
            refunded=held - charged if ended else 0, max_attempts=3, created_at=at, finished_at=ended,
        )  # fmt: skip
        return made

    def spend(self, name: str, at: datetime, charged: int) -> None:
        self.add(
            Spend, id=key(at), user_id=self.people[name], action="tip", wallet="credits", input={}, breakdown=[],
            charged=charged, balance_after=0, request_digest="", created_at=at,
        )  # fmt: skip

    def wallet(self, name: str, kind: str, **sums: int) -> None:
        self.wallets[name, kind] = self.add(Wallet, user_id=self.people[name], kind=kind, **sums)

    def lot(self, called: str, name: str, kind: str, source: str, **parts: Any) -> None:
        issued = sum(each for part, each in parts.items() if part != "expires_at")
        wallet = self.wallets[name, kind]
        self.lots[called] = self.add(Lot, wallet_id=wallet, source=source, ref=called, issued=issued, **parts)

    def move(self, lot: str, at: datetime, reason: str, amount: int) -> None:
        source, target = WAYS[reason]
        with sessions() as session:
            wallet = session.get_one(Lot, self.lots[lot]).wallet_id
        self.add(
            Transfer, wallet_id=wallet, lot_id=self.lots[lot], amount=amount, source=source, target=target,
            reason=reason, ref=f"move:{next(_numbers)}", balance_after=0, created_at=at,
        )  # fmt: skip

    def payment(self, called: str, name: str, at: datetime, amount: int, currency: str = "EUR", **how: Any) -> UUID:
        state = how.get("state", "succeeded")
        paid: UUID = self.add(
            Payment, id=key(at), user_id=self.people[name], gateway_id=called, title="A pack", amount=amount,
            refunded=0, currency=currency, state=state, created_at=at,
            paid_at=how.get("paid_at", at) if state == "succeeded" else None,
        )  # fmt: skip
        return paid

    def back(self, table: type[Refund] | type[Dispute], called: str, payment: UUID, at: datetime, amount: int,
             *, answered: bool = True, restored: bool = False) -> None:  # fmt: skip
        self.add(
            table, id=called, payment_id=payment, amount=amount, status="x", created_at=at,
            answered_at=at if answered else None, restored_at=at if restored else None,
        )  # fmt: skip

    def subscription(self, name: str, began: datetime, ended: datetime | None = None, origin: str = "payment") -> None:
        self.add(
            Subscription, user_id=self.people[name], plan_version_id=self.plan, origin=origin,
            ref=f"sub:{next(_numbers)}", started_at=began, anchor_at=began, ended_at=ended,
        )  # fmt: skip


WAYS = {
    "grant": ("issued", "available"),
    "hold": ("available", "held"),
    "settle": ("held", "spent"),
    "release": ("held", "available"),
    "spend": ("available", "spent"),
    "expire": ("available", "expired"),
    "clawback": ("available", "clawed_back"),
    "restore": ("clawed_back", "available"),
}


def write() -> History:
    """What happened."""
    made = History()
    for name, at, closed_at in (
        ("gus", february(1) - timedelta(days=30), APRIL + timedelta(days=1)),
        ("fay", february(1), march(15)),
        ("ann", february(10), None),
        ("bob", MARCH, None),
        ("cia", march(20), None),
        ("dan", LAST_MOMENT, None),
        ("eve", APRIL, None),
    ):
        made.user(name, at, closed_at)
    _work(made)
    _books(made)
    _money(made)
    _plans(made)
    return made


def _work(made: History) -> None:
    made.job("gus", february(27), "image", "completed", held=9, charged=8, ended=MARCH)
    made.job("ann", march(5), "chat", "completed", held=5, charged=5)
    made.job("bob", march(6), "chat", "failed", held=5)
    made.job("ann", march(7), "chat", "completed", held=5, charged=4, ended=APRIL)
    made.job("gus", march(8), "image", "queued", held=7)
    made.job("eve", APRIL, "chat", "completed", held=5, charged=5)
    made.spend("cia", march(21), 3)
    made.spend("ann", march(22), 2)
    made.spend("eve", APRIL, 1)
    made.spend("dan", MARCH - timedelta(microseconds=1), 1)


def _books(made: History) -> None:
    made.wallet("ann", "credits", available=60, held=10)
    made.wallet("bob", "credits", available=9, debt=4)
    made.wallet("ann", "tips", available=7)
    made.lot("bought", "ann", "credits", "purchase", available=40, held=6, spent=54)
    made.lot("promo", "ann", "credits", "promo", available=20, held=4)
    made.lot("old", "bob", "credits", "signup", available=9, spent=1, expires_at=APRIL)
    made.lot("used", "bob", "credits", "purchase", spent=30)
    made.lot("daily", "ann", "tips", "daily", available=7)
    made.lot("admin", "bob", "credits", "admin", expired=2, spent=2)
    for number in range(20):  # so that halves have to be made
        made.move("used", february(1) + timedelta(hours=number), "grant", 1_000)
    for lot, at, reason, amount in (
        ("bought", MARCH + timedelta(minutes=10), "grant", 100),
        ("used", MARCH - timedelta(hours=2), "grant", 1_000),  # its clock was behind
        ("promo", MARCH, "grant", 24),
        ("old", march(2), "grant", 10),
        ("admin", march(3), "grant", 4),
        ("daily", march(4), "grant", 7),
        ("bought", march(5), "hold", 10),
        ("bought", march(5), "settle", 5),
        ("bought", march(6), "release", 5),
        ("bought", march(21, 23, 59), "spend", 3),
        ("admin", march(22, 0, 1), "spend", 2),
        ("admin", march(23), "expire", 2),
        ("bought", march(24), "clawback", 6),
        ("bought", march(25), "restore", 1),
        ("used", APRIL + timedelta(hours=1), "grant", 2_000),
        ("used", LAST_MOMENT, "grant", 30),  # its transaction began before
    ):
        made.move(lot, at, reason, amount)
    for number in range(20):
        made.move("used", APRIL + timedelta(days=1, hours=number), "settle", 1_000)


def _money(made: History) -> None:
    first = made.payment("p1", "ann", march(3), 1_000)
    made.payment("p2", "ann", march(30), 500, paid_at=LAST_MOMENT)
    yen = made.payment("p3", "bob", march(10), 300, "JPY")
    made.payment("p4", "cia", march(10), 0)
    made.payment("p5", "cia", march(21), 700, state="failed")
    made.payment("p6", "cia", march(22), 700, state="pending")
    old = made.payment("p7", "gus", february(3), 2_000)
    made.payment("p8", "ann", march(31), 900, "USD", paid_at=APRIL)
    made.back(Refund, "r1", old, march(4), 400)
    made.back(Refund, "r2", first, march(5), 200, restored=True)
    made.back(Refund, "r3", first, march(6), 100, answered=False)
    made.back(Refund, "r4", first, APRIL, 50)
    made.back(Dispute, "d1", old, march(9), 100)
    made.back(Dispute, "d2", first, march(10), 300, restored=True)
    made.back(Dispute, "d3", yen, march(11), 30)


def _plans(made: History) -> None:
    made.subscription("ann", february(12))
    made.subscription("bob", MARCH - timedelta(days=1), march(9))
    made.subscription("bob", march(9))  # another plan
    made.subscription("cia", february(6), march(20))
    made.subscription("gus", february(1), MARCH)  # the first moment of the span
    made.subscription("dan", LAST_MOMENT)
    made.subscription("fay", march(3), march(8))
    made.subscription("cia", march(21), origin="promo")  # given, not paid for
    made.subscription("eve", APRIL)
