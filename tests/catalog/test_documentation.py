"""docs/catalog.md: its blocks are a preset, and it knows every field."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel

from config import ROOT
from models import catalog
from models.catalog import Billing, Catalog
from models.errors import InvalidInput
from models.kinds import INPUTS
from models.prices import FORMS
from models.quotes import quote
from tests.catalog.test_products import PRODUCTS, entitled_under

PAGE = (ROOT / "docs" / "catalog.md").read_text()


def _blocks() -> str:
    return "\n".join(re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def _example(folder: Path) -> Catalog:
    file = folder / "example.toml"
    file.write_text(_blocks())
    try:
        return catalog.read_preset(file)
    except InvalidInput as refused:
        raise AssertionError(refused.detail) from None


def test_the_blocks_of_the_page_are_one_good_preset(tmp_path: Path) -> None:
    example = _example(tmp_path)
    film = {"prompt": "a fox", "seconds": 300, "resolution": "1080p", "addons": ["music"]}
    assert quote(example, entitled_under(example, "plus"), action="film", raw_input=film).price == 42
    assert set(example.plans["plus"].prices) == set(Billing)


def test_every_field_there_is_is_used_in_the_example(tmp_path: Path) -> None:
    example = _example(tmp_path)
    used = set(_fields(example))
    every = {
        (type(model).__name__, name)
        for model in _models(example)
        for name in type(model).model_fields
        if name != "form"
    }  # fmt: skip
    assert every - used - {("Unlimited", "wallet")} == set()
    assert {action.price.form for action in example.actions.values()} == set(FORMS)


def test_the_page_names_every_kind_and_every_product() -> None:
    missing = [name for name in (*INPUTS, *PRODUCTS) if name not in PAGE]
    assert missing == []


def _models(value: object) -> list[BaseModel]:
    if isinstance(value, BaseModel):
        return [value, *(model for name in type(value).model_fields for model in _models(getattr(value, name)))]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, tuple) else ()
    return [model for each in inside for model in _models(each)]


def _fields(example: Catalog) -> list[tuple[str, str]]:
    """The fields that the example sets, by the class they are of."""
    return [(type(model).__name__, name) for model in _models(example) for name in model.model_fields_set]
