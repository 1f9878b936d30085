"""`flask openapi`, `flask postman`: what describes the API, written to the files that are kept of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import click
from flask import current_app
from flask.cli import with_appcontext

from config import ROOT
from web.collection import collection
from web.requests import FrontDoor

FOLDER = ROOT / "docs" / "api"
OPENAPI = FOLDER / "openapi.json"
POSTMAN = FOLDER / "coinop.postman_collection.json"


def written(found: dict[str, Any]) -> str:
    """As it stands in the file."""
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def document() -> dict[str, Any]:
    """The OpenAPI document of the app at hand."""
    return cast(FrontDoor, current_app).api_doc


@click.command("openapi")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=OPENAPI)
@with_appcontext
def openapi(file: Path) -> None:
    """Write the OpenAPI document to FILE, or to where it is kept in docs/api."""
    _write(file, document())


@click.command("postman")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), default=POSTMAN)
@with_appcontext
def postman(file: Path) -> None:
    """Write the Postman collection, which is made from the OpenAPI document, to FILE or to where it is kept."""
    _write(file, collection(document()))


def _write(file: Path, found: dict[str, Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(written(found), encoding="utf-8")
    click.echo(f"{file} is written.")
