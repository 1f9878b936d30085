"""The guards of prices, plans and allowances. See `guards.py`."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

PRICES, QUOTES, WINDOWS, SPENDS = (f"models/{name}.py" for name in ("prices", "quotes", "windows", "spends"))
ALLOWANCES, SUBSCRIBING, ENTITLEMENTS, PERIODS, BATCHES = (
    f"models/plans/{name}.py" for name in ("allowances", "subscribing", "entitlements", "periods", "batches")
)
PAGES, EXPIRY, SUBMISSION = "models/ledger/batches.py", "models/ledger/expiry.py", "models/jobs/submission.py"

OF_PRICES = "tests/catalog/test_prices.py"
OF_ALLOWANCES = "tests/plans/test_allowances.py -k sqlite"
OF_SUBSCRIBING = "tests/plans/test_subscribing.py -k sqlite"
OF_UNLIMITED = "tests/plans/test_unlimited.py -k sqlite"
OF_PERIODS = "tests/plans/test_periods.py"
OF_BATCHES = "tests/plans/test_batches.py"
OF_SPENDS = "tests/http/test_spends.py -k sqlite"
OF_COMMANDS = "tests/catalog/test_commands.py -k 'ticket and sqlite'"
OF_RACES = "tests/races/test_allowance_races.py"

PLANS = [
    Mutant(
        "a started unit counts whole", PRICES, "-(-max(quantity, 0) // unit)", "max(quantity, 0) // unit", OF_PRICES,
    ),
    Mutant("a row has both its ends", PRICES, "if row.least <= asked <= row.most:", "if asked <= row.most:", OF_PRICES),
    Mutant(
        "a price by level stays within its range", PRICES,
        "min(self.least + self.step * (max(level, 1) - 1), self.most)", "self.least + self.step * (max(level, 1) - 1)",
        OF_PRICES,
    ),
    Mutant(
        "add-ons are paid for", PRICES,
        "        lines.append((addons[name].title, addons[name].amount))\n", "", OF_PRICES,
    ),
    Mutant(
        "nothing costs more than anybody can have", PRICES,
        "    if sum(amount for _, amount in lines) > MOST_CREDITS:\n", "    if False:\n", OF_PRICES,
    ),
    Mutant(
        "a feature is needed where one is required", QUOTES, "    entitled.allow(catalog, offer)\n", "", OF_SPENDS,
    ),
    Mutant(
        "a plan past its end entitles to nothing", ENTITLEMENTS,
        "        or_(_subscription.ends_at.is_(None), _subscription.ends_at > now()),\n", "", OF_SUBSCRIBING,
    ),
    Mutant(
        "a job is counted as fair use", SUBMISSION, "    if order.fair_use:\n", "    if False:\n", OF_UNLIMITED,
    ),
    Mutant("spends have a rate", SPENDS, "name=RATE_NAME, rate=", "name=str(made.id), rate=", OF_SPENDS),
    Mutant("a rate ends", WINDOWS, "where=over | (counter < most),", "where=None,", OF_UNLIMITED),
    Mutant("a window passes", WINDOWS, "where=over | (", "where=(", OF_UNLIMITED),
    Mutant(
        "what is due is granted before a job holds", SUBMISSION,
        "    plans.grant_due(session, user_id=order.user_id)\n", "", OF_ALLOWANCES,
    ),
    Mutant(
        "what is due is granted before a spend", SPENDS,
        "    plans.grant_due(session, user_id=user_id)\n", "", OF_ALLOWANCES,
    ),
    Mutant(
        "a period is granted once", ALLOWANCES,
        "    if granted >= allowance.amount or (", "    if (", OF_ALLOWANCES,
    ),
    Mutant(
        "a larger plan adds the difference", ALLOWANCES,
        "amount=allowance.amount - granted,", "amount=allowance.amount,", OF_SUBSCRIBING,
    ),
    Mutant(
        "an allowance ends with its period", ALLOWANCES,
        "    return current.ends_at\n", "    return None\n", OF_ALLOWANCES,
    ),
    Mutant(
        "cycles of the plan of sign-up go on", ALLOWANCES,
        '"signup" if held.origin is Origin.signup else held.series or held.subscription_id', "held.subscription_id",
        OF_SUBSCRIBING,
    ),
    Mutant(
        "who waited for a change of plan goes by the new one", ALLOWANCES,
        "    kinds = ledger.lock_wallets(session, user_id=user_id)\n    due =",
        "    kinds = {i: k for k, i in ledger.wallet_ids(session, user_id=user_id).items()}\n    due =", OF_RACES,
    ),
    Mutant("one fact subscribes once", SUBSCRIBING, "    if earlier is not None:\n", "    if False:\n", OF_COMMANDS),
    Mutant(
        "a day before its reset time is the day before", PERIODS,
        "    while _begins(reset, day) > moment:\n        day -= timedelta(days=1)\n", "    day -= timedelta(days=1)\n",
        OF_PERIODS,
    ),
    Mutant(
        "a batch leaves debtors to the steps", BATCHES, ", Wallet.debt == 0)", ")", OF_BATCHES,
    ),
    Mutant(
        "a batch leaves mixed wallets to the steps", BATCHES,
        "PlanAllowance.period == period, plain)", "PlanAllowance.period == period)", OF_BATCHES,
    ),
    Mutant(
        "a batch grants what is not granted yet", PAGES, "        ON CONFLICT (ref) DO NOTHING\n", "", OF_BATCHES,
    ),
    Mutant(
        "a reset is never later than what is due", EXPIRY,
        ".values(reset_at=at, due_at=_next_due(literal(at, AwareDateTime)))", ".values(reset_at=at)", OF_ALLOWANCES,
    ),
]  # fmt: skip
