"""Whatever happens to jobs in whatever order, each has the one outcome that the rules say, and the audit is clean."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, precondition, rule
from sqlalchemy import func, select

from models import jobs, ledger, users
from models.audit import audit
from models.database import sessions
from models.errors import IdempotencyKeyReused, InsufficientCredits, NotCancelable, TooManyJobs
from models.jobs import Claim, Job, JobSlots, Queue
from models.ledger import Lot, Source, Wallet
from models.outbox import Outbox
from tests.audits import prove
from tests.jobs.pure import AT_ONCE, CANCEL_PERCENT, Life, PureJobs
from tests.jobs.work import OUTPUTS, USAGE, an_order
from tests.ledger import sequences
from tests.ledger.pure import PureLot

HALF_HOUR = 1800.0
REFUSALS = {"reused": IdempotencyKeyReused, "slots": TooManyJobs, "credits": InsufficientCredits}
people = st.integers(0, 1)


class JobMachine(RuleBasedStateMachine):
    """The product and the rules in `pure.py` live through the same things and must agree after each of them."""

    lives = Bundle[Life]("lives")
    claims = Bundle[tuple[Life, Claim]]("claims")
    lots = Bundle[PureLot]("lots")

    def __init__(self) -> None:
        super().__init__()
        sequences.clean_slate()
        self.pure = PureJobs()
        self.refs = (f"fact:{n}" for n in count())
        self.began = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=30)
        with sessions() as session:
            self.users = [
                users.register(session, email=f"{name}@example.com", password_hash="x").id for name in ("ann", "bob")
            ]
            self.wallets = [ledger.open_wallet(session, user_id=user, kind="credits") for user in self.users]
        for n in (0, 1):
            self.grant(n, 60, None)

    def user_of(self, life: Life) -> UUID:
        return self.users[self.wallets.index(life.wallet)]

    @rule(target=lots, n=people, amount=st.integers(1, 40), hours=st.none() | st.integers(1, 3))
    def grant(self, n: int, amount: int, hours: int | None) -> PureLot:
        ref, wallet = next(self.refs), self.wallets[n]
        expires = None if hours is None else self.pure.clock + hours
        moment = None if hours is None else self.began + timedelta(hours=hours - 1)
        source = Source.purchase if hours is None else Source.daily
        with sessions() as session:
            lot_id = ledger.grant(session, wallet_id=wallet, amount=amount, source=source, ref=ref, expires_at=moment)
        lot = PureLot(wallet, lot_id, ref, amount, hours is None, expires)
        self.pure.books.grant(lot)
        return lot

    @rule(lot=lots, amount=st.integers(1, 10))
    def clawback(self, lot: PureLot, amount: int) -> None:
        ref = next(self.refs)
        if self.pure.books.clawback(lot, amount, ref) is not None:
            with sessions() as session:
                ledger.clawback(session, lot_id=lot.id, amount=amount, ref=ref)

    @rule(
        target=lives,
        n=people,
        price=st.integers(0, 30),
        most=st.integers(1, 3),
        wait=st.none() | st.integers(1, 2),
        key=st.none() | st.sampled_from(["k", "l"]),
        digest=st.sampled_from(["same", "same", "other"]),
    )
    def submit(self, n: int, price: int, most: int, wait: int | None, key: str | None, digest: str):  # type: ignore[no-untyped-def]
        order = an_order(
            self.users[n], price=price, key=key, digest=digest, at_once=AT_ONCE, attempts=most,
            cancel_charge=CANCEL_PERCENT,
        )  # fmt: skip
        if wait is not None:
            order = replace(order, expires_in=int(wait * 2 * HALF_HOUR - HALF_HOUR))
        known = len(self.pure.lives)
        expected = self.pure.submit(order.id, self.wallets[n], price, most, wait, key, digest)
        if isinstance(expected, str):
            with pytest.raises(REFUSALS[expected]), sessions() as session:
                jobs.submit(session, order)
            return multiple()
        with sessions() as session:
            made = jobs.submit(session, order)
        assert (made.job.id, made.replayed) == (expected.id, len(self.pure.lives) == known)
        return multiple() if made.replayed else expected

    @rule(target=claims, life=lives)
    def claim(self, life: Life):  # type: ignore[no-untyped-def]
        with sessions() as session:
            made = jobs.claim(session, life.id, lease_seconds=HALF_HOUR)
        assert (made is not None) == self.pure.may_claim(life)
        if made is None:
            return multiple()
        assert (made.attempt, made.held) == (life.attempt + 1, life.held)
        assert (made.provider_request_id is not None) == life.began
        self.pure.claim(life, made.token)
        return life, made

    @rule(owned=claims, percent=st.sampled_from([100, 100, 100, 60, 0, 130]))
    def complete(self, owned: tuple[Life, Claim], percent: int) -> None:
        life, claim = owned
        charge = min(life.held, life.held * percent // 100)
        expected = self.pure.finish(life, claim.token, "completed", charge, began=True)
        with sessions() as session:
            done = jobs.complete(session, claim, outputs=OUTPUTS, usage=USAGE, delivered_percent=percent)
        assert done == expected

    @rule(owned=claims)
    def fail(self, owned: tuple[Life, Claim]) -> None:
        life, claim = owned
        expected = self.pure.finish(life, claim.token, "failed")
        with sessions() as session:
            assert jobs.fail(session, claim, code="refused", message="no") == expected

    @rule(owned=claims)
    def retry(self, owned: tuple[Life, Claim]) -> None:
        life, claim = owned
        expected = self.pure.retry(life, claim.token)
        with sessions() as session:
            done = jobs.retry(session, claim, code="busy", message="later", base_seconds=1, retry_after=HALF_HOUR)
        assert done == expected

    @rule(owned=claims, began=st.booleans())
    def cancel(self, owned: tuple[Life, Claim], began: bool) -> None:
        life, claim = owned
        expected = self.pure.finish(life, claim.token, "canceled", began=began)
        with sessions() as session:
            assert jobs.cancel(session, claim, provider_began=began) == expected

    @rule(owned=claims)
    def provider_begins(self, owned: tuple[Life, Claim]) -> None:
        life, claim = owned
        with sessions() as session:
            assert jobs.provider_began(session, claim, "request") == (life.token == claim.token)
        life.began = life.began or life.token == claim.token

    @rule(owned=st.lists(claims, max_size=4))
    def extend(self, owned: list[tuple[Life, Claim]]) -> None:
        latest = {life: claim.token for life, claim in owned}
        with sessions() as session:
            kept = jobs.extend(session, {life.id: token for life, token in latest.items()}, lease_seconds=3 * HALF_HOUR)
        assert kept == self.pure.owned(latest.items())

    @rule(life=lives)
    def request_cancel(self, life: Life) -> None:
        if self.pure.request_cancel(life):
            with sessions() as session:
                assert jobs.request_cancel(session, user_id=self.user_of(life), job_id=life.id).status == life.status
        else:
            with pytest.raises(NotCancelable), sessions() as session:
                jobs.request_cancel(session, user_id=self.user_of(life), job_id=life.id)

    @rule()
    @precondition(lambda self: self.pure.lives)
    def rescue(self) -> None:
        with sessions() as session:
            assert jobs.rescue_silent(session, base_seconds=1_000.0) == self.pure.rescue()

    @rule()
    @precondition(lambda self: self.pure.lives)
    def expire_waiting(self) -> None:
        with sessions() as session:
            assert jobs.expire_waiting(session) == self.pure.expire_waiting()

    @rule()
    @precondition(lambda self: self.pure.lives)
    def wake_again(self) -> None:
        with sessions() as session:
            assert jobs.wake_again(session, Queue.generation) == self.pure.wake_again()

    @rule()
    @precondition(lambda self: any(life.live for life in self.pure.lives))
    def an_hour_passes(self) -> None:
        sequences.pass_time(1)
        self.pure.books.clock += 1

    @invariant()
    def everything_is_what_the_rules_say(self) -> None:
        prove(audit)
        with sessions() as session:
            rows = {row.id: tuple(row) for row in session.execute(JOBS)}
            assert rows == {life.id: life.row() for life in self.pure.lives}
            assert all(life.endings == (0 if life.live else 1) for life in self.pure.lives)
            for row in session.execute(WALLETS):
                assert (row.available, row.held, row.debt) == self.pure.books.sums(row.id)
            assert [tuple(row) for row in session.execute(LOTS)] == [lot.row() for lot in self.pure.books.lots]
            assert {row.user_id: row.taken for row in session.execute(SLOTS) if row.taken} == {
                user: taken
                for user, wallet in zip(self.users, self.wallets, strict=True)
                if (taken := self.pure.taken(wallet))
            }
            assert session.execute(MESSAGES).scalar_one() == self.pure.messages


JOBS = select(Job.id, Job.status, Job.version, Job.attempt, Job.lease_token, Job.held, Job.charged, Job.refunded)
WALLETS = select(Wallet.id, Wallet.available, Wallet.held, Wallet.debt)
LOTS = select(Lot.id, Lot.issued, Lot.available, Lot.held, Lot.spent, Lot.expired, Lot.clawed_back).order_by(Lot.id)
SLOTS = select(JobSlots.user_id, JobSlots.taken)
MESSAGES = select(func.count()).select_from(Outbox)


@pytest.mark.timeout(3600)
def test_no_sequence_of_events_gives_a_job_two_outcomes_or_none(database: str) -> None:
    sequences.run(JobMachine)
