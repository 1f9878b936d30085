"""Editing: a new version of the catalog that somebody decided on, with its entry in the audit log.

The whole document is checked before anything is stored, so that what is sold is never half of an edit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from sqlalchemy import select
from sqlalchemy.orm import Session

from models import audit_log, pages
from models.audit_log import By
from models.catalog.changes import Change, changes
from models.catalog.document import Catalog, Promotion
from models.catalog.presets import checked
from models.catalog.versions import CatalogVersion, current, load
from models.errors import CatalogChanged, Fault, InvalidInput, NotFound

CHANGE, LOAD = "catalog.change", "catalog.load"
TARGET = "catalog"
MOST_LINES = 200
"""Lines of a difference that the audit log keeps; the versions themselves have all of it."""


@dataclass(frozen=True, slots=True)
class Edited:
    """The `version` that is sold now, and what that changed. `changed` is whether it is a new one."""

    version: int
    changes: list[Change]
    changed: bool


@dataclass(frozen=True, slots=True)
class Version:
    """One version that was loaded, without its document."""

    id: int
    name: str
    digest: str
    loaded_at: datetime


def store(
    session: Session,
    *,
    by: By,
    edit: Callable[[Catalog | None], Catalog],
    reason: str | None,
    expected: int | None = None,
    dry_run: bool = False,
    verb: str = CHANGE,
) -> Edited:
    """Make what `edit` makes of the current catalog the one that is sold; nothing is stored if it is a `dry_run`.

    `expected` is the version that the editor has read; `verb` is what the audit log calls it. Locks the newest version,
    behind which others wait with their edits. Raises `CatalogChanged` when `expected` is not the newest any more, and
    what `edit` raises.
    """
    version = newest(session, lock=not dry_run)
    if expected is not None and expected != version:
        raise CatalogChanged(f"The catalog has version {version} now: read it again.", version=version)
    before = current(session) if version else None
    after = edit(before)
    found = changes(before, after)
    if dry_run:
        return Edited(version, found, changed=False)
    if not load(session, after):
        return Edited(version, [], changed=False)
    made = newest(session)
    lines = [str(change) for change in found]
    rest = [f"and {len(lines) - MOST_LINES} more"] if len(lines) > MOST_LINES else []
    audit_log.record(
        session, by=by, verb=verb, target=TARGET, before={"version": version},
        after={"version": made, "changes": [*lines[:MOST_LINES], *rest]}, reason=reason,
    )  # fmt: skip
    return Edited(made, found, changed=True)


def to(catalog: Catalog) -> Callable[[Catalog | None], Catalog]:
    """The edit that sells this catalog, whatever was sold before."""
    return lambda _: catalog


def restoring(session: Session, version: int) -> Callable[[Catalog | None], Catalog]:
    """The edit that sells again what a version sold. Raises `NotFound`; what it says is checked as if it were new."""
    return lambda _: checked(document(session, version))


def putting(code: str, promotion: dict[str, Any]) -> Callable[[Catalog | None], Catalog]:
    """The edit that makes a code good for something, or for something else. Faults are found under `promotion`."""

    def edit(before: Catalog | None) -> Catalog:
        sold = _sold(before)
        try:
            made = Promotion.model_validate(promotion)
        except ValidationError as error:
            raise InvalidInput.from_pydantic(error, under="promotion") from None
        told = sold.model_dump(mode="json")
        told["promotions"][code] = made.model_dump(mode="json")
        try:
            return checked(told)
        except InvalidInput as refused:
            here = f"promotions.{code}"
            raise InvalidInput(
                *(Fault(fault.field.replace(here, "promotion", 1), fault.message) for fault in refused.faults)
            ) from None

    return edit


def removing(code: str) -> Callable[[Catalog | None], Catalog]:
    """The edit that makes a code good for nothing. Raises `NotFound` when it is not sold."""

    def edit(before: Catalog | None) -> Catalog:
        sold = _sold(before)
        if code not in sold.promotions:
            raise NotFound("There is no such promotion.")
        told = sold.model_dump(mode="json")
        del told["promotions"][code]
        return checked(told)

    return edit


def edited_by_hand(session: Session) -> bool:
    """Whether what is sold was decided here, and is in no preset that anybody has loaded since."""
    last = audit_log.newest(session, target=TARGET)
    return last is not None and last.verb == CHANGE and (last.after or {}).get("version") == newest(session)


def newest(session: Session, *, lock: bool = False) -> int:
    """The version that is sold, 0 when there is none. Locked, it is the newest until this transaction ends."""
    query = select(CatalogVersion.id).order_by(CatalogVersion.id.desc()).limit(1)
    if lock:
        # Whoever waited for another edit here finds that one's version when asking again.
        session.execute(query.with_for_update())
    return session.scalar(query) or 0


def versions(session: Session, *, limit: int, after: int | None = None) -> tuple[list[Version], int | None]:
    """Versions, newest first, from just after `after`; with the id to go on from, None at the end."""
    found, following = pages.newest(session, select(CatalogVersion), CatalogVersion.id, limit=limit, after=after)
    return [_version(each) for each in found], following


def version_of(session: Session, version: int) -> Version:
    """Raises `NotFound`."""
    return _version(_find(session, version))


def document(session: Session, version: int) -> dict[str, Any]:
    """What a version says. Raises `NotFound`."""
    return _find(session, version).document


def _find(session: Session, version: int) -> CatalogVersion:
    found = session.get(CatalogVersion, version)
    if found is None:
        raise NotFound("There is no such version of the catalog.")
    return found


def _version(found: CatalogVersion) -> Version:
    return Version(found.id, found.name, found.digest, found.loaded_at)


def _sold(before: Catalog | None) -> Catalog:
    if before is None:
        raise NotFound("No catalog is loaded yet.")
    return before
