"""`flask doctor`: looks at everything Coinop needs, and says of what is wrong how to put it right.

Each check is a thread of its own with a few seconds of time, so one that hangs neither hides the others nor holds the
doctor up. What depends on a database or a broker that is away is not looked at.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError

from config import BadSettings, Settings, settings
from ops.checks import data, house, outside, queues
from ops.findings import Finding, Verdict, fail, warn

PATIENCE_SECONDS = 10.0
"""How long the checks of one round may take, all at once."""

LEAST_SECRET = 6
"""Characters; shorter ones are words that a line may have by chance."""

Check = Callable[[Settings], Iterator[Finding]]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that a check found."""

    check: str
    finding: Finding


FIRST: Mapping[str, Check] = {
    "settings": house.settings,
    "database": data.database,
    "broker": queues.broker,
}
"""What others depend on."""

REST: Mapping[str, tuple[Check, str | None]] = {
    "migrations": (data.migrations, "database"),
    "catalog": (data.sold, "database"),
    "clock": (data.clock, "database"),
    "unfinished": (data.unfinished, "database"),
    "books": (data.books, "database"),
    "workers": (queues.workers, "broker"),
    "beat": (queues.beat, "database"),
    "storage": (house.files, None),
    "disks": (house.disks, None),
    "mail": (outside.mail, None),
    "providers": (outside.providers, None),
    "payments": (outside.payments, None),
}
"""Each with what it depends on."""


def examine(chosen: Settings) -> list[Line]:
    """Look at everything; in the order above."""
    lines = _together(chosen, FIRST)
    away = {name for name in ("database", "broker") if not _answered(name, lines)}
    found = _together(chosen, {name: check for name, (check, needs) in REST.items() if needs not in away})
    for name, (_, needs) in REST.items():
        if needs in away:
            found.append(Line(name, warn(f"not looked at without the {needs}", f"See what is said of the {needs}")))
    order = list(REST)
    return lines + sorted(found, key=lambda line: order.index(line.check))


def _answered(name: str, lines: Iterable[Line]) -> bool:
    return any(each.check == name and each.finding.verdict is not Verdict.fail for each in lines)


def _together(chosen: Settings, checks: Mapping[str, Check]) -> list[Line]:
    """What these find, each on a thread; one that is still at it when the time is over is left alone."""
    done: queue.Queue[tuple[str, list[Finding]]] = queue.Queue()
    for name, check in checks.items():
        work = (done, name, check, chosen)
        threading.Thread(target=_run, args=work, name=f"doctor-{name}", daemon=True).start()
    found: dict[str, list[Finding]] = {}
    ends = time.monotonic() + PATIENCE_SECONDS
    while len(found) < len(checks):
        try:
            name, findings = done.get(timeout=max(ends - time.monotonic(), 0))
        except queue.Empty:
            break
        found[name] = findings
    slow = [fail(f"no answer within {PATIENCE_SECONDS:g} s", "Something hangs: see docs/runbook.md")]
    return [Line(name, each) for name in checks for each in found.get(name, slow)]


def _run(done: queue.Queue[tuple[str, list[Finding]]], name: str, check: Check, chosen: Settings) -> None:
    try:
        findings = list(check(chosen))
    except SQLAlchemyError as error:
        # The driver's own words may have the address and the password in them.
        findings = [fail(f"the database refused ({type(error).__name__})", "See DATABASE_URL, and the database's log")]
    except Exception as error:
        findings = [fail(f"the check itself broke ({type(error).__name__})", "Tell those who make Coinop")]
    done.put((name, findings))


def refused(error: BadSettings) -> list[Line]:
    """Settings that nothing can start with, a line for each."""
    faults = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
    return [Line("settings", fail(fault, "Set it right: .env.example says what each is for")) for fault in faults]


def report(lines: Sequence[Line], *, as_json: bool, secrets: Iterable[str] = ()) -> int:
    """Print the lines. Returns the exit code: 1 when something fails."""
    verdicts = {each.finding.verdict for each in lines}
    worst = max(verdicts, key=list(Verdict).index, default=Verdict.ok)
    if as_json:
        checks = [
            {
                "check": each.check,
                "verdict": each.finding.verdict,
                "found": each.finding.what,
                "do": each.finding.remedy,
            }
            for each in lines
        ]
        told = json.dumps({"verdict": worst, "checks": checks}, indent=2, ensure_ascii=False)
    else:
        told = "\n".join(f"{each.check:<11}{each.finding}" for each in lines)
    for secret in secrets:
        told = told.replace(secret, "***")
    print(told)
    return int(worst is Verdict.fail)


def secrets_of(chosen: Settings) -> list[str]:
    """Everything in the settings that no line may show, should a library's words have it."""
    found = set()
    for name in type(chosen).model_fields:
        value = getattr(chosen, name)
        if isinstance(value, SecretStr):
            found.add(value.get_secret_value())
        elif isinstance(value, str) and "@" in value and "://" in value:
            password = urlsplit(value).password or ""
            found |= {password, unquote(password)}
    return sorted((each for each in found if len(each) >= LEAST_SECRET), key=len, reverse=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit code."""
    parser = argparse.ArgumentParser(prog="flask doctor", description="Look at everything Coinop needs.")
    parser.add_argument("--json", action="store_true", help="for programs")
    asked = parser.parse_args(arguments)
    try:
        chosen = settings()
        lines = examine(chosen)
    except BadSettings as error:
        return report(refused(error), as_json=asked.json)
    return report(lines, as_json=asked.json, secrets=secrets_of(chosen))


if __name__ == "__main__":
    sys.exit(main())
