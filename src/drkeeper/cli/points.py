"""`drkeeper points`: list, show, diff, pin, unpin, forget."""

from typing import TYPE_CHECKING, Any

import click

from drkeeper.cli.options import point_argument, yes_option
from drkeeper.cli.output import Output, output_option, show
from drkeeper.cli.points_diff import diff_points
from drkeeper.cli.settings import Settings, pass_settings

if TYPE_CHECKING:
    from drkeeper.vault.vault import Vault


@click.group("points", invoke_without_command=True)
@output_option
@click.pass_context
def command(context: click.Context, output: Output) -> None:
    r"""List recovery points, oldest first; show, compare, pin or forget one.

    An ID may be the beginning of one, or `latest`.

    \b
    Examples:
      drkeeper points -o wide
      drkeeper points show latest
      drkeeper points diff 3f2a latest
      drkeeper points pin 3f2a --reason "before the migration"
    """
    if context.invoked_subcommand is None:
        context.invoke(list_points, output=output)


@command.command("list")
@output_option
@pass_settings
def list_points(settings: Settings, output: Output) -> None:
    """List all recovery points with what is proven of them."""
    from drkeeper import catalog, clock
    from drkeeper.cli.rows import POINT_COLUMNS, point_row, standing_row

    vault, now = _open(settings), clock.now()
    listing, held, pins = catalog.list_points(vault), catalog.holders(vault), catalog.pins(vault)
    rows = []
    for point in sorted(listing.points, key=lambda point: point.created_at):
        row = point_row(point, held.get(point.point_id, ()), len(vault.regions.stores), now)
        proofs = catalog.proofs_of(vault, point.point_id)
        proven = standing_row(proofs, pins.get(point.point_id), vault.regions.stores, now)
        rows.append({**row, **proven})
    show(rows, output, POINT_COLUMNS)
    for key, why in listing.damaged.items():
        click.echo(f"warning: {key} cannot be read: {why}", err=True)


@command.command("show")
@point_argument()
@output_option
@pass_settings
def show_point(settings: Settings, point_id: str, output: Output) -> None:
    """Show one recovery point: its systems, streams, facts and proofs."""
    from drkeeper import catalog, clock
    from drkeeper.cli.rows import POINT_COLUMNS, SYSTEM_COLUMNS, point_row, show_findings, standing_row, system_rows

    vault, now = _open(settings), clock.now()
    point = catalog.find_point(vault, point_id, allow_partial=True)
    proofs = catalog.proofs_of(vault, point.point_id)
    row: dict[str, Any] = {
        **point_row(point, catalog.regions_of(vault, point), len(vault.regions.stores), now),
        **standing_row(proofs, catalog.pins(vault).get(point.point_id), vault.regions.stores, now),
    }
    if output in {"json", "yaml"}:
        proofs_data = [proof.model_dump(mode="json") for proof in proofs]
        show({**point.model_dump(mode="json"), **row, "systems": system_rows(point), "proofs": proofs_data}, output, ())
        return
    show(row, "wide", POINT_COLUMNS)
    click.echo()
    show(system_rows(point), output, SYSTEM_COLUMNS)
    show_findings(point, output)


command.add_command(diff_points)


@command.command("pin")
@point_argument(required=True)
@click.option("--reason", required=True, help="Why it must stay.")
@pass_settings
def pin(settings: Settings, point_id: str, reason: str) -> None:
    """Keep a recovery point, whatever retention says."""
    from drkeeper import catalog, keeping

    policy = settings.load_policy()
    point = catalog.find_point(_open(settings), point_id, allow_partial=True)
    made = keeping.pin(policy, point, who=_who(), why=reason)
    click.echo(f"{point.point_id} is pinned: {made.why}")


@command.command("unpin")
@point_argument(required=True)
@pass_settings
def unpin(settings: Settings, point_id: str) -> None:
    """Leave a recovery point to retention again."""
    from drkeeper import catalog, keeping

    policy = settings.load_policy()
    point = catalog.find_point(_open(settings), point_id, allow_partial=True)
    keeping.unpin(policy, point)
    click.echo(f"{point.point_id} is not pinned")


@command.command("forget")
@point_argument(required=True)
@yes_option
@pass_settings
def forget(settings: Settings, point_id: str, yes: bool) -> None:
    """Drop a recovery point's record in every region; `drkeeper prune` then frees its space.

    A pinned point is refused.
    """
    from drkeeper import catalog, keeping
    from drkeeper.cli.output import human_size, human_time
    from drkeeper.cli.prompt import confirm
    from drkeeper.errors import Refused

    policy = settings.load_policy()
    vault = _open(settings)
    point = catalog.find_point(vault, point_id, allow_partial=True)
    if point.point_id in catalog.pins(vault):
        raise Refused(f"{point.point_id} is pinned; nothing was changed", hint="take the pin away with `points unpin`")
    size = human_size(point.size_bytes)
    confirm(f"Forget {point.point_id}, {size} of {human_time(point.as_of)}? It cannot be restored afterwards.", yes=yes)
    keeping.forget(policy, point)
    click.echo(f"{point.point_id} is forgotten; `drkeeper prune` frees its space")


def _who() -> str:
    """The user's name; the number where the machine has no name for it, as in many containers."""
    import getpass
    import os

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def _open(settings: Settings) -> "Vault":
    from drkeeper.wiring import open_vault

    return open_vault(settings.load_policy())
