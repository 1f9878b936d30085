# ruff: noqa: T201  # it is a program, and its table is what it is for
"""Mutation proof: take away each guard of the money in turn, in a copy, and see that the tests notice.

    python -m tests.mutants             all guards
    python -m tests.mutants express     those whose name or file has this word

Ends with 1 when a mutant survives, and with 2 when the proof itself does not hold: a text that is not found exactly
once, or tests that fail on the untouched copy.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.guards import MUTANTS
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).resolve().parents[2]
LEFT_BEHIND = (".git", ".venv*", ".coinop*", ".hypothesis", ".*_cache", "__pycache__", "*.pyc", "docs")
TESTS_FAILED = 1
"""What pytest ends with when tests ran and some failed; everything else is no proof."""


def main() -> int:
    wanted = [mutant for mutant in MUTANTS if all(word in f"{mutant.guard} {mutant.file}" for word in sys.argv[1:])]
    print(f"{len(wanted)} guards\n")
    with tempfile.TemporaryDirectory(prefix="coinop-mutants-") as folder:
        copy = Path(folder) / "coinop"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
        for mutant in wanted:
            _mutated(copy, mutant)
        for tests in sorted({mutant.tests for mutant in wanted}):
            done = _run(copy, tests)
            if done.returncode:
                print(f"{tests} fails with every guard in place:\n{done.stdout}")
                return 2
        print(f"{'guard':<56} {'file':<42} {'seconds':>7}  noticed by")
        fates = [_fate(copy, mutant) for mutant in wanted]
    print(f"\n{fates.count(True)} of {len(fates)} mutants were killed")
    return 0 if all(fates) else 1


def _fate(copy: Path, mutant: Mutant) -> bool:
    """Whether the tests kill a mutant; its line of the table says by which test."""
    file = copy / mutant.file
    whole = file.read_text()
    began = time.monotonic()
    file.write_text(_mutated(copy, mutant))
    try:
        done = _run(copy, mutant.tests)
    finally:
        file.write_text(whole)
    noticed = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
    if done.returncode != (TESTS_FAILED if noticed else 0):
        print(f"{mutant.guard}: the tests did not even run\n{done.stdout}{done.stderr}")
        sys.exit(2)
    by = noticed.group(1).rpartition("/")[2] if noticed else "NOBODY: IT SURVIVED"
    print(f"{mutant.guard:<56} {mutant.file:<42} {time.monotonic() - began:>7.1f}  {by}", flush=True)
    return noticed is not None


def _mutated(copy: Path, mutant: Mutant) -> str:
    """The file without its guard. Ends the proof when the guard's text is not there exactly once."""
    whole = (copy / mutant.file).read_text()
    found = whole.count(mutant.old)
    if found != 1:
        print(f"{mutant.guard}: {mutant.file} has this text {found} times, not once:\n{mutant.old}")
        sys.exit(2)
    return whole.replace(mutant.old, mutant.new)


def _run(copy: Path, tests: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-B", "-m", "pytest", "-n0", "-x", "-q", "-p", "no:cacheprovider", *shlex.split(tests)]
    environment = {**os.environ, "PYTHONPATH": str(copy), "COINOP_SEQUENCES": "20"}
    return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
