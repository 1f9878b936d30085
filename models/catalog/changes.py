"""Changes: what loading a preset would change, path by path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from models.catalog.document import Catalog


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs; None on the side where there is none."""

    path: str
    before: Any
    after: Any

    def __str__(self) -> str:
        if self.before is None:
            return f"+ {self.path} = {self.after}"
        if self.after is None:
            return f"- {self.path} = {self.before}"
        return f"~ {self.path}: {self.before} → {self.after}"


def changes(before: Catalog | None, after: Catalog) -> list[Change]:
    """Every value that differs between two catalogs, by path; all of `after` when there was none before."""
    old = dict(_flat(before.model_dump(mode="json"))) if before else {}
    new = dict(_flat(after.model_dump(mode="json")))
    paths = [*old, *(path for path in new if path not in old)]
    return [Change(path, old.get(path), new.get(path)) for path in paths if old.get(path) != new.get(path)]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        yield path, value
        return
    for name, inner in items:
        yield from _flat(inner, f"{path}.{name}" if path else str(name))
