"""The guards that the mutation proof takes away are where it says: a proof that cannot begin proves nothing."""

from __future__ import annotations

from config import ROOT
from tests.mutants.guards import MUTANTS


def test_each_guard_stands_in_its_file_exactly_once() -> None:
    texts = {file: (ROOT / file).read_text() for file in {mutant.file for mutant in MUTANTS}}
    lost = [mutant.guard for mutant in MUTANTS if texts[mutant.file].count(mutant.old) != 1]
    assert lost == [], "these have moved or changed: say in tests/mutants/ how they read now"
