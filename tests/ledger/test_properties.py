"""Whatever is done to the ledger in whatever order, every balance is what the rules say, and the audit is clean."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID, uuid4

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule
from sqlalchemy import text

from models import ledger, users
from models.database import sessions
from models.errors import InsufficientCredits
from models.ledger import Outcome, Source
from models.ledger.audit import findings
from models.ledger.transfers import LedgerError
from tests.audits import prove
from tests.ledger import sequences
from tests.ledger.pure import PureBooks, PureClawback, PureJob, PureLot

PEOPLE = ("ann", "bob")
WALLETS = [("ann", "credits"), ("ann", "tokens"), ("bob", "credits")]
wallets = st.sampled_from([0, 0, 0, 1, 2])
amounts = st.sampled_from([1, 3, 8, 13, 21, 34, 70])
again = st.sampled_from([False, False, True])


class LedgerMachine(RuleBasedStateMachine):
    """The product's verbs and the rules in `pure.py` do the same things and must agree after each of them."""

    saw: Counter[str]

    jobs = Bundle[PureJob]("jobs")
    clawbacks = Bundle[PureClawback]("clawbacks")

    def __init__(self) -> None:
        super().__init__()
        sequences.clean_slate()
        self.pure = PureBooks()
        self.ids: dict[PureJob, UUID] = {}
        self.refs = (f"fact:{n}" for n in count())
        self.began = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=30)
        with sessions() as session:
            people = {
                name: users.register(session, email=f"{name}@example.com", password_hash="x").id for name in PEOPLE
            }
            self.wallets = [ledger.open_wallet(session, user_id=people[name], kind=kind) for name, kind in WALLETS]

    @initialize()
    def begin_with_something(self) -> None:
        for n, amount, hours in [(0, 60, None), (0, 30, 2), (1, 50, 1), (2, 50, None)]:
            self.grant(n, amount, Source.daily if hours else Source.purchase, hours)

    def moment(self, hour: int | None) -> datetime | None:
        return None if hour is None else self.began + timedelta(hours=hour - self.pure.clock - 1)

    @rule(
        n=wallets,
        amount=st.sampled_from([5, 20, 40, 90]),
        source=st.sampled_from([Source.purchase, Source.daily, Source.promo]),
        hours=st.none() | st.integers(-1, 4),
        again=again,
    )
    def grant(self, n: int, amount: int, source: Source, hours: int | None, again: bool = False) -> None:
        ref, wallet = next(self.refs), self.wallets[n]
        expires = None if hours is None else self.pure.clock + hours
        for _ in range(1 + again):
            with sessions() as session:
                lot_id = ledger.grant(
                    session, wallet_id=wallet, amount=amount, source=source, ref=ref, expires_at=self.moment(expires)
                )
        lot = PureLot(wallet, lot_id, ref, amount, source is Source.purchase, expires)
        owed = self.pure.debt(wallet)
        self.pure.grant(lot)
        self.saw["a grant that pays debt"] += owed > self.pure.debt(wallet)

    @rule(target=jobs, n=wallets, amount=amounts, again=again)
    def hold(self, n: int, amount: int, again: bool):  # type: ignore[no-untyped-def]
        job_id, wallet = uuid4(), self.wallets[n]
        rich = self.pure.usable(wallet) >= amount
        job = self.pure.hold(wallet, amount)
        self.saw["a hold of several lots"] += job is not None and len(job.holds) > 1
        self.saw["a hold refused for debt alone"] += job is None and rich
        self.saw["a hold refused for too few credits"] += not rich
        if job is None:
            with pytest.raises(InsufficientCredits) as refused, sessions() as session:
                ledger.hold(session, wallet_id=wallet, amount=amount, job_id=job_id)
            self.check_figures(refused.value, wallet, amount)
            return multiple()
        for _ in range(1 + again):
            with sessions() as session:
                ledger.hold(session, wallet_id=wallet, amount=amount, job_id=job_id)
        self.ids[job] = job_id
        return job

    @rule(pick=st.integers(0, 9), percent=st.sampled_from([0, 0, 40, 80, 100]), again=again)
    @precondition(lambda self: self.open_jobs())
    def settle(self, pick: int, percent: int, again: bool) -> None:
        job = self.open_jobs()[pick % len(self.open_jobs())]
        amount = job.held * percent // 100
        self.note_settlement(job, amount)
        for _ in range(1 + again):
            with sessions() as session:
                done = ledger.settle(session, job_id=self.ids[job], amount=amount)
            assert done == Outcome(charged=amount, released=job.held - amount)

    @rule(job=jobs, more=st.integers(-3, 3))
    def settle_wrongly(self, job: PureJob, more: int) -> None:
        amount = job.held + more if job.charged is None else job.charged + more
        if amount >= 0 and amount != job.charged and (job.charged is not None or amount > job.held):
            with pytest.raises(LedgerError), sessions() as session:
                ledger.settle(session, job_id=self.ids[job], amount=amount)

    def open_jobs(self) -> list[PureJob]:
        return [job for job in self.ids if job.charged is None]

    def note_settlement(self, job: PureJob, amount: int) -> None:
        expired, owed = sum(lot.expired for lot in self.pure.lots), self.pure.debt(job.wallet)
        self.pure.settle(job, amount)
        self.saw["a settlement in part"] += 0 < amount < job.held
        self.saw["a release that expires"] += sum(lot.expired for lot in self.pure.lots) > expired
        self.saw["a release that pays debt"] += owed > self.pure.debt(job.wallet)

    @rule(n=wallets, amount=amounts, again=again)
    def spend(self, n: int, amount: int, again: bool) -> None:
        ref, wallet = next(self.refs), self.wallets[n]
        if not self.pure.spend(wallet, amount):
            with pytest.raises(InsufficientCredits) as refused, sessions() as session:
                ledger.spend(session, wallet_id=wallet, amount=amount, ref=ref)
            self.check_figures(refused.value, wallet, amount)
            return
        for _ in range(1 + again):
            with sessions() as session:
                ledger.spend(session, wallet_id=wallet, amount=amount, ref=ref)

    @rule(
        target=clawbacks, pick=st.integers(0, 9), used=st.booleans(), amount=st.sampled_from([3, 15, 40]), again=again
    )  # fmt: skip
    def clawback(self, pick: int, used: bool, amount: int, again: bool):  # type: ignore[no-untyped-def]
        lots = [lot for lot in self.pure.lots if lot.spent or lot.held or not used] or self.pure.lots
        lot = lots[pick % len(lots)]
        ref = next(self.refs)
        made = self.pure.clawback(lot, amount, ref)
        if made is None:
            with pytest.raises(LedgerError), sessions() as session:
                ledger.clawback(session, lot_id=lot.id, amount=amount, ref=ref)
            return multiple()
        self.saw["a clawback with debt"] += made.debt > 0
        self.saw["a clawback that lets expired credits go"] += made.taken + made.debt < made.amount
        for _ in range(1 + again):
            with sessions() as session:
                row = ledger.clawback(session, lot_id=lot.id, amount=amount, ref=ref)
            assert (row.taken, row.debt, row.paid) == (made.taken, made.debt, made.paid)
        return made

    @rule(made=clawbacks)
    def restore(self, made: PureClawback) -> None:
        if not made.restored:
            self.saw["a restoration of paid debt"] += made.paid > 0
            self.pure.restore(made)
        with sessions() as session:
            assert ledger.restore(session, ref=made.ref).restored_at is not None

    @rule(n=wallets)
    def expire(self, n: int) -> None:
        with sessions() as session:
            assert ledger.expire(session, wallet_id=self.wallets[n]) == self.pure.expire(self.wallets[n])

    @rule(hours=st.integers(1, 3))
    @precondition(lambda self: any(lot.expires is not None and lot.expires > self.pure.clock for lot in self.pure.lots))
    def time_passes(self, hours: int) -> None:
        sequences.pass_time(hours)
        self.pure.clock += hours

    @invariant()
    def books_are_what_the_rules_say(self) -> None:
        prove(findings)
        with sessions() as session:
            rows = session.execute(text(LOTS)).all()
            assert [tuple(row) for row in rows] == [lot.row() for lot in self.pure.lots]
            assert all(sum(row[2:]) == row.issued for row in rows), "credits were made or lost"
            for row in session.execute(text(SUMS)):
                assert (row.available, row.held, row.debt) == self.pure.sums(row.id)
                assert min(row.available, row.held, row.debt) >= 0
                assert row.knows_when_due, "a wallet must fall due no later than its first lot"

    def check_figures(self, refused: InsufficientCredits, wallet: int, amount: int) -> None:
        available, debt = self.pure.usable(wallet), self.pure.debt(wallet)
        assert refused.members == {
            "wallet": WALLETS[self.wallets.index(wallet)][1],
            "required": amount,
            "available": available,
            "debt": debt,
            "shortfall": max(amount - available, 0) + debt,
        }


LOTS = "SELECT id, issued, available, held, spent, expired, clawed_back FROM lots ORDER BY id"
SUMS = """
    SELECT id, available, held, debt, NOT EXISTS (
        SELECT 1 FROM lots WHERE wallet_id = wallets.id AND available > 0 AND expires_at IS NOT NULL
        AND (due_at IS NULL OR due_at > expires_at)
    ) AS knows_when_due
    FROM wallets
"""


@pytest.mark.timeout(3600)
def test_no_sequence_of_verbs_unbalances_the_books(database: str) -> None:
    LedgerMachine.saw = Counter()
    sequences.run(LedgerMachine)
    sequences.require_all(LedgerMachine.saw)
