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
from tests.ledger import sequences
from tests.ledger.pure import PureBooks, PureClawback, PureJob, PureLot

PEOPLE = ("ann", "bob")
WALLETS = [("ann", "credits"), ("ann", "tokens"), ("bob", "credits")]
wallets = st.sampled_from([0, 0, 0, 1, 2])
amounts = st.integers(1, 12) | st.integers(1, 80)


class LedgerMachine(RuleBasedStateMachine):
    """The product's verbs and the rules in `pure.py` do the same things and must agree after each of them."""

    audit: sequences.QuickAudit
    saw: Counter[str]

    lots = Bundle[PureLot]("lots")
    jobs = Bundle[PureJob]("jobs")
    clawbacks = Bundle[PureClawback]("clawbacks")
    spends = Bundle[tuple[int, int, str]]("spends")

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

    @initialize(target=lots)
    def begin_with_something(self):  # type: ignore[no-untyped-def]
        given = [(0, 60, None), (0, 30, 2), (1, 50, 1), (2, 50, None)]
        return multiple(
            *(self.grant(n, amount, Source.daily if hours else Source.purchase, hours) for n, amount, hours in given)
        )

    def moment(self, hour: int | None) -> datetime | None:
        return None if hour is None else self.began + timedelta(hours=hour - self.pure.clock - 1)

    @rule(
        target=lots,
        n=wallets,
        amount=amounts,
        source=st.sampled_from([Source.purchase, Source.daily, Source.promo]),
        hours=st.none() | st.integers(-1, 4),
    )
    def grant(self, n: int, amount: int, source: Source, hours: int | None) -> PureLot:
        ref, wallet = next(self.refs), self.wallets[n]
        expires = None if hours is None else self.pure.clock + hours
        with sessions() as session:
            lot_id = ledger.grant(
                session, wallet_id=wallet, amount=amount, source=source, ref=ref, expires_at=self.moment(expires)
            )
        lot = PureLot(wallet, lot_id, ref, amount, source is Source.purchase, expires)
        owed = self.pure.debt(wallet)
        self.pure.grant(lot)
        self.saw["a grant that pays debt"] += owed > self.pure.debt(wallet)
        return lot

    @rule(lot=lots, more=st.integers(0, 1))
    def grant_again(self, lot: PureLot, more: int) -> None:
        with sessions() as session:
            how = {"wallet_id": lot.wallet, "source": Source.promo, "ref": lot.ref}
            if more:
                with pytest.raises(LedgerError):
                    ledger.grant(session, amount=lot.issued + more, **how)  # type: ignore[arg-type]
            else:
                assert ledger.grant(session, amount=lot.issued, **how) == lot.id  # type: ignore[arg-type]

    @rule(target=jobs, n=wallets, amount=amounts)
    def hold(self, n: int, amount: int):  # type: ignore[no-untyped-def]
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
        with sessions() as session:
            ledger.hold(session, wallet_id=wallet, amount=amount, job_id=job_id)
        self.ids[job] = job_id
        return job

    @rule(job=jobs)
    def hold_again(self, job: PureJob) -> None:
        with sessions() as session:
            ledger.hold(session, wallet_id=job.wallet, amount=job.held, job_id=self.ids[job])

    @rule(job=jobs, percent=st.integers(0, 120))
    def settle(self, job: PureJob, percent: int) -> None:
        amount = job.held * percent // 100
        if job.charged is None and amount <= job.held:
            self.note_settlement(job, amount)
        if job.charged != amount:
            with pytest.raises(LedgerError), sessions() as session:
                ledger.settle(session, job_id=self.ids[job], amount=amount)
            return
        with sessions() as session:
            done = ledger.settle(session, job_id=self.ids[job], amount=amount)
        assert done == Outcome(charged=amount, released=job.held - amount)

    def note_settlement(self, job: PureJob, amount: int) -> None:
        expired, owed = sum(lot.expired for lot in self.pure.lots), self.pure.debt(job.wallet)
        self.pure.settle(job, amount)
        self.saw["a settlement in part"] += 0 < amount < job.held
        self.saw["a release that expires"] += sum(lot.expired for lot in self.pure.lots) > expired
        self.saw["a release that pays debt"] += owed > self.pure.debt(job.wallet)

    @rule(job=jobs)
    def settle_again(self, job: PureJob) -> None:
        if job.charged is not None:
            with sessions() as session:
                done = ledger.settle(session, job_id=self.ids[job], amount=job.charged)
            assert done == Outcome(charged=job.charged, released=job.held - job.charged)

    @rule(job=jobs)
    def release(self, job: PureJob) -> None:
        self.settle(job, 0)

    @rule(target=spends, n=wallets, amount=amounts)
    def spend(self, n: int, amount: int):  # type: ignore[no-untyped-def]
        ref, wallet = next(self.refs), self.wallets[n]
        if not self.pure.spend(wallet, amount):
            with pytest.raises(InsufficientCredits) as refused, sessions() as session:
                ledger.spend(session, wallet_id=wallet, amount=amount, ref=ref)
            self.check_figures(refused.value, wallet, amount)
            return multiple()
        with sessions() as session:
            ledger.spend(session, wallet_id=wallet, amount=amount, ref=ref)
        return wallet, amount, ref

    @rule(spent=spends)
    def spend_again(self, spent: tuple[int, int, str]) -> None:
        wallet, amount, ref = spent
        with sessions() as session:
            ledger.spend(session, wallet_id=wallet, amount=amount, ref=ref)

    @rule(target=clawbacks, lot=lots, amount=amounts)
    def clawback(self, lot: PureLot, amount: int):  # type: ignore[no-untyped-def]
        ref = next(self.refs)
        made = self.pure.clawback(lot, amount, ref)
        if made is None:
            with pytest.raises(LedgerError), sessions() as session:
                ledger.clawback(session, lot_id=lot.id, amount=amount, ref=ref)
            return multiple()
        self.saw["a clawback with debt"] += made.debt > 0
        self.saw["a clawback that lets expired credits go"] += made.taken + made.debt < made.amount
        self.clawback_again(made)
        return made

    @rule(made=clawbacks)
    def clawback_again(self, made: PureClawback) -> None:
        with sessions() as session:
            row = ledger.clawback(session, lot_id=made.lot.id, amount=made.amount, ref=made.ref)
        assert (row.taken, row.debt, row.paid) == (made.taken, made.debt, made.paid)

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
        with sessions() as session:
            self.audit.check(session)
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
    LedgerMachine.audit, LedgerMachine.saw = sequences.QuickAudit(findings), Counter()
    sequences.run(LedgerMachine)
    sequences.require_all(LedgerMachine.saw)
