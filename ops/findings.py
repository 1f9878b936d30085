"""Findings: what somebody who looked at the system saw, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """`warn` can wait; `fail` means that something does not work, or will not for long."""

    ok = "ok"
    warn = "warn"
    fail = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and what to do about it."""

    verdict: Verdict
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.verdict:<5}{self.what}{f'. {self.remedy}' if self.remedy else ''}"


def ok(what: str) -> Finding:
    return Finding(Verdict.ok, what)


def warn(what: str, remedy: str) -> Finding:
    return Finding(Verdict.warn, what, remedy)


def fail(what: str, remedy: str) -> Finding:
    return Finding(Verdict.fail, what, remedy)
