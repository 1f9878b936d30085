"""`flask catalog load|diff|validate|export`."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import AppGroup

from models import catalog
from models.database import readings, sessions
from models.errors import InvalidInput, NotFound
from web.commands.refusals import refusals_told

group = AppGroup("catalog", help="What is sold: check, compare, load and export presets.")

preset_file = click.argument("preset", type=click.Path(path_type=Path, dir_okay=False, exists=True))


@group.command("load")
@preset_file
def load(preset: Path) -> None:
    """Make PRESET what is sold from now on, and say what that changes.

    Jobs in flight keep the price they were sold at, and subscribers keep the plan they took up.
    """
    load_preset(preset)


@group.command("diff")
@preset_file
def diff(preset: Path) -> None:
    """Say what loading PRESET would change, and change nothing."""
    read = _read(preset)
    _tell(catalog.changes(_current(), read))


@group.command("validate")
@preset_file
def validate(preset: Path) -> None:
    """Check PRESET and change nothing."""
    click.echo(f"{preset.name} is a good preset: {_contents(_read(preset))}.")


@group.command("export")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file to write; else it is printed.")
def export(output: Path | None) -> None:
    """Write what is sold now as a preset."""
    with readings() as session, refusals_told():
        text = catalog.write_preset(catalog.current(session))
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
        click.echo(f"{output} is written.")


def load_preset(preset: Path) -> None:
    """Read a preset and make it what is sold; a bad file ends the command and changes nothing."""
    read = _read(preset)
    before = _current()
    with sessions() as session:
        changed = catalog.load(session, read)
    if changed and before is not None:
        _tell(catalog.changes(before, read))
    click.echo(f"The catalog {read.name} is {'loaded' if changed else 'unchanged'}: {_contents(read)}.")


def _current() -> catalog.Catalog | None:
    with readings() as session:
        try:
            return catalog.current(session)
        except NotFound:
            return None


def _tell(changes: list[catalog.Change]) -> None:
    for change in changes:
        click.echo(str(change))
    if not changes:
        click.echo("Nothing would change.")


def _contents(read: catalog.Catalog) -> str:
    counted = [
        (len(read.actions), "action"),
        (len(read.packs), "pack"),
        (len(read.plans), "plan"),
        (len(read.promotions), "promotion"),
    ]
    return ", ".join(f"{number} {noun}{'' if number == 1 else 's'}" for number, noun in counted if number)


def _read(preset: Path) -> catalog.Catalog:
    try:
        return catalog.read_preset(preset)
    except InvalidInput as refused:
        faults = "\n".join(f"  {fault.field}: {fault.message}" for fault in refused.faults)
        raise click.ClickException(f"{preset} cannot be used, nothing was changed:\n{faults}") from None
