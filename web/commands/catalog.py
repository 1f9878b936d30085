"""`flask catalog load|diff|validate|export|versions|restore`."""

from __future__ import annotations

from pathlib import Path

import click
from flask.cli import AppGroup

from models import catalog
from models.audit_log import Actor, By
from models.catalog import editing
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


@group.command("versions")
@click.option("--after", type=int, help="Go on after this version, which ended the page before.")
@click.option("--limit", type=click.IntRange(1, 100), default=20, show_default=True)
def versions(after: int | None, limit: int) -> None:
    """Say what was sold when, newest first."""
    with readings() as session:
        found, following = editing.versions(session, limit=limit, after=after)
    for each in found:
        click.echo(f"{each.id}  {each.loaded_at:%Y-%m-%d %H:%M:%S}  {each.name}  {each.digest[:12]}")
    if following:
        click.echo(f"There are more: --after {following}")


@group.command("restore")
@click.argument("version", type=int)
@click.option("--reason", required=True, help="For the audit log.")
@click.option("--dry-run", is_flag=True, help="Say what would change, and change nothing.")
def restore(version: int, reason: str, dry_run: bool) -> None:
    """Sell again what VERSION sold, as a new version."""
    with sessions() as session, refusals_told():
        edit = editing.restoring(session, version)
        made = editing.store(session, by=By(Actor.command), edit=edit, reason=reason, dry_run=dry_run)
    _tell(made.changes)
    click.echo(f"Version {made.version} is sold.")


def load_unless_edited(preset: Path) -> None:
    """`load_preset`, unless what is sold now was edited since a preset was loaded: no upgrade undoes an edit."""
    with readings() as session:
        kept = editing.newest(session) if editing.edited_by_hand(session) else None
    if kept is None:
        load_preset(preset)
    else:
        click.echo(
            f"Version {kept} of the catalog was edited, so {preset} is not loaded: `flask catalog load` does that."
        )


def load_preset(preset: Path) -> None:
    """Read a preset and make it what is sold; a bad file ends the command and changes nothing."""
    read, before = _read(preset), _current()
    with sessions() as session:
        made = editing.store(session, by=By(Actor.command), edit=editing.to(read), reason=None, verb=editing.LOAD)
    if made.changed and before is not None:
        _tell(made.changes)
    click.echo(f"The catalog {read.name} is {'loaded' if made.changed else 'unchanged'}: {_contents(read)}.")


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
