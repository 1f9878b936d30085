"""The plan of a run: which jobs are ordered and which faults happen, and when. It follows from the seed alone."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

USERS = 20

JOBS_PER_SECOND = 2_000 / 300
"""The pace of a run whose length or number of jobs is not given: 2,000 jobs in five minutes."""

POISON_SHARE, POISON_UNTIL = 1 / 1000, 0.4
"""Jobs that kill their worker on every attempt. Each costs a worker restart per attempt, and takes some 90 seconds
from its first attempt to its last, so there are few and they come early. With more of them no worker would live long
enough for anything else to be seen."""

MARKS = (
    ("", 650), ("latency=2", 90), ("latency=5", 60), ("fail", 60), ("fail-twice", 60), ("underrun", 50),
    ("rate-limited", 20), ("crash-once", 4),
)  # fmt: skip
"""What the mock provider is told to do, each with its share."""


class Act(StrEnum):
    """What is done to a process."""

    kill = "kill"
    """SIGKILL; it is started again after a while."""
    kill_part = "kill part"
    """SIGKILL to one of its child processes, or to one of its connections."""
    freeze = "freeze"
    """SIGSTOP, and SIGCONT after a while."""
    restart = "restart"
    """SIGTERM, and a new one once it has stopped in good order."""


@dataclass(frozen=True, slots=True)
class Fault:
    """`act` on `target`, `at` seconds into the run. `seconds` is how long it stays away or frozen."""

    at: float
    act: Act
    target: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Order:
    """One job to be ordered by one of the users, `at` seconds into the run.

    `marks` script what the mock provider does. `cancel_after` is how many seconds after its acceptance the user wants
    it stopped. With `repeat` the request is sent a second time although it was answered.
    """

    number: int
    user: int
    at: float
    action: str
    input: dict[str, Any]
    marks: frozenset[str]
    expires_in: int | None
    cancel_after: float | None
    repeat: bool
    key: str


GENERATION = ("generation-1", "generation-2")

# How often each fault is dealt, and the range of its seconds. A worker is frozen for longer than its lease and the
# rescue take as often as not, so that its jobs run elsewhere before it wakes up and wants to finish them.
DECK: tuple[tuple[int, Act, str, float, float], ...] = (
    *((2, Act.kill, worker, 0.2, 3.0) for worker in GENERATION),
    *((1, Act.freeze, worker, 1.0, 6.0) for worker in GENERATION),
    *((1, Act.freeze, worker, 8.0, 14.0) for worker in GENERATION),
    *((1, Act.restart, worker, 0.1, 1.0) for worker in GENERATION),
    (2, Act.kill, "support", 0.2, 3.0),
    (1, Act.freeze, "support", 1.0, 10.0),
    (1, Act.restart, "support", 0.1, 1.0),
    (1, Act.kill, "beat", 0.2, 3.0),
    (1, Act.freeze, "beat", 1.0, 10.0),
    (1, Act.restart, "beat", 0.1, 1.0),
    (3, Act.kill_part, "web", 0.0, 0.0),
    (1, Act.kill, "web", 0.2, 2.0),
    (2, Act.freeze, "web", 1.0, 8.0),
    (1, Act.restart, "web", 0.1, 1.0),
    (3, Act.kill, "broker", 0.5, 3.0),
    (4, Act.freeze, "broker", 1.0, 10.0),
)
ON_POSTGRESQL: tuple[tuple[int, Act, str, float, float], ...] = ((3, Act.kill_part, "postgresql", 0.0, 0.0),)

PAUSES = (0.8, 3.2)
"""Seconds between the starts of two faults, at least and at most. Many last longer, so they overlap."""


def plan_faults(seed: int, *, seconds: float, postgresql: bool, only: str = "") -> list[Fault]:
    """The faults of a run that is `seconds` long, in order; all are over soon after its end.

    With `only`, just those that have this in their name, such as `kill` or `freeze broker`.
    """
    dice = random.Random(f"{seed}:faults")
    deck = [*DECK, *(ON_POSTGRESQL if postgresql else ())]
    cards = [card[1:] for card in deck for _ in range(card[0]) if only in f"{card[1]} {card[2]}"]
    if not cards:
        raise ValueError(f"no fault is called {only!r}")
    hand: list[tuple[Act, str, float, float]] = []
    faults: list[Fault] = []
    at = 2.0
    while at < seconds:
        # Dealt from a shuffled deck, so that a run of some length has everything in it.
        hand = hand or dice.sample(cards, len(cards))
        act, target, least, most = hand.pop()
        faults.append(Fault(round(at, 2), act, target, round(min(dice.uniform(least, most), seconds + 3 - at), 2)))
        at += dice.uniform(*PAUSES)
    return faults


def plan_orders(seed: int, *, jobs: int, seconds: float) -> list[Order]:
    """The jobs of a run, in order."""
    dice = random.Random(f"{seed}:orders")
    moments = sorted(dice.uniform(0, seconds) for _ in range(jobs))
    early = [number for number, at in enumerate(moments) if at < POISON_UNTIL * seconds] or [0]
    poison = set(dice.sample(early, min(len(early), max(1, round(jobs * POISON_SHARE)))))
    return [_order(dice, seed, number, at, poisonous=number in poison) for number, at in enumerate(moments)]


def _order(dice: random.Random, seed: int, number: int, at: float, *, poisonous: bool) -> Order:
    marks: frozenset[str] = frozenset({"crash"}) if poisonous else frozenset(_marks(dice))
    action = dice.choices(("chat", "image", "video", "speech"), (6, 2, 2, 1))[0]
    words = " ".join([f"number {number}", *(f"[mock:{mark}]" for mark in sorted(marks))])
    return Order(
        number=number,
        user=dice.randrange(USERS),
        at=round(at, 3),
        action=action,
        input={"text" if action == "speech" else "prompt": words},
        marks=marks,
        expires_in=dice.randint(1, 20) if dice.random() < 0.06 else None,
        cancel_after=round(dice.uniform(0, 3), 2) if dice.random() < 0.08 else None,
        repeat=dice.random() < 0.1,
        key=f"chaos-{seed}-{number}",
    )


def _marks(dice: random.Random) -> list[str]:
    mark = dice.choices([mark for mark, _ in MARKS], [share for _, share in MARKS])[0]
    return [mark] if mark else []
