"""Everything at once for a while: no deadlock, no false alarm of the audit meanwhile, and clean books afterwards."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from uuid import UUID

import pytest
from sqlalchemy import select, update

from models import jobs, ledger
from models.audit import audit
from models.database import moment, sessions
from models.errors import Refusal
from models.jobs import Claim, Job, Queue, Status
from models.ledger import Lot, Source, Wallet
from models.ledger.transfers import LedgerError
from tests.jobs.work import LEASE, OUTPUTS, USAGE, an_order

NewUser = Callable[..., tuple[UUID, int]]
pytestmark = pytest.mark.usefixtures("arena")

SECONDS = 3.0
THREADS = 12


class Weather:
    """What may happen to a few users, at random, as often as a thread can."""

    def __init__(self, people: list[tuple[UUID, int]]) -> None:
        self.people = people
        self.refs = count()
        self.did: Counter[str] = Counter()
        self.errors: list[BaseException] = []

    def blow(self, seed: int) -> None:
        dice = random.Random(seed)
        deeds = [
            self.submit, self.submit, self.submit, self.run, self.run, self.run, self.cancel, self.grant, self.clawback,
            self.restore, self.spend, self.expire, self.lose, self.rescue, self.expire_waiting, self.wake, self.prove,
        ]  # fmt: skip
        until = time.monotonic() + SECONDS
        while time.monotonic() < until:
            deed = dice.choice(deeds)
            user, wallet = dice.choice(self.people)
            try:
                deed(dice, user, wallet)
                self.did[deed.__name__] += 1
            except (Refusal, LedgerError) as refused:
                self.did[type(refused).__name__] += 1
            except BaseException as error:
                self.errors.append(error)
                raise

    def submit(self, dice: random.Random, user: UUID, _: int) -> None:
        price, wait, key = dice.choice([0, 5, 25, 60]), dice.choice([None, 60]), dice.choice([None, "k", "l"])
        with sessions() as session:
            jobs.submit(session, an_order(user, price=price, expires_in=wait, key=key, at_once=15))

    def run(self, dice: random.Random, user: UUID, _: int) -> None:
        with sessions() as session:
            ids = session.scalars(select(Job.id).where(Job.user_id == user, Job.status == Status.queued).limit(9)).all()
        for job_id in dice.sample(ids, min(2, len(ids))):
            with sessions() as session:
                made = jobs.claim(session, job_id, lease_seconds=LEASE)
            if made is not None and dice.random() < 0.8:
                self.finish(dice, made)

    def finish(self, dice: random.Random, made: Claim) -> None:
        with sessions() as session:
            how = dice.choice(["complete", "complete", "in part", "fail", "retry", "cancel"])
            if how == "fail":
                jobs.fail(session, made, code="x", message="x")
            elif how == "retry":
                jobs.retry(session, made, code="x", message="x", base_seconds=0.01)
            elif how == "cancel":
                jobs.cancel(session, made, provider_began=True)
            else:
                percent = 40 if how == "in part" else 100
                jobs.complete(session, made, outputs=OUTPUTS, usage=USAGE, delivered_percent=percent)

    def cancel(self, dice: random.Random, user: UUID, _: int) -> None:
        with sessions() as session:
            ids = session.scalars(select(Job.id).where(Job.user_id == user, Job.status.in_(jobs.LIVE)).limit(9)).all()
        if ids:
            with sessions() as session:
                jobs.request_cancel(session, user_id=user, job_id=dice.choice(ids))

    def grant(self, dice: random.Random, _: UUID, wallet: int) -> None:
        with sessions() as session:
            late = dice.choice([None, moment(session, plus=0.3), moment(session, plus=60)])
            source = dice.choice([Source.purchase, Source.daily])
            ledger.grant(
                session, wallet_id=wallet, amount=50, source=source, ref=f"r{next(self.refs)}", expires_at=late
            )

    def clawback(self, dice: random.Random, _: UUID, wallet: int) -> None:
        with sessions() as session:
            lots = session.scalars(select(Lot.id).where(Lot.wallet_id == wallet).order_by(Lot.id.desc()).limit(5)).all()
            ledger.clawback(session, lot_id=dice.choice(lots), amount=20, ref=f"c{next(self.refs)}")

    def restore(self, dice: random.Random, _: UUID, __: int) -> None:
        with sessions() as session:
            refs = session.scalars(
                select(ledger.Clawback.ref).where(ledger.Clawback.restored_at.is_(None)).limit(9)
            ).all()
            if refs:
                ledger.restore(session, ref=dice.choice(refs))

    def spend(self, _: random.Random, __: UUID, wallet: int) -> None:
        with sessions() as session:
            ledger.spend(session, wallet_id=wallet, amount=3, ref=f"s{next(self.refs)}")

    def expire(self, _: random.Random, __: UUID, wallet: int) -> None:
        with sessions() as session:
            ledger.expire(session, wallet_id=wallet)

    def lose(self, _: random.Random, user: UUID, __: int) -> None:
        """Let leases and deadlines of a user pass; one row at a time, as time does not take locks either."""
        with sessions() as session:
            ids = session.scalars(select(Job.id).where(Job.user_id == user, Job.status.in_(jobs.LIVE)).limit(5)).all()
        for job_id in ids:
            with sessions() as session:
                late = moment(session, plus=-40)
                session.execute(
                    update(Job).where(Job.id == job_id, Job.lease_until.is_not(None)).values(lease_until=late)
                )
                session.execute(
                    update(Job)
                    .where(Job.id == job_id, Job.status == Status.queued)
                    .values(run_after=late, expires_at=late if job_id.int % 3 == 0 else Job.expires_at)
                )

    def rescue(self, *_: object) -> None:
        with sessions() as session:
            jobs.rescue_silent(session, base_seconds=0.01)

    def expire_waiting(self, *_: object) -> None:
        with sessions() as session:
            jobs.expire_waiting(session)

    def wake(self, *_: object) -> None:
        with sessions() as session:
            jobs.wake_again(session, Queue.generation)

    def prove(self, *_: object) -> None:
        with sessions() as session:
            assert audit(session) == [], "the audit raised an alarm beside live traffic"


@pytest.mark.parametrize("crowd", [1, 4])
def test_a_storm_leaves_the_books_clean(new_user: NewUser, crowd: int) -> None:
    weather = Weather([new_user(500) for _ in range(crowd)])
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(weather.blow, range(THREADS)))
    assert weather.errors == []
    with sessions() as session:
        assert audit(session) == []
        assert all(min(row) >= 0 for row in session.execute(select(Wallet.available, Wallet.held, Wallet.debt)))
    for deed in ("submit", "run", "cancel", "grant", "clawback", "restore", "rescue", "prove"):
        assert weather.did[deed] > 0, weather.did
