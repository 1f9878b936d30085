"""Running long random sequences of verbs: a clean slate for each, and the audit after every single step.

Each has up to `STEPS` steps. A plain run tries the same few each time, so that it fails only for a change of the code;
`COINOP_SEQUENCES` tries as many others at random (`python -m chaos --properties`), and then every situation that the
rules are there for must have come up.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test
from sqlalchemy import text

from models.database import is_postgresql, sessions

ASKED_FOR = os.environ.get("COINOP_SEQUENCES")
SEQUENCES = int(ASKED_FOR or 15)
ENOUGH = 1_000
"""In so many sequences even the rarest situation comes up."""

STEPS = 50

TABLES = ("attempts", "outbox", "transfers", "clawbacks", "lots", "wallets", "job_slots", "jobs", "users")
"""What a sequence writes to, in an order in which it can be emptied."""

MOMENTS = {
    "lots": ("expires_at",),
    "wallets": ("due_at",),
    "jobs": ("run_after", "expires_at", "lease_until"),
    "outbox": ("due_at",),
}
"""Every moment in the future that something waits for."""


def run(machine: type[RuleBasedStateMachine]) -> None:
    """Try sequences of the machine's rules until one fails, and show the shortest that does."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=SEQUENCES,
            derandomize=ASKED_FOR is None,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            print_blob=True,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        ),
    )


def require_all(saw: Mapping[str, int]) -> None:
    """Fail if a situation that the rules are there for never came up: such sequences prove less than they seem to."""
    missed = [what for what, times in saw.items() if not times]
    assert SEQUENCES < ENOUGH or not missed, f"never seen in {SEQUENCES} sequences: {missed}"


def clean_slate() -> None:
    """Forget everything that the last sequence did; the triggers stay as they are."""
    with sessions() as session:
        if is_postgresql(session):
            # Emptied files, for deleted rows would have to be read again by every audit to come.
            session.execute(text("SET LOCAL session_replication_role = replica"))
            session.execute(text(f"TRUNCATE {', '.join(TABLES)} CASCADE"))
            return
        triggers = list(session.execute(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")))
        for trigger in triggers:
            session.execute(text(f"DROP TRIGGER {trigger.name}"))
        for table in TABLES:
            session.execute(text(f"DELETE FROM {table}"))
        for trigger in triggers:
            session.execute(text(trigger.sql))


def pass_time(hours: int) -> None:
    """Let time pass for everything that waits for a moment, as if the clock had gone on by so many hours."""
    with sessions() as session:
        for table, columns in MOMENTS.items():
            for column in columns:
                if is_postgresql(session):
                    earlier = f"{column} - interval '{hours} hours'"
                else:
                    earlier = f"strftime('%Y-%m-%d %H:%M:%f000', {column}, '-{hours} hours')"
                session.execute(text(f"UPDATE {table} SET {column} = {earlier} WHERE {column} IS NOT NULL"))
