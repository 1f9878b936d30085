"""What a mutant is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutant:
    """One guard gone: `old`, which `file` has exactly once, becomes `new`."""

    guard: str
    file: str
    old: str
    new: str
    tests: str
