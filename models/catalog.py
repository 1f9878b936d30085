"""The catalog: what is sold, for how much, and what a new user gets.

A preset is one TOML document. Loading it stores a new version; versions are never changed, so a job can be traced to
the very prices it was sold at, and a broken file changes nothing. The front door keeps the current version in memory.
"""

from __future__ import annotations

import hashlib
import json
import time
import tomllib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from sqlalchemy import String, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from models.database import AwareDateTime, Base, BigId, Json, insert_into, now
from models.errors import Fault, InvalidInput, NotFound
from models.kinds import Kind
from models.prices import Credits, Price

FRESH_SECONDS = 2.0
"""How long a process may sell from the version it knows before it looks for a newer one."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,49}$")]


class Document(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WalletKind(Document):
    """One kind of credits of this product."""

    title: str


class Action(Document):
    """Something with a price. `cancel_charge` is how many percent of it are charged when a running job is canceled
    after its provider has begun; before that nothing is."""

    title: str
    description: str = ""
    kind: Kind
    wallet: Name
    price: Price
    cancel_charge: Annotated[int, Field(ge=0, le=100)] = 100


class SignupGrant(Document):
    """Credits every new user gets, once; `expires_days` after sign-up they expire, if given."""

    wallet: Name
    amount: Annotated[Credits, Field(ge=1)]
    expires_days: Annotated[int, Field(ge=1, le=3650)] | None = None


class Limits(Document):
    """`concurrent_jobs`: unfinished jobs one user may have at once."""

    concurrent_jobs: Annotated[int, Field(ge=1, le=100_000)] = 20


class Catalog(Document):
    """A whole preset, checked."""

    name: Name
    title: str
    wallets: Annotated[dict[Name, WalletKind], Field(min_length=1)]
    actions: dict[Name, Action] = {}
    signup_grants: tuple[SignupGrant, ...] = ()
    limits: Limits = Limits()

    def action(self, name: str) -> Action:
        """Raises `InvalidInput` naming the field `action` when there is none of this name."""
        try:
            return self.actions[name]
        except KeyError:
            known = ", ".join(self.actions) or "none"
            raise InvalidInput(Fault("action", f"there is no such action; this product has {known}")) from None


class CatalogVersion(Base):
    """One loaded preset. `digest` is of its content, so loading the same again changes nothing."""

    __tablename__ = "catalog_versions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(String(50))
    digest: Mapped[str] = mapped_column(String(64))
    document: Mapped[dict[str, Any]] = mapped_column(Json)
    loaded_at: Mapped[datetime] = mapped_column(AwareDateTime, server_default=now())


def read_preset(path: Path) -> Catalog:
    """Read and check a preset file. Raises `InvalidInput`, each fault by its path (`actions.video.price.amount`)."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(Fault(path.name, f"this is not TOML: {error}")) from None
    try:
        catalog = Catalog.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error) from None
    faults = list(_wallets_nobody_has(catalog))
    if faults:
        raise InvalidInput(*faults)
    return catalog


def _wallets_nobody_has(catalog: Catalog) -> Iterator[Fault]:
    for path, wallet in [
        *((f"actions.{name}.wallet", action.wallet) for name, action in catalog.actions.items()),
        *((f"signup_grants.{n}.wallet", grant.wallet) for n, grant in enumerate(catalog.signup_grants)),
    ]:
        if wallet not in catalog.wallets:
            yield Fault(path, f"expected one of the wallets {', '.join(catalog.wallets)}, got {wallet}")


def load(session: Session, catalog: Catalog) -> bool:
    """Make this catalog the current one and say whether that changed anything."""
    document = catalog.model_dump(mode="json")
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
    newest = session.scalar(select(CatalogVersion.digest).order_by(CatalogVersion.id.desc()).limit(1))
    if newest == digest:
        return False
    session.execute(insert_into(session, CatalogVersion).values(name=catalog.name, digest=digest, document=document))
    return True


def current(session: Session) -> Catalog:
    """The newest version. Raises `NotFound` when nothing has been loaded yet."""
    row = session.execute(
        select(CatalogVersion.document).order_by(CatalogVersion.id.desc()).limit(1)
    ).scalar_one_or_none()
    if row is None:
        raise NotFound("No catalog is loaded: run `flask catalog load presets/default.toml`.")
    return Catalog.model_validate(row)


class Shelf:
    """The current catalog kept in memory, looked at again every `FRESH_SECONDS`."""

    def __init__(self) -> None:
        self._catalog: Catalog | None = None
        self._version = 0
        self._looked_at = float("-inf")

    def catalog(self, session: Session) -> Catalog:
        """What is sold now, at most `FRESH_SECONDS` old. Raises as `current` does."""
        if self._catalog is None or time.monotonic() - self._looked_at > FRESH_SECONDS:
            newest = session.scalar(select(CatalogVersion.id).order_by(CatalogVersion.id.desc()).limit(1)) or 0
            if self._catalog is None or newest != self._version:
                self._catalog = current(session)
                self._version = newest
            self._looked_at = time.monotonic()
        return self._catalog

    def look_again(self) -> None:
        """Ask the database at the next question, however fresh the answer is."""
        self._looked_at = float("-inf")
