"""Every guard of the money, and how it is taken away: one exact text of one file for another.

`tests` is the smallest selection that must notice. Where a second line of defence stands behind a guard, the tests
there ask for the right refusal: an `IntegrityError` out of the database is not how too few credits are told.
"""

from __future__ import annotations

from tests.mutants.accounts import ACCOUNTS
from tests.mutants.auth import GETTING_IN
from tests.mutants.mail import MAIL
from tests.mutants.mutant import Mutant
from tests.mutants.offers import OFFERS
from tests.mutants.payments import PAYMENTS
from tests.mutants.plans import PLANS
from tests.mutants.uploads import BROUGHT_ALONG
from tests.mutants.walls import WALLS

TRANSFERS, MOVES, CLAWBACKS = (f"models/ledger/{name}.py" for name in ("transfers", "moves", "clawbacks"))
RUNS, SUBMISSION, RESCUE = (f"models/jobs/{name}.py" for name in ("runs", "submission", "rescue"))
SUBMIT_FAST, HOLD_FAST, MIGRATION = (
    "models/jobs/express.py", "models/ledger/express.py", "migrations/versions/0001_first_tables.py",
)  # fmt: skip

OF_TRANSFERS = "tests/ledger/test_transfers.py -k sqlite"
OF_GRANTS = "tests/ledger/test_grants.py -k sqlite"
OF_HOLDS = "tests/ledger/test_holds.py -k sqlite"
OF_SPENDS = "tests/ledger/test_spends.py -k sqlite"
OF_CLAWBACKS = "tests/ledger/test_clawbacks.py -k sqlite"
OF_CONSTRAINTS = "tests/ledger/test_constraints.py -k sqlite"
OF_CONSTRAINTS_PG = "tests/ledger/test_constraints.py -k 'postgresql or truncated'"
OF_SUBMISSION = "tests/jobs/test_submission.py -k sqlite"
OF_RUNS = "tests/jobs/test_runs.py -k sqlite"
OF_RUNS_PG = "tests/jobs/test_runs.py -k postgresql"
OF_CANCELLATION = "tests/jobs/test_cancellation.py -k sqlite"
OF_JOB_AUDIT = "tests/jobs/test_audit.py -k sqlite"
OF_EXPRESS = "tests/jobs/test_express.py"
OF_RACES = "tests/races/test_job_races.py"

BALANCES = [
    Mutant(
        "a lot gives no more than it has", TRANSFERS,
        "Lot.wallet_id == wallet.id, left >= amount)", "Lot.wallet_id == wallet.id)", OF_TRANSFERS,
    ),
    Mutant(
        "a lot belongs to its wallet", TRANSFERS,
        "Lot.wallet_id == wallet.id, left >= amount)", "left >= amount)", OF_TRANSFERS,
    ),
    Mutant(
        "a wallet gives no more than is available", TRANSFERS,
        "            Wallet.available >= -change[Account.available],\n", "", OF_TRANSFERS,
    ),
    Mutant(
        "a wallet gives no more than it holds", TRANSFERS,
        "            Wallet.held >= -change[Account.held],\n", "", OF_TRANSFERS,
    ),
    Mutant(
        "too few credits are told before anything moves", MOVES,
        "if wallet.available < amount or wallet.debt > 0:", "if wallet.debt > 0:", OF_HOLDS,
    ),
    Mutant(
        "debt blocks holds and spends", MOVES,
        "if wallet.available < amount or wallet.debt > 0:", "if wallet.available < amount:", OF_CLAWBACKS,
    ),
    Mutant("what is overdue expires before it is held", MOVES, "    expire_locked(session, wallet)\n", "", OF_HOLDS),
    Mutant("no more is settled than was held", MOVES, "    if amount > held:\n", "    if False:\n", OF_HOLDS),
    Mutant(
        "only whole credits in range", TRANSFERS,
        "not isinstance(amount, int) or not least <= amount", "not least <= amount", OF_GRANTS,
    ),
    Mutant(
        "no more is taken back than was issued", CLAWBACKS, "    if amount > lot.issued - asked:\n", "    if False:\n",
        OF_CLAWBACKS,
    ),
    Mutant(
        "what a clawback answered for is not owed again", CLAWBACKS, "lot.expired - answered, 0)", "lot.expired, 0)",
        OF_CLAWBACKS,
    ),
    Mutant(
        "a wallet is locked before it is changed", "models/ledger/wallets.py",
        "        .where(Wallet.id == wallet_id)\n        .with_for_update(key_share=True)\n",
        "        .where(Wallet.id == wallet_id)\n", "tests/races/test_ledger_races.py",
    ),
]  # fmt: skip

ONCE = [
    Mutant(
        "one grant for a ref", MOVES,
        "select(Lot.id, Lot.wallet_id, Lot.issued).where(Lot.ref == ref)",
        "select(Lot.id, Lot.wallet_id, Lot.issued).where(Lot.ref == ref, Lot.id < 0)", OF_GRANTS,
    ),
    Mutant(
        "one hold for a job", MOVES, "if amount == 0 or _transfers_of(session, job_id):", "if amount == 0:", OF_HOLDS
    ),
    Mutant("one spend for a ref", MOVES, "earlier = _spent_under(session, ref)", "earlier = []", OF_SPENDS),
    Mutant("one outcome for a hold", MOVES, "earlier = _outcome(session, job_id)", "earlier = None", OF_HOLDS),
    Mutant("the outcome is not changed", MOVES, "if earlier.charged != amount:", "if False:", OF_HOLDS),
    Mutant(
        "one clawback for a ref", CLAWBACKS, "    if earlier is not None:\n", "    if False:\n", OF_CLAWBACKS
    ),
    Mutant(
        "one restoration of a clawback", CLAWBACKS, "    if made.restored_at is not None:\n", "    if False:\n",
        OF_CLAWBACKS,
    ),
    Mutant(
        "one use of a refresh token", "models/logins.py",
        "RefreshToken.id == token_id, RefreshToken.used_at.is_(None),", "RefreshToken.id == token_id,",
        "tests/races/test_ledger_races.py -k refresh",
    ),
    Mutant(
        "one job for an idempotency key", SUBMISSION, "    if earlier is not None:\n", "    if False:\n", OF_SUBMISSION
    ),
    Mutant(
        "one request for an idempotency key", SUBMISSION, "    if row.request_digest != order.digest:\n",
        "    if False:\n", OF_SUBMISSION,
    ),
]  # fmt: skip

LIFE = [
    Mutant(
        "slots are counted", SUBMISSION, "    if taken >= order.concurrent_jobs:\n", "    if False:\n", OF_SUBMISSION
    ),
    Mutant(
        "slots are locked", SUBMISSION, "JobSlots.user_id == user_id).with_for_update(key_share=True)",
        "JobSlots.user_id == user_id)", f"{OF_RACES} -k slots",
    ),
    Mutant(
        "a claim leaves a running job alone", RUNS,
        "and_(Job.status == Status.running, Job.lease_until < now())", "and_(Job.status == Status.running)", OF_RUNS,
    ),
    Mutant("a claim leaves what has ended alone", RUNS, "            free,\n", "", OF_RUNS),
    Mutant("a claim has attempts left", RUNS, "            Job.attempt < Job.max_attempts,\n", "", OF_RUNS),
    Mutant("a claim waits for the back-off", RUNS, "            Job.run_after <= now(),\n", "", OF_RUNS),
    Mutant(
        "a claim begins nothing past its deadline", RUNS,
        "            or_(Job.expires_at.is_(None), Job.expires_at > now(), Job.attempt > 0),\n", "", OF_RUNS,
    ),
    Mutant(
        "only the owner ends a job", RUNS, "Job.status == before, owner)", "Job.status == before)", OF_RUNS
    ),
    Mutant(
        "a job is ended from the right state", RUNS, "Job.id == job_id, Job.status == before, owner)",
        "Job.id == job_id, owner)", OF_CANCELLATION,
    ),
    Mutant(
        "only the owner requeues a job", RUNS,
        "Job.status == Status.running, Job.lease_token == token)", "Job.status == Status.running)", OF_RUNS,
    ),
    Mutant(
        "what is canceled is not requeued", RUNS,
        "Job.id == job_id, Job.status == Status.running, Job.lease_token == token)",
        "Job.id == job_id, Job.lease_token == token)", OF_CANCELLATION,
    ),
    Mutant(
        "only the owner extends a lease", RUNS, "            Job.lease_token.in_(claims.values()),\n", "", OF_RUNS
    ),
    Mutant(
        "only the owner notes the provider's id", RUNS,
        "Job.id == claim.job_id, Job.lease_token == claim.token)", "Job.id == claim.job_id)", OF_RUNS,
    ),
    Mutant(
        "never more is charged than was held", "models/prices.py",
        "return min(held, held * max(delivered_percent, 0) // 100)", "return held * max(delivered_percent, 0) // 100",
        OF_RUNS,
    ),
    Mutant(
        "sweeps meet users in one order", RESCUE,
        "for job in sorted(waiting, key=lambda job: (job.user_id, job.waits_for is None)):", "for job in waiting:",
        f"{OF_RACES} -k sweeps",
    ),
]  # fmt: skip

EXPRESS = [
    Mutant("express: the wallet has the price", HOLD_FAST, "            Wallet.available >= amount,\n", "", OF_EXPRESS),
    Mutant("express: no debt", HOLD_FAST, "            Wallet.debt == ZERO,\n", "", OF_EXPRESS),
    Mutant(
        "express: nothing is due", HOLD_FAST,
        "            or_(Wallet.due_at.is_(None), Wallet.due_at > now()),\n", "", OF_EXPRESS,
    ),
    Mutant(
        "express: the first lot has the price", SUBMIT_FAST, ".where(lot.c.available >= price)",
        ".where(lot.c.available >= 0)", OF_EXPRESS,
    ),
    Mutant(
        "express: a slot is free", SUBMIT_FAST,
        'JobSlots.taken < bindparam("most_jobs", type_=BigInteger()))',
        'bindparam("most_jobs", type_=BigInteger()) > 0)', OF_EXPRESS,
    ),
    Mutant(
        "express: a replay waits for nobody", SUBMIT_FAST, "        .where(~known)\n", "", f"{OF_RACES} -k replay"
    ),
    Mutant(
        "express: only the owner completes", SUBMIT_FAST,
        'Job.lease_token == bindparam("claimed_token", type_=Uuid()),',
        'bindparam("claimed_token", type_=Uuid()).is_not(None),', OF_RUNS_PG,
    ),
    Mutant(
        "express: what is canceled is not completed", SUBMIT_FAST,
        "            Job.status == constant(Status.running),\n", "", OF_EXPRESS,
    ),
    Mutant(
        "express: holds are worked out from the locked rows", HOLD_FAST,
        "available=lot.c.available - amount, held=lot.c.held + amount, spent=lot.c.spent, expired=lot.c.expired,\n"
        "            clawed_back=lot.c.clawed_back,",
        "available=Lot.available - amount, held=Lot.held + amount,", f"{OF_RACES} -k grew",
    ),
]  # fmt: skip

DATABASE = [
    Mutant(
        "PostgreSQL: transfers are not updated", MIGRATION, "BEFORE UPDATE OR DELETE ON transfers",
        "BEFORE DELETE ON transfers", OF_CONSTRAINTS_PG,
    ),
    Mutant(
        "PostgreSQL: transfers are not deleted", MIGRATION, "BEFORE UPDATE OR DELETE ON transfers",
        "BEFORE UPDATE ON transfers", OF_CONSTRAINTS_PG,
    ),
    Mutant(
        "PostgreSQL: transfers are not truncated", MIGRATION, "BEFORE TRUNCATE ON transfers",
        "BEFORE TRUNCATE ON outbox", OF_CONSTRAINTS_PG,
    ),
    Mutant(
        "SQLite: transfers are not updated", MIGRATION, "transfers_never_updated BEFORE UPDATE ON transfers\n",
        "transfers_never_updated BEFORE UPDATE ON transfers WHEN 0\n", OF_CONSTRAINTS,
    ),
    Mutant(
        "SQLite: transfers are not deleted", MIGRATION, "transfers_never_deleted BEFORE DELETE ON transfers\n",
        "transfers_never_deleted BEFORE DELETE ON transfers WHEN 0\n", OF_CONSTRAINTS,
    ),
    Mutant(
        "a transfer's ref is unique", MIGRATION,
        '        sa.UniqueConstraint("ref", name=op.f("uq_transfers_ref")),\n', "", OF_CONSTRAINTS,
    ),
    Mutant(
        "a lot's ref is unique", MIGRATION, '        sa.UniqueConstraint("ref", name=op.f("uq_lots_ref")),\n', "",
        OF_CONSTRAINTS,
    ),
    Mutant(
        "a clawback's ref is unique", MIGRATION,
        '        sa.UniqueConstraint("ref", name=op.f("uq_clawbacks_ref")),\n', "", OF_CONSTRAINTS,
    ),
    Mutant(
        "an idempotency key is unique", MIGRATION,
        'sa.UniqueConstraint("user_id", "idempotency_key", name', 'sa.UniqueConstraint("user_id", "id", name',
        OF_JOB_AUDIT,
    ),
    Mutant("a transfer moves something", MIGRATION, '"amount > 0", name', '"amount <> 7", name', OF_CONSTRAINTS),
    Mutant(
        "a lot is conserved", MIGRATION, "spent + expired + clawed_back = issued", "spent > -9", OF_CONSTRAINTS
    ),
    Mutant(
        "no wallet below zero", MIGRATION, '"available >= 0", name', '"available >= -9", name', OF_CONSTRAINTS
    ),
    Mutant(
        "an ended job has its outcome", MIGRATION, "finished_at IS NULL OR charged + refunded = held", "held >= 0",
        OF_JOB_AUDIT,
    ),
]  # fmt: skip

MUTANTS = [
    *BALANCES, *ONCE, *LIFE, *EXPRESS, *DATABASE, *OFFERS, *PLANS, *GETTING_IN, *ACCOUNTS, *MAIL, *BROUGHT_ALONG,
    *WALLS, *PAYMENTS,
]  # fmt: skip
