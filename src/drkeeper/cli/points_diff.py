"""`drkeeper points diff`."""

import click

from drkeeper.cli.options import complete_point
from drkeeper.cli.output import Column, Output, output_option, show
from drkeeper.cli.settings import Settings, pass_settings


@click.command("diff")
@click.argument("older", metavar="OLDER", shell_complete=complete_point)
@click.argument("newer", metavar="[NEWER]", default="latest", shell_complete=complete_point)
@output_option
@pass_settings
def diff_points(settings: Settings, *, older: str, newer: str, output: Output) -> None:
    r"""Show what changed from one recovery point to another.

    Of a Feast registry: which entities, views, fields and services were added, removed or changed, and what was
    materialised until when. Of other systems and of applications: the facts that changed.

    \b
    Examples:
      drkeeper points diff 3f2a latest
      drkeeper points diff 3f2a 77c0 -o json | jq '.[] | select(.kind == "feast_registry") | .changes[]'
    """
    from drkeeper import catalog
    from drkeeper.points_difference import points_difference
    from drkeeper.wiring import open_vault

    vault = open_vault(settings.load_policy())
    old, new = (catalog.find_point(vault, each, allow_partial=True) for each in (older, newer))
    found = points_difference(vault, old, new)
    if output in {"json", "yaml"}:
        show([{"name": one.name, "kind": one.kind, "changes": list(one.changes)} for one in found], output, ())
        return
    rows = [{"name": one.name, "kind": one.kind, "change": line} for one in found for line in one.changes]
    if rows:
        show(rows, output, (Column("name", "OF"), Column("change"), Column("kind", wide=True)))
    else:
        click.echo(f"nothing changed from {old.point_id} to {new.point_id}")
