"""Presets: a catalog as a TOML file, read and written."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from models.catalog.consistency import faults
from models.catalog.document import Catalog
from models.errors import Fault, InvalidInput


def read_preset(path: Path) -> Catalog:
    """Read and check a preset file. Raises `InvalidInput`, each fault by its path (`actions.video.price.amount`)."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(Fault(path.name, f"this is not TOML: {error}")) from None
    return checked(raw)


def checked(raw: dict[str, Any], *, under: str = "") -> Catalog:
    """A document as a catalog. Raises `InvalidInput`, each fault by its path, which begins with `under` if given."""
    try:
        catalog = Catalog.model_validate(raw)
    except ValidationError as error:
        raise InvalidInput.from_pydantic(error, under=under) from None
    wrong = list(faults(catalog))
    if wrong:
        raise InvalidInput(*(Fault(f"{under}.{each.field}" if under else each.field, each.message) for each in wrong))
    return catalog


def shortened(catalog: Catalog) -> dict[str, Any]:
    """A catalog as a document without what is the default anyway."""
    return catalog.model_dump(mode="json", exclude_defaults=True)


def write_preset(catalog: Catalog) -> str:
    """The catalog as a preset file would say it, without what is the default anyway."""
    return tomli_w.dumps(shortened(catalog))
